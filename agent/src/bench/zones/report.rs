//! How the comparison is printed.

use std::io::Write;

use serde::Serialize;

use super::{
    cluster::{Policy, Zone, Zones},
    flows::{Moves, Outcome},
};
use crate::bench::{BenchError, options::Output, print};

#[derive(Debug, Serialize)]
pub struct ZonesReport {
    pub rows: Vec<Row>,
}

/// A policy in a cluster.
#[derive(Debug, Serialize)]
pub struct Row {
    pub cluster: &'static str,
    pub zones: Zones,
    pub policy: Policy,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// In the first zone that has any.
    pub backend_leaves: Moves,
    /// In the first zone.
    pub clients_double: Moves,
    /// In the second zone.
    pub backends_double: Moves,
}

impl ZonesReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "per cent; moved by a change (the least that it asks for)\n")?;
            let names = [
                "CLUSTER",
                "CLIENTS",
                "BACKENDS",
                "POLICY",
                "IN ZONE",
                "REFUSED",
                "WORST BACKEND",
                "BACKEND LEAVES",
                "CLIENTS x2",
                "BACKENDS x2",
            ];
            let rows = self.rows.iter().map(|row| {
                [
                    row.cluster.to_owned(),
                    list(&row.zones, |zone| zone.clients),
                    list(&row.zones, |zone| zone.backends),
                    row.policy.name().to_owned(),
                    format!("{:.1}", row.outcome.in_zone),
                    format!("{:.1}", row.outcome.refused),
                    format!("{:.0}", row.outcome.worst_backend),
                    moves(row.backend_leaves),
                    moves(row.clients_double),
                    moves(row.backends_double),
                ]
            });
            print::table(out, names, 4, rows)
        })
    }
}

fn list(zones: &Zones, of: fn(&Zone) -> u32) -> String {
    zones.iter().map(|zone| of(zone).to_string()).collect::<Vec<_>>().join("/")
}

fn moves(Moves { moved, least }: Moves) -> String {
    format!("{moved:.1} ({least:.1})")
}
