//! `zonegate bench control`: what changes cost the agent.
//!
//! Translation, store, compiler, kernel tables and saved state are the agent's own; no interface
//! is touched. Times are of the clock on the wall, as who waits for an answer sees them.

mod cluster;
mod options;
mod report;

use std::{io::Write, path::Path, time::Instant};

use self::{
    cluster::{Cluster, NODE, app},
    report::{Change, ControlReport, Figures},
};
use super::{
    BenchError,
    machine::Machine,
    process::resident,
    store::{BenchStore, in_directory, refused},
};
use crate::{
    kubernetes::{Change as ObjectChange, Object, Translator},
    loader::TableSizes,
    store::Content,
};
pub use options::ControlOptions;

/// Measures and prints. Needs root; a running agent is not disturbed.
pub fn run(options: &ControlOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    let cluster = Cluster::new(options);
    let (changes, memory) = in_directory(|directory| measure(options, &cluster, directory))?;
    let machine = Machine::this();
    ControlReport { machine, changes, memory }.print(options.output, out)
}

fn measure(
    options: &ControlOptions,
    cluster: &Cluster<'_>,
    directory: &Path,
) -> Result<(Vec<Change>, report::Memory), BenchError> {
    let mut agent = Agent::start(directory)?;
    let mut changes = vec![Change::new("everything")];
    changes[0].push(agent.change(cluster.objects())?);

    let [here, elsewhere] = cluster.pods_here_and_elsewhere();
    let flip = |round: u32| app(round % 2);
    let pod = |name, index| {
        let object = move |round| cluster.pod(index, flip(round));
        (name, Box::new(object) as Box<dyn Fn(u32) -> serde_json::Value>)
    };
    let mut rows =
        vec![pod("label of a pod here", here), pod("label of a pod elsewhere", elsewhere)];
    if let Some(index) = cluster.admitting_policy() {
        rows.push(("port of a policy", Box::new(move |round| cluster.policy(index, 9000 + round))));
    }
    for (name, object) in rows {
        let mut change = Change::new(name);
        for round in 0..options.rounds {
            change.push(agent.change([object(round)])?);
        }
        changes.push(change);
    }
    Ok((changes, agent.memory()))
}

/// The parts of an agent that a change goes through.
struct Agent {
    translator: Translator,
    store: BenchStore,
}

impl Agent {
    fn start(directory: &Path) -> Result<Self, BenchError> {
        let store = BenchStore::start(directory, NODE, TableSizes::default())?;
        Ok(Self { translator: Translator::default(), store })
    }

    /// Brings objects from text to the tables.
    fn change(
        &mut self,
        documents: impl IntoIterator<Item = serde_json::Value>,
    ) -> Result<Figures, BenchError> {
        let begun = Instant::now();
        let objects: Result<Vec<_>, _> =
            documents.into_iter().map(|it| Object::parse(it).map(ObjectChange::Upsert)).collect();
        let objects = objects.map_err(|error| refused(error.to_string()))?;
        let outcome = self.translator.apply(objects);
        if let Some(problem) = outcome.problems.first() {
            return Err(refused(problem.to_string()));
        }
        let translated = Instant::now();
        let content =
            Content { upserts: outcome.upserts, removes: outcome.removes, ..Content::default() };
        let accepted = self.store.apply(content)?;
        Ok(Figures {
            translate: translated - begun,
            compile: accepted.compile,
            commit: accepted.commit,
            answer: begun.elapsed(),
        })
    }

    fn memory(&self) -> report::Memory {
        report::Memory { maps: self.store.map_bytes, agent: resident() }
    }
}
