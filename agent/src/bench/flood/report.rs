//! How floods are printed.
#![expect(clippy::cast_precision_loss, reason = "frames are counted far below 2⁵²")]

use std::{collections::BTreeMap, io::Write, time::Duration};

use serde::Serialize;

use crate::bench::{BenchError, machine::Machine, options::Output, print};

#[derive(Debug, Serialize)]
pub struct FloodReport {
    pub machine: Machine,
    pub rows: Vec<FloodRow>,
}

/// One flood.
#[derive(Debug, Serialize)]
pub struct FloodRow {
    /// The server answered its SYNs.
    pub answered: bool,
    /// Of the flow table; a connection takes two.
    pub entries: u64,
    /// Connections before the flood, those of them that needed a second port to find room, and those that
    /// carried nothing after it.
    pub established: u32,
    pub retried: u32,
    pub lost: u32,
    /// New connections during the flood.
    pub attempted: u32,
    pub succeeded: u32,
    /// SYNs that were sent.
    pub syns: u64,
    /// Flows that were opened meanwhile, of new connections as well, and thousands of them in a second.
    pub opened: u64,
    pub kpps: f64,
    /// Packets that were dropped meanwhile, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// SYNs that were sent.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    pub syns: u64,
    pub time: Duration,
}

impl Flood {
    /// Thousands of packets in a second, of so many meanwhile.
    pub fn kpps(&self, packets: u64) -> f64 {
        packets as f64 / self.time.as_secs_f64() / 1000.0
    }
}

impl FloodReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}\n", self.machine)?;
            let names = [
                "SYNS ARE",
                "ENTRIES",
                "ESTABLISHED",
                "RETRIED",
                "LOST",
                "ATTEMPTED",
                "SUCCEEDED",
                "SYNS",
                "OPENED",
                "KPPS",
                "DROPPED",
            ];
            print::table(out, names, 1, self.rows.iter().map(FloodRow::cells))
        })
    }
}

impl FloodRow {
    fn cells(&self) -> [String; 11] {
        let dropped = self.dropped.iter().map(|(reason, packets)| format!("{reason} {packets}"));
        [
            if self.answered { "answered" } else { "not answered" }.to_owned(),
            self.entries.to_string(),
            self.established.to_string(),
            self.retried.to_string(),
            self.lost.to_string(),
            self.attempted.to_string(),
            self.succeeded.to_string(),
            self.syns.to_string(),
            self.opened.to_string(),
            format!("{:.0}", self.kpps),
            dropped.collect::<Vec<_>>().join(", "),
        ]
    }
}
