//! Changes to the state that can be taken back.

use std::collections::BTreeSet;

use super::{Held, State};
use crate::{
    model::{Key, Resource},
    refusal::Refusal,
};

/// A change that was made, with what it takes to undo it.
pub(super) struct Edit {
    /// What was held before, by key, in the order of the changes.
    before: Vec<(Key, Option<(Resource, Held)>)>,
}

impl Edit {
    /// Upserts and removes; a snapshot also removes what else the owner has.
    ///
    /// What [`check`] has nothing against is all that may be made.
    pub(super) fn make(
        state: &mut State,
        owner: &str,
        upserts: Vec<Resource>,
        removes: Vec<Key>,
        snapshot: bool,
    ) -> Self {
        let removes = if snapshot { pruned(state, owner, &upserts) } else { removes };
        let mut edit = Self { before: Vec::new() };
        for key in removes {
            edit.remove(state, key);
        }
        let revision = state.stamp.revision + 1;
        for resource in upserts {
            edit.upsert(state, resource, Held { owner: owner.to_owned(), revision });
        }
        edit
    }

    /// Nothing is different from before.
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// What is not what it was.
    pub(super) fn keys(&self) -> BTreeSet<Key> {
        self.before.iter().map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn undo(self, state: &mut State) {
        for (key, before) in self.before.into_iter().rev() {
            if let Some((resource, held)) = before {
                state.world.upsert(resource);
                state.held.insert(key, held);
            } else {
                state.world.remove(&key);
                state.held.remove(&key);
            }
        }
    }

    fn upsert(&mut self, state: &mut State, resource: Resource, held: Held) {
        let key = resource.key();
        let before = state.world.get(&key);
        if before.as_ref() == Some(&resource) {
            return;
        }
        state.world.upsert(resource);
        let held_before = state.held.insert(key.clone(), held);
        self.before.push((key, before.zip(held_before)));
    }

    fn remove(&mut self, state: &mut State, key: Key) {
        if let Some(before) = state.world.get(&key).zip(state.held.remove(&key)) {
            state.world.remove(&key);
            self.before.push((key, Some(before)));
        }
    }
}

/// Refuses what is another owner's and what a transaction names twice.
pub(super) fn check(
    state: &State,
    owner: &str,
    upserts: &[Resource],
    removes: &[Key],
    refusals: &mut Vec<Refusal>,
) {
    let mut seen = BTreeSet::new();
    for key in upserts.iter().map(Resource::key).chain(removes.iter().cloned()) {
        if let Some(held) = state.held.get(&key).filter(|held| held.owner != owner) {
            let reason = format!("belongs to owner {:?}, not to {owner:?}", held.owner);
            refusals.push(Refusal::new(key.clone(), "", reason));
        }
        if let Some(twice) = seen.replace(key) {
            refusals.push(Refusal::new(twice, "", "named twice in one transaction"));
        }
    }
}

/// What a snapshot of `upserts` leaves no place for.
fn pruned(state: &State, owner: &str, upserts: &[Resource]) -> Vec<Key> {
    let kept: BTreeSet<Key> = upserts.iter().map(Resource::key).collect();
    state
        .held
        .iter()
        .filter(|(key, held)| held.owner == owner && !kept.contains(key))
        .map(|(key, _)| key.clone())
        .collect()
}
