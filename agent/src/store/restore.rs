//! How a store begins: from a saved state, over tables that may hold something already.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CommitFailure, Commits, Compile, Owner, Parts, Readiness, State, Store, health_checks::Checked,
};
use crate::{dataplane::Stamp, image::Image};

impl Store {
    /// Starts over the tables of `parts.dataplane`; see the [module](super) for what is then
    /// accepted. `saved` is what an earlier agent saved last.
    pub fn start(mut parts: Parts, saved: Option<State>) -> Self {
        let tables = parts.dataplane.held().filter(|(_, stamp)| stamp.revision > 0);
        prepare(parts.compiler.as_mut(), saved.as_ref(), tables.as_ref());
        let (state, beginning) = beginning(saved, tables.map(|(_, stamp)| stamp));
        let mut store = Self {
            parts,
            state,
            readiness: Readiness::Empty,
            sessions: BTreeMap::new(),
            next_session: 0,
            commits: Commits::default(),
            save_error: None,
            awaited: BTreeMap::new(),
            problems: BTreeMap::new(),
            checked: Checked::default(),
            zone_accounts: BTreeMap::new(),
        };
        match beginning {
            Beginning::Empty => {}
            Beginning::Hold => store.readiness = Readiness::Holding,
            Beginning::Commit(stamp) => store.restore(stamp),
        }
        // A commit whose saving is cut short must find the history that it belongs to.
        store.save(None);
        store
    }

    fn restore(&mut self, stamp: Stamp) {
        self.state.stamp = stamp;
        let reason = match self.commit(stamp, &BTreeSet::new()) {
            Ok(_) => return,
            Err(CommitFailure::Failed(error)) => error.to_string(),
            Err(CommitFailure::Refused(refusals)) => {
                refusals.first().map_or_else(String::new, ToString::to_string)
            }
        };
        tracing::error!(%reason, "the saved state could not be restored");
        self.readiness = Readiness::NotRestored(reason);
    }
}

/// Has the compiler give everything the number that tables and flows know it by, as far as that
/// is known, and no number that they know something else by.
fn prepare(compiler: &mut dyn Compile, saved: Option<&State>, tables: Option<&(Image, Stamp)>) {
    let recalled = saved.is_some_and(|state| {
        let of_this_history = |(_, stamp): &&(Image, Stamp)| stamp.lineage == state.stamp.lineage;
        let tables = tables.filter(of_this_history).map(|(image, _)| image);
        compiler.recall(&state.compiler, &state.world, tables)
    });
    if let Some((image, stamp)) = tables
        && !(recalled && saved.is_some_and(|state| state.stamp == *stamp))
    {
        compiler.adopt(image);
    }
}

enum Beginning {
    Empty,
    Hold,
    Commit(Stamp),
}

/// What is known at first and what to do with it. `tables` is the stamp of what is in force.
fn beginning(saved: Option<State>, tables: Option<Stamp>) -> (State, Beginning) {
    match (saved, tables) {
        (None, None) => (State { stamp: new_lineage(0), ..State::default() }, Beginning::Empty),
        (None, Some(tables)) => (unknown(BTreeMap::new(), tables), Beginning::Hold),
        (Some(state), None) if state.stamp.revision == 0 => (state, Beginning::Empty),
        (Some(state), Some(tables)) if tables.lineage != state.stamp.lineage => {
            (unknown(state.owners, tables), Beginning::Hold)
        }
        (Some(state), Some(tables)) if tables.revision > state.stamp.revision => {
            (state, Beginning::Commit(new_lineage(tables.revision + 1)))
        }
        (Some(state), _) => {
            let stamp = state.stamp;
            (state, Beginning::Commit(stamp))
        }
    }
}

/// Nothing but who has written. Answers of another history are not answers of this one.
fn unknown(owners: BTreeMap<String, Owner>, tables: Stamp) -> State {
    let owners = owners
        .into_iter()
        .map(|(name, owner)| (name, Owner { epoch: owner.epoch, ..Owner::default() }))
        .collect();
    State { stamp: new_lineage(tables.revision), owners, ..State::default() }
}

fn new_lineage(revision: u64) -> Stamp {
    Stamp { lineage: rand::random(), revision }
}
