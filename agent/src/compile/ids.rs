//! Numbers that stay the same from commit to commit, because flows and tables name them.

use std::collections::{BTreeMap, BTreeSet};

use abi::{
    record::{Backend, Endpoint, Service},
    table::{BLOCK_WORDS, Table},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    epochs::Epochs,
    numbers::Numbers,
    service_ids::{Pool, ServiceIds},
};
use crate::image::Image;

/// Everything that a compilation remembers for the next one. What is written of it is little:
/// the numbers of services are in the tables that they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    pub(super) local: LocalIds,
    pub(super) services: ServiceIds,
}

/// What concerns the workloads of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LocalIds {
    /// Compilations so far: the clock of the quarantine.
    pub compilations: u64,
    /// Local workloads by name.
    pub endpoints: Allocator<String>,
    pub epochs: Epochs,
}

impl Ids {
    /// Keeps clear of everything that an adopted image names.
    pub(super) fn start_after(&mut self, adopted: &Image) {
        let now = self.local.compilations;
        let records = |table: Table| {
            (1..(adopted.words(table).len() / BLOCK_WORDS) as u32)
                .filter(move |id| used(adopted, table, *id))
        };
        self.local.endpoints.avoid(records(Table::Endpoints), now);
        // What tunnels lead to are backends.
        let services = adopted.frontends.iter().filter(|(key, _)| !key.is_tunnelled());
        let services = records(Table::Services).chain(services.map(|(_, id)| *id));
        self.services.avoid(Pool::Services, services, now);
        self.services.avoid(Pool::Backends, records(Table::Backends), now);
        self.services.avoid(Pool::NextHops, adopted.next_hops.keys().copied(), now);
        self.local.epochs.start_after(adopted);
    }

    /// Goes back to how things were when `local` was as it is there and services were last settled.
    pub(super) fn back_to(&mut self, local: LocalIds) {
        self.local = local;
        self.services.undo();
    }

    /// The number of a local workload, or 0 for any other.
    pub(super) fn endpoint(&self, workload: &str) -> u16 {
        self.local.endpoints.live.get(workload).map_or(0, |id| *id as u16)
    }
}

fn used(image: &Image, table: Table, id: u32) -> bool {
    match table {
        Table::Endpoints => image.record::<Endpoint>(table, id) != Endpoint::default(),
        Table::Services => image.record::<Service>(table, id) != Service::default(),
        _ => image.record::<Backend>(table, id) != Backend::default(),
    }
}

/// Hands out [`Numbers`], and the same number for the same key while the key lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: DeserializeOwned + Ord"))]
pub(super) struct Allocator<K> {
    #[serde(with = "pairs")]
    live: BTreeMap<K, u32>,
    numbers: Numbers,
}

/// There is no number left for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exhausted<K> {
    pub key: K,
    pub needed: usize,
}

impl<K> Default for Allocator<K> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), numbers: Numbers::default() }
    }
}

impl<K: Ord + Clone> Allocator<K> {
    /// Makes `wanted` the living keys, with numbers up to `limit`; freed numbers rest for
    /// `quarantine` compilations.
    pub(super) fn assign(
        &mut self,
        wanted: BTreeSet<K>,
        limit: u32,
        now: u64,
        quarantine: u64,
    ) -> Result<(), Exhausted<K>> {
        let needed = wanted.len();
        let numbers = &mut self.numbers;
        self.live.retain(|key, id| {
            let keep = wanted.contains(key) && *id <= limit;
            if !keep {
                numbers.free(*id, now);
            }
            keep
        });
        for key in wanted {
            if !self.take(key.clone(), limit, now, quarantine) {
                return Err(Exhausted { key, needed });
            }
        }
        Ok(())
    }

    /// Frees the living keys from `first` to `last` that are not wanted any more.
    pub(super) fn keep(&mut self, first: &K, last: &K, wanted: &BTreeSet<K>, now: u64) {
        let living = self.live.range(first..=last).map(|(key, _)| key);
        let gone: Vec<K> = living.filter(|key| !wanted.contains(*key)).cloned().collect();
        for key in gone {
            if let Some(id) = self.live.remove(&key) {
                self.numbers.free(id, now);
            }
        }
    }

    /// Makes `key` a living one; says whether there was a number for it. See [`Self::assign`].
    pub(super) fn take(&mut self, key: K, limit: u32, now: u64, quarantine: u64) -> bool {
        if !self.live.contains_key(&key) {
            let Some((id, _)) = self.numbers.take(limit, now, quarantine) else { return false };
            self.live.insert(key, id);
        }
        true
    }

    pub(super) fn get(&self, key: &K) -> Option<u32> {
        self.live.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    fn avoid(&mut self, ids: impl Iterator<Item = u32>, now: u64) {
        self.numbers.avoid(ids, now);
    }
}

/// Maps as lists of pairs, since JSON has only texts for keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

    pub fn serialize<K: Serialize, S: Serializer>(
        map: &BTreeMap<K, u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: DeserializeOwned + Ord, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, u32>, D::Error> {
        Vec::<(K, u32)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::numbers::QUARANTINE;

    fn keys(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_living_key_keeps_its_number_and_a_freed_number_rests() {
        let mut ids = Allocator::default();
        ids.assign(keys(&["b", "c"]), 3, 0, QUARANTINE).unwrap();
        assert_eq!((ids.live[&"b".to_owned()], ids.live[&"c".to_owned()]), (1, 2));
        ids.assign(keys(&["a", "c"]), 3, 1, QUARANTINE).unwrap();
        assert_eq!((ids.live[&"a".to_owned()], ids.live[&"c".to_owned()]), (3, 2));

        let full = ids.clone().assign(keys(&["a", "c", "d"]), 3, 2, QUARANTINE);
        assert_eq!(full, Err(Exhausted { key: "d".into(), needed: 3 }));
        ids.assign(keys(&["a", "c", "d"]), 3, 1 + QUARANTINE, QUARANTINE).unwrap();
        assert_eq!(ids.live[&"d".to_owned()], 1);
    }

    #[test]
    fn the_longest_freed_number_comes_back_first() {
        let mut ids = Allocator::default();
        ids.assign(keys(&["a", "b"]), 2, 0, 0).unwrap();
        ids.assign(keys(&["a"]), 2, 1, 0).unwrap();
        ids.assign(keys(&[]), 2, 2, 0).unwrap();
        ids.assign(keys(&["x"]), 2, 3, 0).unwrap();
        assert_eq!(ids.live[&"x".to_owned()], 2);
    }
}
