//! `zonegate get services`: who gets which backends of a service, and why these.

use std::{collections::BTreeSet, io::Write};

use proto::v1::{ListOffersRequest, OfferAnswer, ServiceOffer, offer_answer::Fate};
use serde_json::json;

use super::{
    client::Client,
    error::CliError,
    get::some,
    output::{Format, print_table, print_value},
};

/// Prints what a service offers, or all where its name is empty, of these that are held.
pub async fn run(
    client: &Client,
    service: &str,
    held: &BTreeSet<&str>,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let request = ListOffersRequest { service: service.to_owned() };
    let failed = |status| client.failed(status);
    let mut pages = client.observe().list_offers(request).await.map_err(failed)?.into_inner();
    let mut offers = Vec::new();
    while let Some(page) = pages.message().await.map_err(failed)? {
        let page = page.offers.into_iter();
        offers.extend(page.filter(|offer| held.contains(&*offer.service)));
    }
    match format {
        Format::Table => table(out, held, &offers),
        format => print_value(out, format, &json!({ "offers": offers })),
    }
}

fn table(
    out: &mut dyn Write,
    held: &BTreeSet<&str>,
    offers: &[ServiceOffer],
) -> Result<(), CliError> {
    let columns = ["NAME", "KIND", "FRONTENDS", "CLIENTS", "BACKENDS", "ZONES", "SNAT", "WHY"];
    let rows = offers.iter().flat_map(|offer| {
        offer.answers.iter().map(move |answer| {
            let frontends = some(&offer.frontends);
            let kinds: Vec<_> = offer.kinds().map(|it| it.as_str_name()).collect();
            let guard = if offer.guarded { " (in source ranges)" } else { "" };
            [
                offer.service.clone(),
                kinds.join(","),
                frontends,
                format!("{}{guard}", clients(answer)),
                backends(answer),
                zones(answer),
                if answer.snat { "yes" } else { "no" }.to_owned(),
                answer.why.clone(),
            ]
        })
    });
    let silent = held.iter().filter(|name| offers.iter().all(|offer| offer.service != **name));
    let silent = silent.map(|name| {
        let mut row = [const { String::new() }; 8];
        (row[0], row[7]) = ((*name).to_owned(), "not in force, or without frontends".to_owned());
        row
    });
    print_table(out, &columns, rows.chain(silent))
}

fn clients(answer: &OfferAnswer) -> String {
    let names = answer.audiences().map(|it| it.as_str_name().to_ascii_lowercase());
    names.collect::<Vec<_>>().join(",")
}

fn backends(answer: &OfferAnswer) -> String {
    match answer.fate() {
        Fate::Forward => {
            let texts = answer.backends.iter();
            let texts: Vec<_> =
                texts.map(|it| format!("{} {}", it.address, percent(it.share))).collect();
            some(&texts)
        }
        Fate::Reject => "(rejected)".to_owned(),
        Fate::Drop => "(dropped)".to_owned(),
        Fate::Unspecified => String::new(),
    }
}

/// This node's zone has an asterisk.
fn zones(answer: &OfferAnswer) -> String {
    let texts = answer.zones.iter().map(|it| {
        let zone = if it.zone.is_empty() { "(unknown)" } else { &it.zone };
        format!("{zone}{} {}", if it.own { "*" } else { "" }, percent(it.share))
    });
    some(&texts.collect::<Vec<_>>())
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
