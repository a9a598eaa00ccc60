//! `zonegate bench scale`: what all processors do together, against what one does.
//!
//! Every processor sends frames of its own flows through the same node, whose interfaces have a queue
//! for each. As everywhere on wires, figures are of processors' time: what processors cost each other
//! is in them, what others on the machine take is not. Programs that share nothing show how
//! far generator, wire and machine themselves scale.

use std::{io::Write, thread};

use clap::Args;
use serde::Serialize;

use super::{
    BenchError,
    machine::Machine,
    options::{Output, count},
    print,
    statistics::Summary,
    store::need_root,
    wire::{Figures, Lab, Rounds, Router, Sink, Target, Traffic, measure, sweep},
};

/// How much is sent.
#[derive(Debug, Clone, Args)]
pub struct ScaleOptions {
    /// Flows of each processor
    #[arg(long, value_delimiter = ',', default_value = "64,10000", value_name = "LIST",
        value_parser = count)]
    flows: Vec<u32>,
    #[command(flatten)]
    rounds: Rounds,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Measures and prints. Needs root and two processors; no interface that was there before is touched.
pub fn run(options: &ScaleOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    sweep()?;
    let machine = Machine::this();
    let processors = thread::available_parallelism().map_or(1, |it| it.get() as u32);
    let labs = ROUTERS.map(|router| Lab::new(router, Sink::Count, processors));
    let labs = labs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for flows in options.flows.iter().copied() {
        let traffic = |processors: u32| Traffic {
            target: Target::Services,
            processors,
            flows: flows * processors,
            size: SIZE,
            frames: u64::from(options.rounds.frames()) * u64::from(processors),
            rounds: options.rounds.rounds(),
        };
        let runs = labs.iter().flat_map(|lab| [1, processors].map(|it| (lab, traffic(it))));
        let figures = measure(runs)?;
        rows.extend(labs.iter().zip(figures.chunks_exact(2)).filter_map(|(lab, figures)| {
            let [one, all] = figures else { return None };
            Some(Row::new(lab.router, flows, processors, *one, *all))
        }));
    }
    let place = |row: &Row| ROUTERS.iter().position(|router| *router == row.router);
    rows.sort_by_key(|row| (place(row), row.flows));
    ScaleReport { machine, rows }.print(options.output, out)
}

/// Those after the first are the ceilings.
const ROUTERS: [Router; 3] = [Router::Zonegate, Router::Redirect, Router::Drop];
/// Of frames: the shortest that there are.
const SIZE: u32 = 64;

#[derive(Debug, Serialize)]
struct ScaleReport {
    machine: Machine,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    router: Router,
    /// Of each processor.
    flows: u32,
    processors: u32,
    /// Thousands of packets a second that one processor delivers.
    one: Summary,
    /// The same of all together.
    all: Summary,
    /// Of the medians, `all` to `one`.
    ratio: f64,
    /// Per cent of the frames that did not come through, with all: the median.
    loss: f64,
}

impl Row {
    fn new(router: Router, flows: u32, processors: u32, one: Figures, all: Figures) -> Self {
        // Figures are of one processor's time.
        let together = |kpps: f64| kpps * f64::from(processors);
        let Summary { min, median, max } = all.kpps;
        let (min, median, max) = (together(min), together(median), together(max));
        let ratio = (median / one.kpps.median * 1e3).round() / 1e3;
        let (one, all, loss) = (one.kpps, Summary { min, median, max }, all.loss);
        Self { router, flows, processors, one, all, ratio, loss }
    }
}

impl ScaleReport {
    fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            let Self { machine, rows } = self;
            let processors = rows.first().map_or(1, |row| row.processors);
            writeln!(out, "{machine}")?;
            writeln!(
                out,
                "thousands of packets delivered in a second of one processor, and of all \
                 {processors} at once;\nflows of each processor; generator and sink included\n"
            )?;
            let names =
                ["ROUTER", "FLOWS", "ONE", "MIN", "MAX", "ALL", "MIN", "MAX", "LOSS %", "RATIO"];
            let rows = rows.iter().map(|row| {
                let Row { router, flows, one, all, ratio, loss, .. } = row;
                let figures = [one.median, one.min, one.max, all.median, all.min, all.max];
                let [a, b, c, d, e, f] = figures.map(|it| format!("{it:.0}"));
                let (loss, ratio) = (format!("{loss:.2}"), format!("{ratio:.2}"));
                [router.name(), flows.to_string(), a, b, c, d, e, f, loss, ratio]
            });
            print::table(out, names, 1, rows)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_count_together() {
        let kpps = |median: f64| Figures {
            kpps: Summary { min: median - 10.0, median, max: median + 10.0 },
            ns_per_packet: 1e6 / median,
            loss: 0.5,
        };
        let row = Row::new(Router::Redirect, 64, 2, kpps(1000.0), kpps(950.0));
        assert_eq!(row.all, Summary { min: 1880.0, median: 1900.0, max: 1920.0 });
        assert!((row.ratio - 1.9).abs() < 1e-9 && (row.loss - 0.5).abs() < 1e-9, "{row:?}");
    }
}
