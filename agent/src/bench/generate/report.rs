//! How a run is printed.

use std::io::Write;

use serde::Serialize;

use crate::bench::{BenchError, machine::Machine, options::Output, print, statistics::Summary};

/// What was sent.
#[derive(Debug, Serialize)]
pub struct GenerateReport {
    pub machine: Machine,
    pub interface: String,
    /// 0 of a replay.
    pub flows: u32,
    /// Handed to the interface.
    pub frames: u64,
    /// Sent by the interface's own account, others' frames included.
    pub transmitted: u64,
    pub seconds: f64,
    /// Frames per second, of all samples.
    pub pps: Summary,
}

impl GenerateReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}\n", self.machine)?;
            let names = [
                "INTERFACE",
                "FLOWS",
                "FRAMES",
                "TRANSMITTED",
                "SECONDS",
                "PPS MEDIAN",
                "MIN",
                "MAX",
            ];
            let [median, min, max] =
                [self.pps.median, self.pps.min, self.pps.max].map(|it| format!("{it:.0}"));
            let row = [
                self.interface.clone(),
                self.flows.to_string(),
                self.frames.to_string(),
                self.transmitted.to_string(),
                format!("{:.2}", self.seconds),
                median,
                min,
                max,
            ];
            print::table(out, names, 1, [row].into_iter())
        })
    }
}
