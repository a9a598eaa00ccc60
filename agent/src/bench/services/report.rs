//! How the figures of many services are printed.

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::bench::{BenchError, machine::Machine, options::Output, print, statistics::Percentiles};

#[derive(Debug, Serialize)]
pub struct ServicesReport {
    pub machine: Machine,
    pub services: u32,
    /// Of each service.
    pub endpoints: u32,
    /// From nothing to all of it.
    pub load: Times,
    /// One endpoint leaves or comes back.
    pub change: Times,
    /// Resident memory of this process, which holds what an agent does.
    pub agent_bytes: u64,
    /// Of the kernel's maps: they have their full size from the beginning.
    pub map_bytes: u64,
    pub map_bytes_per_endpoint: u64,
}

/// Milliseconds.
#[expect(clippy::struct_field_names, reason = "figures are named with their unit")]
#[derive(Debug, Default, Serialize)]
pub struct Times {
    /// From resources to tables.
    pub compile_ms: Percentiles,
    /// From there until packets see them.
    pub commit_ms: Percentiles,
    /// Both: from a change to the map.
    pub visible_ms: Percentiles,
    /// Until both sides of the tables and the state are written.
    pub answer_ms: Percentiles,
}

impl Times {
    pub fn of(compile: &[Duration], commit: &[Duration], answer: &[Duration]) -> Self {
        let of = |times: &mut dyn Iterator<Item = Duration>| {
            Percentiles::of(times.map(|it| it.as_secs_f64() * 1e3).collect())
        };
        Self {
            compile_ms: of(&mut compile.iter().copied()),
            commit_ms: of(&mut commit.iter().copied()),
            visible_ms: of(&mut compile.iter().zip(commit).map(|(one, other)| *one + *other)),
            answer_ms: of(&mut answer.iter().copied()),
        }
    }

    fn rows(&self, what: &'static str) -> [[String; 5]; 4] {
        [
            ("compile", &self.compile_ms),
            ("commit", &self.commit_ms),
            ("visible", &self.visible_ms),
            ("answer", &self.answer_ms),
        ]
        .map(|(stage, Percentiles { p50, p99, max })| {
            let cell = |figure: &f64| format!("{figure:.2}");
            [what.to_owned(), stage.to_owned(), cell(p50), cell(p99), cell(max)]
        })
    }
}

impl ServicesReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            writeln!(out, "{} services of {} endpoints", self.services, self.endpoints)?;
            writeln!(out, "milliseconds\n")?;
            let names = ["WHAT", "STAGE", "P50", "P99", "MAX"];
            let rows = self.load.rows("everything").into_iter();
            let rows = rows.chain(self.change.rows("one endpoint"));
            print::table(out, names, 2, rows)?;
            let (maps, agent) = (self.map_bytes >> 20, self.agent_bytes >> 20);
            let each = self.map_bytes_per_endpoint;
            writeln!(out, "\nmaps {maps} MiB, {each} bytes for each endpoint")?;
            writeln!(out, "agent {agent} MiB resident")
        })
    }
}
