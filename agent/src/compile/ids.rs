//! Numbers that stay the same from commit to commit, because flows and tables name them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use abi::{
    record::{Backend, Endpoint, Service},
    table::{BLOCK_WORDS, Table},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{audience::Role, epochs::Epochs, ranges::Family, slots::Places};
use crate::image::Image;

/// Everything that a compilation remembers for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    pub(super) local: LocalIds,
    /// Shared until they change: there may be many.
    pub(super) services: Arc<ServiceIds>,
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

/// A service in one address family, and those of its frontends that answer alike.
pub(super) type ServiceKey = (String, Family, Role);

/// What concerns services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServiceIds {
    /// One record per service, address family and role of its frontends.
    pub services: Allocator<ServiceKey>,
    /// By service and address.
    pub backends: Allocator<(String, SocketAddr)>,
    pub next_hops: Allocator<IpAddr>,
    pub places: Places,
    /// Ids of the backends that live flows may stay on.
    pub serving: BTreeSet<u32>,
    /// Of those that do not serve, but keep flows other than UDP's.
    #[serde(default)]
    pub idle: BTreeSet<u32>,
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
        let known = Arc::make_mut(&mut self.services);
        known.services.avoid(records(Table::Services), now);
        known.services.avoid(adopted.frontends.values().copied(), now);
        known.backends.avoid(records(Table::Backends), now);
        known.next_hops.avoid(adopted.next_hops.keys().copied(), now);
        self.local.epochs.start_after(adopted);
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

/// Compilations for which a freed id is out of use, however scarce ids are.
pub(super) const QUARANTINE: u64 = 16;

/// Hands out numbers from 1 on, and the same number for the same key while the key lives.
///
/// A freed number rests. It comes back only once every number up to the limit has been in use,
/// the longest-freed one first, and never within [`QUARANTINE`] compilations: until then there
/// were as many new keys as the table is large, so flows that named it have been looked at again
/// or have expired (freeing what a flow can name moves the epochs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: DeserializeOwned + Ord"))]
pub(super) struct Allocator<K> {
    #[serde(with = "pairs")]
    live: BTreeMap<K, u32>,
    /// Numbers up to here have been in use at some time.
    highest: u32,
    /// Freed numbers and when they were freed, in that order.
    freed: VecDeque<(u32, u64)>,
}

/// There is no number left for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exhausted<K> {
    pub key: K,
    pub needed: usize,
}

impl<K> Default for Allocator<K> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), highest: 0, freed: VecDeque::new() }
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
        let freed = &mut self.freed;
        self.live.retain(|key, id| {
            let keep = wanted.contains(key) && *id <= limit;
            if !keep {
                freed.push_back((*id, now));
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
                self.freed.push_back((id, now));
            }
        }
    }

    /// Makes `key` a living one; says whether there was a number for it. See [`Self::assign`].
    pub(super) fn take(&mut self, key: K, limit: u32, now: u64, quarantine: u64) -> bool {
        if !self.live.contains_key(&key) {
            let Some(id) = self.next(limit, now, quarantine) else { return false };
            self.live.insert(key, id);
        }
        true
    }

    /// The number of a living key.
    pub(super) fn id(&self, key: &K) -> u32 {
        self.live[key]
    }

    pub(super) fn get(&self, key: &K) -> Option<u32> {
        self.live.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        self.live.iter().map(|(key, id)| (key, *id))
    }

    fn next(&mut self, limit: u32, now: u64, quarantine: u64) -> Option<u32> {
        if self.highest < limit {
            self.highest += 1;
            return Some(self.highest);
        }
        let rested = self
            .freed
            .iter()
            .position(|(id, since)| *id <= limit && now.saturating_sub(*since) >= quarantine)?;
        self.freed.remove(rested).map(|(id, _)| id)
    }

    fn avoid(&mut self, ids: impl Iterator<Item = u32>, now: u64) {
        for id in ids {
            if id > self.highest {
                self.freed.extend((self.highest + 1..=id).map(|id| (id, now)));
                self.highest = id;
            }
        }
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

    fn keys(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_living_key_keeps_its_number_and_a_freed_number_rests() {
        let mut ids = Allocator::default();
        ids.assign(keys(&["b", "c"]), 3, 0, QUARANTINE).unwrap();
        assert_eq!((ids.id(&"b".into()), ids.id(&"c".into())), (1, 2));
        ids.assign(keys(&["a", "c"]), 3, 1, QUARANTINE).unwrap();
        assert_eq!((ids.id(&"a".into()), ids.id(&"c".into())), (3, 2));

        let full = ids.clone().assign(keys(&["a", "c", "d"]), 3, 2, QUARANTINE);
        assert_eq!(full, Err(Exhausted { key: "d".into(), needed: 3 }));
        ids.assign(keys(&["a", "c", "d"]), 3, 1 + QUARANTINE, QUARANTINE).unwrap();
        assert_eq!(ids.id(&"d".into()), 1);
    }

    #[test]
    fn the_longest_freed_number_comes_back_first() {
        let mut ids = Allocator::default();
        ids.assign(keys(&["a", "b"]), 2, 0, 0).unwrap();
        ids.assign(keys(&["a"]), 2, 1, 0).unwrap();
        ids.assign(keys(&[]), 2, 2, 0).unwrap();
        ids.assign(keys(&["x"]), 2, 3, 0).unwrap();
        assert_eq!(ids.id(&"x".into()), 2);
    }

    #[test]
    fn ids_survive_being_written_as_json() {
        let mut ids = Ids::default();
        let address = "[fd00::1]:80".parse().unwrap();
        let backends = &mut Arc::make_mut(&mut ids.services).backends;
        backends.assign(BTreeSet::from([("s".into(), address)]), 9, 0, 0).unwrap();
        let text = serde_json::to_string(&ids).unwrap();
        assert_eq!(serde_json::from_str::<Ids>(&text).unwrap(), ids);
    }
}
