//! How wires are printed.

use std::io::Write;

use serde::Serialize;

use super::{Figures, Router};
use crate::bench::{BenchError, machine::Machine, options::Output, print};

#[derive(Debug, Serialize)]
pub struct WireReport {
    pub machine: Machine,
    pub rows: Vec<WireRow>,
}

/// Frames of one size and so many flows through a router.
#[derive(Debug, Serialize)]
pub struct WireRow {
    pub router: Router,
    pub flows: u32,
    pub size: u32,
    #[serde(flatten)]
    pub figures: Figures,
}

impl WireReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            writeln!(out, "{UNIT}\n")?;
            let names = ["ROUTER", "FLOWS", "BYTES", "KPPS", "MIN", "MAX", "NS", "LOSS %"];
            let rows = self.rows.iter().map(|row| {
                let [kpps, min, max, ns, loss] = cells(&row.figures);
                let (flows, size) = (row.flows.to_string(), row.size.to_string());
                [row.router.name(), flows, size, kpps, min, max, ns, loss]
            });
            print::table(out, names, 1, rows)
        })
    }
}

pub const UNIT: &str =
    "thousands of packets delivered in a second of one processor, generator and sink included";

/// Median, least and most, processor time, and loss.
pub fn cells(figures: &Figures) -> [String; 5] {
    let Figures { kpps, ns_per_packet, loss } = figures;
    let [median, min, max] = [kpps.median, kpps.min, kpps.max].map(|it| format!("{it:.0}"));
    [median, min, max, format!("{ns_per_packet:.0}"), format!("{loss:.2}")]
}
