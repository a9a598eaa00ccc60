//! `zonegate bench flood`: what a flood of SYNs does to connections that are there, and to new ones.
//!
//! Clients, a node with a real agent, and a server, each in a namespace of its own, joined by veth
//! pairs. Clients open connections to a service and keep them; then SYNs from made-up addresses, each
//! of another flow, come by the same wire, while clients go on opening connections. The server either
//! answers every SYN of the flood, or has no room for them in its queue. The node's flow table has room
//! for at least four times the connections, so that a flood is more than it holds on every machine.

mod connections;
mod lab;
mod options;
mod report;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    panic::resume_unwind,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use abi::{flow::WAYS, reason::PassReason};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use self::options::FloodOptions;
use self::{
    connections::{Established, Newcomers},
    lab::Lab,
    report::{FloodReport, FloodRow},
};
use super::{
    BenchError,
    machine::Machine,
    store::need_root,
    wire::{WireError, sweep},
};

/// Measures and prints. Needs root; no interface that was there before is touched.
pub fn run(options: &FloodOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    sweep()?;
    raise_limit(options.established)?;
    let machine = Machine::this();
    let rows = [true, false].map(|answered| measure(options, answered));
    let rows = rows.into_iter().collect::<Result<_, _>>()?;
    FloodReport { machine, rows }.print(options.output, out)
}

fn measure(options: &FloodOptions, answered: bool) -> Result<FloodRow, WireError> {
    let buckets = (2 * options.established).next_power_of_two();
    let lab = Lab::new(answered, buckets)?;
    let established = lab.at_clients(|| Established::open(options.established))?;
    let retried = established.retried;
    let before = lab.counters()?;
    let done = AtomicBool::new(false);
    let (flood, newcomers) = thread::scope(|scope| {
        let newcomers = scope.spawn(|| lab.at_clients(|| Newcomers::come(&done)));
        let flood = lab.flood(options.syns(), options.rate);
        done.store(true, Ordering::Relaxed);
        (flood, newcomers.join().unwrap_or_else(|cause| resume_unwind(cause)))
    });
    let (flood, newcomers) = (flood?, newcomers?);
    let lost = established.lost();
    let (mut opened, mut dropped) = (0, BTreeMap::new());
    for (before, after) in before.iter().zip(lab.counters()?) {
        let moved = after.packets - before.packets;
        if after.name == PassReason::NewFlow.name() {
            opened = moved;
        } else if after.drop && moved > 0 {
            dropped.insert(after.name, moved);
        }
    }
    let Newcomers { attempted, succeeded } = newcomers;
    Ok(FloodRow {
        answered,
        entries: u64::from(buckets) * WAYS as u64,
        established: options.established,
        retried,
        lost,
        attempted,
        succeeded,
        syns: flood.syns,
        opened,
        kpps: flood.kpps(opened),
        dropped,
    })
}

/// Both ends of all connections are this process's, which wants more files than most.
fn raise_limit(established: u32) -> Result<(), WireError> {
    let wanted = 2 * u64::from(established) + SPARE;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
            .map_err(|_| WireError::OpenFiles { wanted })?;
    }
    Ok(())
}

/// Descriptors of everything else.
const SPARE: u64 = 1024;
