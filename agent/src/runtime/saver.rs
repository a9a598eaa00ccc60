//! Keeps the store's state in files: a snapshot, and the changes since.
//!
//! A change costs what changed. Once changes weigh as much as the snapshot, there is a new one.

use std::{io, path::Path};

use crate::{
    grpc,
    state::{LoadError, Loaded, StateFile},
    store::{Change, Save, State},
};

/// Saves to a directory of its own.
pub struct Saver {
    file: StateFile,
    /// Bytes of the snapshot and of the changes since.
    snapshot: usize,
    changes: usize,
}

impl Saver {
    /// Also gives what the last agent saved. A file that cannot be understood is kept aside,
    /// loudly: without it the node holds what its tables say until a snapshot comes.
    pub fn open(directory: &Path) -> io::Result<(Self, Option<State>)> {
        let file = StateFile::open(directory)?;
        let state = match file.load() {
            Ok(loaded) => loaded.map(|loaded| decode(&loaded)).transpose(),
            Err(LoadError::Read { source, .. }) => return Err(source),
            Err(error @ LoadError::Bad { .. }) => Err(error.to_string()),
        };
        let state = match state {
            Ok(state) => state,
            Err(reason) => {
                let kept = file.set_aside()?;
                tracing::error!(%reason, kept = %kept.display(), "the saved state is unusable");
                None
            }
        };
        Ok((Self { file, snapshot: 0, changes: 0 }, state))
    }
}

impl Save for Saver {
    fn save(&mut self, state: &State, change: Option<&Change>) -> io::Result<()> {
        if let Some(change) = change.filter(|_| self.changes < self.snapshot.max(LEAST)) {
            let bytes = grpc::encode_change(state, change);
            self.file.append(&bytes)?;
            self.changes += bytes.len();
        } else {
            let bytes = grpc::encode_state(state);
            self.file.save(&bytes)?;
            (self.snapshot, self.changes) = (bytes.len(), 0);
        }
        Ok(())
    }
}

/// Below this many bytes of changes, a new snapshot is not worth its while.
const LEAST: usize = 1 << 20;

fn decode(loaded: &Loaded) -> Result<State, String> {
    let mut state = grpc::decode_state(&loaded.snapshot).map_err(|error| error.to_string())?;
    for change in &loaded.changes {
        grpc::decode_change(change, &mut state).map_err(|error| error.to_string())?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        model::{AddressSet, Resource},
        store::{Held, Owner},
    };

    /// Puts an address set with so many prefixes into the state, and names the change.
    fn change(state: &mut State, name: &str, prefixes: usize) -> Change {
        let prefix = |index: usize| format!("10.{}.{}.0/24", index >> 8 & 255, index & 255);
        let prefixes = (0..prefixes).map(|index| prefix(index).parse().unwrap()).collect();
        let set = AddressSet { name: name.to_owned(), prefixes, except: Vec::new() };
        let set = Resource::AddressSet(set);
        let key = set.key();
        state.stamp.revision += 1;
        let held = Held { owner: "cli".to_owned(), revision: state.stamp.revision };
        state.held.insert(key.clone(), held);
        state.world.upsert(set);
        state.saves += 1;
        state.compiler = state.saves.to_string().into_bytes();
        Change { owner: "cli".to_owned(), nonce: None, resources: BTreeSet::from([key]) }
    }

    #[test]
    fn changes_add_up_until_there_is_a_new_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        let (mut saver, known) = Saver::open(directory.path()).unwrap();
        assert_eq!(known, None);
        let owners = BTreeMap::from([("cli".to_owned(), Owner { epoch: 3, ..Owner::default() })]);
        let mut state = State { owners, ..State::default() };
        saver.save(&state, None).unwrap();

        let snapshot = || std::fs::metadata(directory.path().join("state")).unwrap().len();
        let empty = snapshot();
        let mut saved = 0;
        while snapshot() == empty {
            let change = change(&mut state, &format!("set-{}", saved % 7), 5000 + saved);
            saver.save(&state, Some(&change)).unwrap();
            let (_, known) = Saver::open(directory.path()).unwrap();
            assert_eq!(known.as_ref(), Some(&state), "after {saved} changes");
            saved += 1;
        }
        assert!(saved > 2, "{saved} changes");
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (mut saver, _) = Saver::open(directory.path()).unwrap();
        let mut state = State::default();
        change(&mut state, "set", 1);
        saver.save(&state, None).unwrap();
        let key = state.held.pop_first().unwrap().0;
        state.world.remove(&key);
        state.saves += 1;
        let resources = BTreeSet::from([key]);
        let change = Change { owner: "nobody".to_owned(), nonce: None, resources };
        saver.save(&state, Some(&change)).unwrap();
        assert_eq!(Saver::open(directory.path()).unwrap().1, Some(state));
    }
}
