//! `zonegate bench services`: what many services cost the agent.
//!
//! Store, compiler, kernel tables and saved state are the agent's own; no interface is touched.

pub mod crowd;
mod report;

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;

use self::{
    crowd::{Crowd, MOST_PODS, NODE},
    report::{ServicesReport, Times},
};
use super::{
    BenchError,
    machine::Machine,
    options::{Output, count},
    process::resident,
    store::{BenchStore, in_directory},
};
use crate::{
    model::Resource,
    store::{Accepted, Content},
};

/// How many services there are.
#[derive(Debug, Clone, Args)]
pub struct ServicesOptions {
    /// Services, each with one frontend
    #[arg(long, default_value = "50000", value_parser = count, value_name = "COUNT")]
    pub services: u32,
    /// Endpoints of each of them
    #[arg(long, default_value = "20", value_parser = count, value_name = "COUNT")]
    pub endpoints: u32,
    /// How many endpoints change, one after another
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// Measures and prints. Needs root; a running agent is not disturbed.
pub fn run(options: &ServicesOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    let measured = in_directory(|directory| measure(options, directory));
    measured?.print(options.output, out)
}

fn measure(options: &ServicesOptions, directory: &Path) -> Result<ServicesReport, BenchError> {
    let ServicesOptions { services, endpoints, .. } = *options;
    let crowd = Crowd { services, endpoints, pods: MOST_PODS };
    let mut store = BenchStore::start(directory, NODE, crowd.tables())?;
    let (accepted, answer) = change(&mut store, crowd.resources().collect())?;
    let load = Times::of(&[accepted.compile], &[accepted.commit], &[answer]);
    let [mut compile, mut commit, mut answers] = [const { Vec::new() }; 3];
    for round in 0..options.rounds {
        // Services all over the order of names; every second time what left comes back.
        let service = (round / 2).wrapping_mul(7919) % options.services;
        let set = crowd.backends(service, round % 2 == 0);
        let (accepted, answer) = change(&mut store, vec![set])?;
        compile.push(accepted.compile);
        commit.push(accepted.commit);
        answers.push(answer);
    }
    Ok(ServicesReport {
        machine: Machine::this(),
        services: options.services,
        endpoints: options.endpoints,
        load,
        change: Times::of(&compile, &commit, &answers),
        agent_bytes: resident(),
        map_bytes: store.map_bytes,
        map_bytes_per_endpoint: crowd.bytes_per_endpoint(),
    })
}

fn change(
    store: &mut BenchStore,
    upserts: Vec<Resource>,
) -> Result<(Accepted, Duration), BenchError> {
    let begun = Instant::now();
    let accepted = store.apply(Content { upserts, ..Content::default() })?;
    Ok((accepted, begun.elapsed()))
}
