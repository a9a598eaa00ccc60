//! How the comparison is printed.

use std::io::Write;

use serde::Serialize;

use crate::bench::{
    BenchError,
    machine::Machine,
    options::Output,
    print,
    wire::{Figures, Router, UNIT, cells},
};

#[derive(Debug, Serialize)]
pub struct CompareReport {
    pub machine: Machine,
    pub rows: Vec<Row>,
}

/// A router in a scenario.
#[derive(Debug, Serialize)]
pub struct Row {
    pub router: Router,
    pub scenario: Scenario,
    pub flows: u32,
    #[serde(flatten)]
    pub figures: Figures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Packets of flows that are known.
    Established,
    /// The same, and the answer to each.
    RoundTrip,
    /// Every packet is the first of its flow.
    New,
    /// Packets that the node drops where they come in.
    Denied,
}

impl Scenario {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::RoundTrip => "round-trip",
            Self::New => "new",
            Self::Denied => "denied",
        }
    }

    /// Whether it makes a difference to a router: those that look at nothing know no flows, and what
    /// is sent back does not reach the sink.
    pub fn has(self, router: Router) -> bool {
        match router {
            Router::Tx => self == Self::Established,
            Router::Drop => self == Self::Denied,
            Router::Redirect | Router::Kernel => {
                matches!(self, Self::Established | Self::RoundTrip)
            }
            Router::XdpFilter => self != Self::New,
            Router::Nftables(_) | Router::Iptables(_) => self != Self::Denied,
            Router::Zonegate => true,
        }
    }
}

impl CompareReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            writeln!(out, "{UNIT}\n")?;
            let names = ["SCENARIO", "ROUTER", "FLOWS", "KPPS", "MIN", "MAX", "NS", "LOSS %"];
            let rows = self.rows.iter().map(|row| {
                let [kpps, min, max, ns, loss] = cells(&row.figures);
                let (scenario, flows) = (row.scenario.name().to_owned(), row.flows.to_string());
                [scenario, row.router.name(), flows, kpps, min, max, ns, loss]
            });
            print::table(out, names, 2, rows)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::statistics::Summary;

    #[test]
    fn the_json_has_these_fields_and_no_others() {
        let row = Row {
            router: Router::Nftables(10),
            scenario: Scenario::RoundTrip,
            flows: 64,
            figures: Figures {
                kpps: Summary { min: 250.0, median: 256.0, max: 270.5 },
                ns_per_packet: 3906.0,
                loss: 0.0,
            },
        };
        let expected = serde_json::json!({
            "router": "nftables-10",
            "scenario": "round-trip",
            "flows": 64,
            "kpps": { "min": 250.0, "median": 256.0, "max": 270.5 },
            "ns_per_packet": 3906.0,
            "loss": 0.0,
        });
        assert_eq!(serde_json::to_value(row).unwrap(), expected);
    }
}
