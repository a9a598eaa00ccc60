//! What the store says of itself.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use super::{Accepted, Store};
use crate::{
    dataplane::{Attachment, Counter, Fill, Stamp},
    model::Kind,
    source_problem::SourceProblem,
};

/// Whether packets are handled as the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing was ever committed: everything passes.
    Empty,
    /// Tables of an earlier agent are in force, and what is in them is not known.
    Holding,
    /// The saved state could not be brought into force.
    NotRestored(String),
    /// A source of this agent has yet to say for the first time what it wants held.
    Awaiting {
        source: String,
        /// What the source itself waits for; empty where it does not say.
        missing: String,
    },
    Ready,
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing was committed yet: all traffic passes"),
            Self::Holding => f.write_str(
                "tables of an earlier agent are in force; a complete REPLACE snapshot is needed",
            ),
            Self::NotRestored(reason) => {
                write!(f, "the saved state could not be restored: {reason}")
            }
            Self::Awaiting { source, missing } => {
                write!(
                    f,
                    "nothing of the source {source:?} was committed since the agent started"
                )?;
                if missing.is_empty() { Ok(()) } else { write!(f, ": waiting for {missing}") }
            }
            Self::Ready => Ok(()),
        }
    }
}

/// Counts transactions since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits {
    pub accepted: u64,
    pub refused: u64,
    pub failed: u64,
    pub last: Option<(SystemTime, Accepted)>,
}

impl Commits {
    pub(super) fn record(&mut self, accepted: &Accepted) {
        self.accepted += 1;
        self.last = Some((SystemTime::now(), *accepted));
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerStatus {
    pub name: String,
    pub epoch: u64,
    /// A session of that epoch is open.
    pub live: bool,
    pub resources: usize,
}

/// How much of a limit is used; what exceeds it is refused by the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub limit: &'static str,
    pub used: usize,
    pub room: usize,
}

/// The state of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub node: String,
    pub readiness: Readiness,
    pub stamp: Stamp,
    pub commits: Commits,
    pub owners: Vec<OwnerStatus>,
    pub resources: BTreeMap<Kind, usize>,
    pub counters: Vec<Counter>,
    pub limits: Vec<Usage>,
    pub tables: Vec<Fill>,
    pub attachments: Vec<Attachment>,
    /// What sources cannot use now, by source.
    pub problems: BTreeMap<String, Vec<SourceProblem>>,
    /// Why the state was not saved the last time.
    pub save_error: Option<String>,
}

impl Store {
    /// Has the node count as not ready before a snapshot of this owner is accepted.
    pub fn await_snapshot(&mut self, owner: &str) {
        self.awaited.insert(owner.to_owned(), String::new());
    }

    /// Says what an owner that is awaited waits for itself, for people to read.
    pub fn wait_for(&mut self, owner: &str, missing: String) {
        if let Some(known) = self.awaited.get_mut(owner) {
            *known = missing;
        }
    }

    /// Takes down everything that a source cannot use now, for people to read: the first
    /// thousand, each text of bounded length.
    pub fn report(&mut self, source: &str, mut problems: Vec<SourceProblem>) {
        problems.truncate(PROBLEMS);
        for SourceProblem { file, object, field, reason, effect, .. } in &mut problems {
            for text in [file, object, field, reason, effect] {
                text.truncate(text.floor_char_boundary(PROBLEM_BYTES));
            }
        }
        self.problems.insert(source.to_owned(), problems);
    }

    pub(super) fn readiness(&self) -> Readiness {
        match (&self.readiness, self.awaited.first_key_value()) {
            (Readiness::Ready, Some((source, missing))) => {
                Readiness::Awaiting { source: source.clone(), missing: missing.clone() }
            }
            (readiness, _) => readiness.clone(),
        }
    }

    pub fn status(&self) -> Status {
        let mut resources: BTreeMap<_, _> = Kind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        let mut by_owner = BTreeMap::<&str, usize>::new();
        for (key, held) in &self.state.held {
            *resources.entry(key.kind).or_default() += 1;
            *by_owner.entry(&held.owner).or_default() += 1;
        }
        Status {
            node: self.parts.node.clone(),
            readiness: self.readiness(),
            stamp: self.state.stamp,
            commits: self.commits.clone(),
            owners: self
                .state
                .owners
                .iter()
                .map(|(name, owner)| OwnerStatus {
                    name: name.clone(),
                    epoch: owner.epoch,
                    live: self.is_live(name),
                    resources: by_owner.get(name.as_str()).copied().unwrap_or(0),
                })
                .collect(),
            resources,
            counters: self.parts.dataplane.counters(),
            limits: self.parts.compiler.usage(),
            tables: self.parts.dataplane.fill(),
            attachments: self.parts.dataplane.attachments(),
            problems: self.problems.clone(),
            save_error: self.save_error.clone(),
        }
    }
}

const PROBLEMS: usize = 1_000;
/// Of each text of a problem.
const PROBLEM_BYTES: usize = 1024;
