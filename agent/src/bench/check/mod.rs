//! `zonegate bench check`: whether packets still cost what they did when ratios were committed.
//!
//! A short run of the programs alone and of wires. Nothing is compared in nanoseconds, which are
//! the machine's: programs are compared with a program of fixed work, a node with the least that a
//! node can do, each in the same round of the same run.

mod ratios;
mod report;

use std::{io::Write, path::PathBuf};

use clap::Args;

use self::{
    ratios::{Ratios, Section},
    report::{CheckReport, judge},
};
use super::{
    BenchError,
    bystanders::Bystanders,
    compare::Scenario,
    machine::Machine,
    node::{self, Node},
    options::{Output, PathOptions},
    scenario::GROUPS,
    store::need_root,
    way,
    wire::{Lab, Router, Sink, Target, Traffic, measure, sweep},
};

/// What to compare with.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// The committed ratios
    #[arg(default_value = "tests/ratios.toml", value_name = "FILE")]
    file: PathBuf,
    /// Writes what is measured into the file, rather than compare; wants an idle machine
    #[arg(long)]
    bless: bool,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Measures and prints; what is beyond the margin is an error, and so is a row that only the file
/// or only the run has. Needs root; no interface that was there before is touched.
pub fn run(options: &CheckOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    let machine = Machine::this();
    if options.bless {
        let margin = Ratios::margin_of(&options.file)?;
        return Ratios { margin, ..measured()? }.write(&options.file);
    }
    let expected = Ratios::read(&options.file)?;
    let mut best = measured()?;
    for _ in 1..ATTEMPTS {
        if !judge(&expected, &best).iter().any(|row| row.verdict.fails()) {
            break;
        }
        best = best.least(measured()?);
    }
    let report = CheckReport { machine, margin: expected.margin, rows: judge(&expected, &best) };
    report.print(options.output, out)?;
    match report.rows.iter().filter(|row| row.verdict.fails()).count() {
        0 => Ok(()),
        rows => Err(BenchError::Beyond { rows, file: options.file.clone() }),
    }
}

/// Noise makes packets slower and never faster: a row that is beyond the margin once may not be,
/// one that is beyond it twice is.
const ATTEMPTS: u32 = 2;

fn measured() -> Result<Ratios, BenchError> {
    // Wires first: programs alone are measured by a thread that stays on one processor.
    let wire = wire()?;
    Ok(Ratios { wire, path: path()?, ..Ratios::default() })
}

/// Of each scenario with few flows and with many that caches hold, to the fixed work.
fn path() -> Result<Section, BenchError> {
    let options = PathOptions::short(ROUNDS);
    let most = FLOWS.into_iter().max().unwrap_or_default();
    let mut node = [Node::open(&options, Bystanders::NONE, most, &way::open()?)?];
    let mut section = Section::new();
    for flows in FLOWS {
        let mut rows = node::replacing(&mut node, flows)?;
        for group in GROUPS {
            rows.extend(node::group(&mut node, group, flows)?);
        }
        section.extend(rows.iter().flatten().map(|row| (name(row.scenario, row.flows), row.ratio)));
    }
    Ok(section)
}

const ROUNDS: u32 = 15;
const FLOWS: [u32; 2] = [1, 1 << 10];

/// Of a packet's time through the agent's node, to that through a node that redirects everything.
fn wire() -> Result<Section, BenchError> {
    sweep()?;
    let mut section = Section::new();
    for (sink, scenario, many) in [
        (Sink::Count, Scenario::Established, &[64, 10_000][..]),
        (Sink::Reflect, Scenario::RoundTrip, &[64]),
    ] {
        let labs = [Router::Zonegate, Router::Redirect].map(|router| Lab::new(router, sink, 1));
        let labs = labs.into_iter().collect::<Result<Vec<_>, _>>()?;
        for flows in many.iter().copied() {
            let traffic = Traffic {
                target: Target::Services,
                processors: 1,
                flows,
                size: 64,
                frames: 50_000,
                rounds: 9,
            };
            if let [node, least] = measure(labs.iter().map(|lab| (lab, traffic)))?[..] {
                let ratio = node.ns_per_packet / least.ns_per_packet;
                section.insert(name(scenario.name(), flows), ratio);
            }
        }
    }
    Ok(section)
}

fn name(scenario: &str, flows: u32) -> String {
    format!("{scenario} {flows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::NEW;

    #[test]
    fn the_committed_file_has_a_ratio_for_every_scenario() {
        let committed = Ratios::parse(include_str!("../../../../tests/ratios.toml")).unwrap();
        let mut scenarios: Vec<_> =
            GROUPS.iter().flat_map(|group| group.scenarios).map(|it| it.name).collect();
        scenarios.push(NEW.name);
        let mut expected: Vec<_> = FLOWS
            .into_iter()
            .flat_map(|flows| scenarios.iter().map(move |it| name(it, flows)))
            .collect();
        expected.sort_unstable();
        assert_eq!(committed.path.into_keys().collect::<Vec<_>>(), expected);
        let wires: Vec<_> = committed.wire.into_keys().collect();
        assert_eq!(wires, ["established 10000", "established 64", "round-trip 64"]);
    }
}
