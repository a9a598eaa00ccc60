//! What the store was not told yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    kubernetes::Outcome,
    model::{Key, Resource},
    store::Content,
};

/// The sum of all changes since the store last accepted something.
#[derive(Debug, Default)]
pub struct Pending {
    /// `None` is a removal.
    changes: BTreeMap<Key, Option<Resource>>,
    /// What the store holds for this source.
    held: BTreeSet<Key>,
}

impl Pending {
    pub fn add(&mut self, outcome: Outcome) {
        for resource in outcome.upserts {
            self.changes.insert(resource.key(), Some(resource));
        }
        for key in outcome.removes {
            // What never came to be held may be another owner's.
            if self.held.contains(&key) {
                self.changes.insert(key, None);
            } else {
                self.changes.remove(&key);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn content(&self) -> Content {
        let mut content = Content::default();
        for (key, resource) in &self.changes {
            match resource {
                Some(resource) => content.upserts.push(resource.clone()),
                None => content.removes.push(key.clone()),
            }
        }
        content
    }

    /// The store has accepted what [`Self::content`] says.
    pub fn accepted(&mut self) {
        for (key, resource) in std::mem::take(&mut self.changes) {
            match resource {
                Some(_) => drop(self.held.insert(key)),
                None => drop(self.held.remove(&key)),
            }
        }
    }

    /// The store has accepted a snapshot of `resources`.
    pub fn replaced<'r>(&mut self, resources: impl Iterator<Item = &'r Resource>) {
        self.changes.clear();
        self.held = resources.map(Resource::key).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AddressSet, Kind};

    fn set(name: &str) -> Resource {
        let name = name.to_owned();
        Resource::AddressSet(AddressSet { name, prefixes: Vec::new(), except: Vec::new() })
    }

    fn key(name: &str) -> Key {
        Key { kind: Kind::AddressSet, name: name.to_owned() }
    }

    fn outcome(upserts: &[&str], removes: &[&str]) -> Outcome {
        Outcome {
            upserts: upserts.iter().map(|name| set(name)).collect(),
            removes: removes.iter().map(|name| key(name)).collect(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_was_refused_is_sent_with_what_comes_next() {
        let mut pending = Pending::default();
        pending.add(outcome(&["a", "b"], &[]));
        pending.accepted();
        assert!(pending.is_empty());
        pending.add(outcome(&["c"], &["a"]));
        pending.add(outcome(&["d", "a"], &["b", "c"]));
        let content = pending.content();
        assert_eq!(content.upserts, [set("a"), set("d")]);
        assert_eq!(content.removes, [key("b")], "c was never held");
    }

    #[test]
    fn a_snapshot_says_what_is_held() {
        let mut pending = Pending::default();
        pending.add(outcome(&["a", "b"], &[]));
        pending.replaced([set("a")].iter());
        assert!(pending.is_empty());
        pending.add(outcome(&[], &["a", "b"]));
        assert_eq!(pending.content().removes, [key("a")]);
    }
}
