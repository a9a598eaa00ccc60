//! `zonegate get zones`: what services carry from zone to zone.

use std::io::Write;

use proto::v1::{Handshakes, ZoneTraffic, ZoneTrafficRequest};
use serde_json::json;

use super::{
    client::Client,
    error::CliError,
    output::{Format, print_table, print_value},
};

/// Prints what a service carried, or all where its name is empty.
pub async fn run(
    client: &Client,
    service: &str,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let request = ZoneTrafficRequest { service: service.to_owned() };
    let failed = |status| client.failed(status);
    let mut pages = client.observe().zone_traffic(request).await.map_err(failed)?.into_inner();
    let mut traffic = Vec::new();
    while let Some(page) = pages.message().await.map_err(failed)? {
        traffic.extend(page.traffic);
    }
    match format {
        Format::Table => table(out, &traffic),
        format => print_value(out, format, &json!({ "traffic": traffic })),
    }
}

/// Packets and bytes of both directions, and how long handshakes took; a last line sums up what is known to have crossed zones.
fn table(out: &mut dyn Write, traffic: &[ZoneTraffic]) -> Result<(), CliError> {
    let columns = [
        "SERVICE",
        "FROM",
        "TO",
        "PACKETS",
        "BYTES",
        "SHARE",
        "HANDSHAKES",
        "MEAN",
        "P50",
        "P99",
        "CROSSES",
    ];
    let rows = traffic.iter().map(|it| {
        let same = traffic.iter().filter(|other| other.service == it.service);
        let times = it.handshakes.as_ref();
        let milliseconds = |figure: fn(&Handshakes) -> u64| {
            times.map_or(String::new(), |it| milliseconds(figure(it)))
        };
        let from = if it.from_outside { "(outside)" } else { known(&it.from_zone) };
        [
            it.service.clone(),
            from.to_owned(),
            known(&it.to_zone).to_owned(),
            (it.packets + it.reply_packets).to_string(),
            bytes(it).to_string(),
            percent(bytes(it), same.map(bytes).sum()),
            times.map_or(0, |it| it.count).to_string(),
            milliseconds(|it| it.mean_microseconds),
            milliseconds(|it| it.p50_microseconds),
            milliseconds(|it| it.p99_microseconds),
            if crosses(it) { "yes" } else { "" }.to_owned(),
        ]
    });
    print_table(out, &columns, rows)?;
    let all = traffic.iter().map(bytes).sum();
    let crossing = traffic.iter().filter(|it| crosses(it)).map(bytes).sum();
    writeln!(out, "\n{crossing} of {all} bytes crossed zones: {}", percent(crossing, all))?;
    Ok(())
}

fn known(zone: &str) -> &str {
    if zone.is_empty() { "(unknown)" } else { zone }
}

fn bytes(traffic: &ZoneTraffic) -> u64 {
    traffic.bytes + traffic.reply_bytes
}

/// What is not known is not said to cross.
fn crosses(traffic: &ZoneTraffic) -> bool {
    let ZoneTraffic { from_zone, to_zone, .. } = traffic;
    !from_zone.is_empty() && !to_zone.is_empty() && from_zone != to_zone
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// Of microseconds.
fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03}ms", microseconds / 1000, microseconds % 1000)
}
