//! `zonegate bench wire`: packets from a generator through a node to a sink.
//!
//! Each router has namespaces of its own, joined by veth pairs; all are gone afterwards, or at the
//! next start. Generator, router and sink share one processor, whose time is what is reported.

mod agent;
mod error;
mod lab;
mod measure;
mod namespace;
mod options;
mod passage;
mod report;
mod router;
mod rules;
mod softirq;
mod xdp_filter;

use std::io::Write;

pub use self::report::{UNIT, cells};
use self::report::{WireReport, WireRow};
pub use self::{
    agent::{Agent, nodes, one_backend},
    error::WireError,
    lab::{GENERATOR, Lab, NODE, Sink, connect},
    measure::{Figures, Target, Traffic, measure},
    namespace::{Namespace, orphans, run as command, sweep},
    options::{CompareOptions, Rounds, WireOptions},
    passage::{Passage, Tally},
    router::{BACKEND_PORT, CLIENTS, Router, SERVICE_PORT, backend, service},
};
use super::{BenchError, machine::Machine, store::need_root};

/// Measures and prints. Needs root; no interface that was there before is touched.
pub fn run(options: &WireOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    sweep()?;
    let machine = Machine::this();
    let labs = ROUTERS.map(|router| Lab::new(router, Sink::Count, 1));
    let labs = labs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for flows in &options.flows {
        for size in &options.sizes {
            let traffic = Traffic {
                target: Target::Services,
                processors: 1,
                flows: *flows,
                size: *size,
                frames: options.rounds.frames().into(),
                rounds: options.rounds.rounds(),
            };
            let figures = measure(labs.iter().map(|lab| (lab, traffic)))?;
            rows.extend(labs.iter().zip(figures).map(|(lab, figures)| WireRow {
                router: lab.router,
                flows: *flows,
                size: *size,
                figures,
            }));
        }
    }
    let place = |row: &WireRow| ROUTERS.iter().position(|router| *router == row.router);
    rows.sort_by_key(|row| (place(row), row.flows, row.size));
    WireReport { machine, rows }.print(options.output, out)
}

const ROUTERS: [Router; 4] = [Router::Zonegate, Router::Redirect, Router::Tx, Router::Drop];
