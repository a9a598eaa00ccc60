//! `zonegate flows`: live flows as the datapath knows them.

use std::{io::Write, time::Duration};

use clap::{Args, Subcommand};
use proto::v1::{Flow, ListFlowsRequest};
use serde_norway::Mapping;

use super::{
    client::Client,
    error::CliError,
    output::{Format, print_table, print_value},
};

#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// Lists live flows, one line for each direction
    List(ListArguments),
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// At most this many
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub async fn run(
    command: &FlowsCommand,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let FlowsCommand::List(arguments) = command;
    let flows = list(client, arguments.limit).await?;
    if arguments.output == Format::Table {
        return print_table(out, &COLUMNS, flows.iter().map(row));
    }
    let flows: Vec<_> = flows.iter().map(serde_norway::to_value).collect::<Result<_, _>>()?;
    let list = Mapping::from_iter([("flows".into(), flows.into())]);
    print_value(out, arguments.output, &list)
}

async fn list(client: &Client, limit: u32) -> Result<Vec<Flow>, CliError> {
    let mut answers = client
        .observe()
        .list_flows(ListFlowsRequest { limit })
        .await
        .map_err(|status| client.failed(status))?
        .into_inner();
    let mut flows = Vec::new();
    while let Some(answer) = answers.message().await.map_err(|status| client.failed(status))? {
        flows.extend(answer.flows);
    }
    Ok(flows)
}

const COLUMNS: [&str; 8] =
    ["PROTOCOL", "SOURCE", "DESTINATION", "TRANSLATED", "DIRECTION", "IDLE", "PACKETS", "BYTES"];

fn row(flow: &Flow) -> [String; 8] {
    [
        protocol(flow.protocol),
        flow.source.clone(),
        flow.destination.clone(),
        translation(flow),
        if flow.reply { "reply" } else { "original" }.to_owned(),
        format!("{:?}", Duration::from_millis(flow.idle_milliseconds)),
        flow.packets.to_string(),
        flow.bytes.to_string(),
    ]
}

/// The names that the field uses for the protocols we keep flows of.
fn protocol(number: u32) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        132 => "SCTP".to_owned(),
        other => other.to_string(),
    }
}

/// What packets carry afterwards, of the ends that change.
fn translation(flow: &Flow) -> String {
    let source =
        (flow.translated_source != flow.source).then(|| format!("from {}", flow.translated_source));
    let destination = (flow.translated_destination != flow.destination)
        .then(|| format!("to {}", flow.translated_destination));
    [source, destination].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ends_that_change_are_shown_as_translated() {
        let flow = |translated_source: &str, translated_destination: &str| Flow {
            source: "10.0.0.1:4000".into(),
            destination: "10.96.0.1:80".into(),
            translated_source: translated_source.into(),
            translated_destination: translated_destination.into(),
            ..Flow::default()
        };
        for (source, destination, shown) in [
            ("10.0.0.1:4000", "10.96.0.1:80", ""),
            ("10.0.0.1:4000", "10.1.0.7:8080", "to 10.1.0.7:8080"),
            ("10.9.0.1:9", "10.96.0.1:80", "from 10.9.0.1:9"),
            ("10.9.0.1:9", "10.1.0.7:8080", "from 10.9.0.1:9 to 10.1.0.7:8080"),
        ] {
            assert_eq!(translation(&flow(source, destination)), shown);
        }
    }
}
