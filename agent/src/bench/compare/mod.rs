//! `zonegate bench compare`: the datapath beside others, and beside the least that can be done.
//!
//! All routers are there at once, each in namespaces of its own ([`super::wire`]), and take turns in
//! every round: what a neighbour on the machine does to one, it does to all.

mod plot;
mod report;

use std::{fs, io::Write};

pub use self::report::Scenario;
use self::report::{CompareReport, Row};
use super::{
    BenchError,
    machine::Machine,
    store::need_root,
    wire::{CompareOptions, Lab, Router, Sink, Target, Traffic, measure, sweep},
};

/// Measures and prints. Needs root, and nft, iptables-legacy or xdp-filter for routers of these.
pub fn run(options: &CompareOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    sweep()?;
    let machine = Machine::this();
    let routers = options.routers();
    let mut rows = Vec::new();
    for (sink, scenarios) in [
        (Sink::Count, &[Scenario::Established, Scenario::New, Scenario::Denied][..]),
        (Sink::Reflect, &[Scenario::RoundTrip]),
    ] {
        let wanted = |router: &Router| scenarios.iter().any(|it| it.has(*router));
        let labs = routers.iter().copied().filter(wanted);
        let labs = labs.map(|router| Lab::new(router, sink, 1));
        let labs = labs.collect::<Result<Vec<_>, _>>()?;
        for scenario in scenarios {
            rows.extend(compare(&labs, *scenario, options)?);
        }
    }
    let place = |row: &Row| routers.iter().position(|router| *router == row.router);
    rows.sort_by_key(|row| (row.scenario, place(row)));
    let report = CompareReport { machine, rows };
    if let Some(path) = &options.svg {
        fs::write(path, plot::draw(&report.rows)?)?;
    }
    report.print(options.output, out)
}

fn compare(
    labs: &[Lab],
    scenario: Scenario,
    options: &CompareOptions,
) -> Result<Vec<Row>, BenchError> {
    let labs: Vec<&Lab> = labs.iter().filter(|lab| scenario.has(lab.router)).collect();
    let is_new = scenario == Scenario::New;
    let frames = options.rounds.frames();
    let traffic = Traffic {
        target: if scenario == Scenario::Denied { Target::Unwanted } else { Target::Services },
        processors: 1,
        flows: if is_new { 0 } else { options.flows },
        size: SIZE,
        frames: if is_new { frames.min(MOST_NEW / options.rounds.rounds()) } else { frames }.into(),
        rounds: options.rounds.rounds(),
    };
    let figures = measure(labs.iter().map(|lab| (*lab, traffic)))?;
    // Of new flows every frame is of its own.
    let flows = if is_new { traffic.frames as u32 } else { traffic.flows };
    let row = |(lab, figures): (&&Lab, _)| Row { router: lab.router, scenario, flows, figures };
    Ok(labs.iter().zip(figures).map(row).collect())
}

/// Of frames: the shortest that there are.
const SIZE: u32 = 64;
/// What a kernel with little memory tracks of connections (`nf_conntrack_max`), with room to spare.
const MOST_NEW: u32 = 200_000;
