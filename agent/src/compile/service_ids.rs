//! The numbers of services, backends and next hops.
//!
//! They are held by service, so that a change costs what its services weigh, and every step is
//! taken back if the change comes to nothing. Only how high numbers have been is saved: which of
//! them stands for what is in the tables ([`recover`](super::recover)), and where those are gone,
//! so are the flows that could name any.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    audience::Role,
    numbers::{Numbers, QUARANTINE, Step},
    ranges::Family,
};

/// What has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    Services,
    Backends,
    NextHops,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceIds {
    pub(super) known: BTreeMap<String, Known>,
    pub(super) next_hops: BTreeMap<IpAddr, u32>,
    pub(super) numbers: [Numbers; 3],
    /// What was done since the last image was settled.
    journal: Vec<Done>,
}

/// The numbers of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// One record per address family and role of the frontends; ascending.
    pub records: Vec<((Family, Role), u32)>,
    /// By address.
    pub backends: Vec<KnownBackend>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownBackend {
    pub address: SocketAddr,
    pub id: u32,
    /// Live flows may stay on it.
    pub serving: bool,
}

/// What a service needs numbers for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub records: BTreeSet<(Family, Role)>,
    /// Each with whether live flows may stay on it.
    pub backends: BTreeMap<SocketAddr, bool>,
}

/// What a service has no longer.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub records: Vec<u32>,
    pub backends: Vec<KnownBackend>,
    /// Some live flow may not stay on its backend: one serves no more, or is gone. Those that do
    /// not serve keep flows other than UDP's.
    pub lost: bool,
}

/// How high numbers may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rooms {
    pub services: u32,
    pub backends: u32,
    pub next_hops: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Service(String, Option<Known>),
    NextHop(IpAddr, Option<u32>),
    Number(Pool, Step),
}

impl Known {
    pub(super) fn record(&self, family: Family, role: Role) -> Option<u32> {
        let place = self.records.binary_search_by_key(&(family, role), |(key, _)| *key).ok()?;
        Some(self.records[place].1)
    }

    /// The first record of a family.
    pub(super) fn first(&self, family: Family) -> Option<u32> {
        let first = self.records.iter().find(|((of, _), _)| *of == family);
        first.map(|(_, id)| *id)
    }

    /// The number under which a service remembers clients, if it does: the lowest of its records, so
    /// that all of them share it, and one that is added later does so too.
    pub(super) fn affinity(&self, family: Family) -> Option<u32> {
        let records = self.records.iter().filter(|((of, _), _)| *of == family);
        records.map(|(_, id)| *id).min()
    }

    pub(super) fn backend(&self, address: SocketAddr) -> Option<u32> {
        let place = self.backends.binary_search_by_key(&address, |it| it.address).ok()?;
        Some(self.backends[place].id)
    }
}

impl ServiceIds {
    pub(super) fn get(&self, service: &str) -> Option<&Known> {
        self.known.get(service)
    }

    pub(super) fn next_hop(&self, address: IpAddr) -> Option<u32> {
        self.next_hops.get(&address).copied()
    }

    /// Gives a service the numbers that it wants, and no others. On failure says what there is no
    /// number left of; then [`Self::undo`] is all that can follow.
    pub(super) fn assign(
        &mut self,
        service: &str,
        wanted: &Wanted,
        rooms: Rooms,
        now: u64,
    ) -> Result<Gone, Pool> {
        let before = self.known.remove(service);
        self.journal.push(Done::Service(service.to_owned(), before.clone()));
        let before = before.unwrap_or_default();
        let mut gone = Gone::default();
        for (key, id) in &before.records {
            if !wanted.records.contains(key) {
                self.free(Pool::Services, *id, now);
                gone.records.push(*id);
            }
        }
        for backend in &before.backends {
            let serves = wanted.backends.get(&backend.address);
            gone.lost |= serves.is_none_or(|serves| backend.serving && !serves);
            if serves.is_none() {
                self.free(Pool::Backends, backend.id, now);
                gone.backends.push(*backend);
            }
        }
        let mut known = Known {
            records: Vec::with_capacity(wanted.records.len()),
            backends: Vec::with_capacity(wanted.backends.len()),
        };
        for (family, role) in &wanted.records {
            let id = before.record(*family, *role);
            let id = id.map_or_else(|| self.take(Pool::Services, rooms.services, now), Ok)?;
            known.records.push(((*family, *role), id));
        }
        for (address, serving) in &wanted.backends {
            let id = before.backend(*address);
            let id = id.map_or_else(|| self.take(Pool::Backends, rooms.backends, now), Ok)?;
            known.backends.push(KnownBackend { address: *address, id, serving: *serving });
        }
        if known != Known::default() {
            self.known.insert(service.to_owned(), known);
        }
        Ok(gone)
    }

    /// Gives an address a number, or takes it away. See [`Self::assign`].
    pub(super) fn assign_next_hop(
        &mut self,
        address: IpAddr,
        wanted: bool,
        rooms: Rooms,
        now: u64,
    ) -> Result<Option<u32>, Pool> {
        let before = self.next_hop(address);
        if before.is_some() == wanted {
            return Ok(before);
        }
        self.journal.push(Done::NextHop(address, before));
        if let Some(id) = before {
            self.next_hops.remove(&address);
            self.free(Pool::NextHops, id, now);
            return Ok(None);
        }
        let id = self.take(Pool::NextHops, rooms.next_hops, now)?;
        self.next_hops.insert(address, id);
        Ok(Some(id))
    }

    /// What was done cannot be taken back any more.
    pub(super) fn settle(&mut self) {
        self.journal = Vec::new();
    }

    /// Takes back what was done since [`Self::settle`].
    pub(super) fn undo(&mut self) {
        while let Some(done) = self.journal.pop() {
            match done {
                Done::Service(name, Some(before)) => drop(self.known.insert(name, before)),
                Done::Service(name, None) => drop(self.known.remove(&name)),
                Done::NextHop(address, Some(id)) => drop(self.next_hops.insert(address, id)),
                Done::NextHop(address, None) => drop(self.next_hops.remove(&address)),
                Done::Number(pool, step) => self.numbers[pool as usize].undo(step),
            }
        }
    }

    pub(super) fn avoid(&mut self, pool: Pool, ids: impl Iterator<Item = u32>, now: u64) {
        self.numbers[pool as usize].avoid(ids, now);
    }

    fn take(&mut self, pool: Pool, limit: u32, now: u64) -> Result<u32, Pool> {
        let (id, step) = self.numbers[pool as usize].take(limit, now, QUARANTINE).ok_or(pool)?;
        self.journal.push(Done::Number(pool, step));
        Ok(id)
    }

    fn free(&mut self, pool: Pool, id: u32, now: u64) {
        let step = self.numbers[pool as usize].free(id, now);
        self.journal.push(Done::Number(pool, step));
    }
}

/// How high the numbers of each pool have been.
impl Serialize for ServiceIds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [0, 1, 2].map(|pool| self.numbers[pool].highest()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = <[u32; 3]>::deserialize(deserializer)?.map(Numbers::up_to);
        Ok(Self { numbers, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(roles: &[Role], backends: &[(&str, bool)]) -> Wanted {
        let backends = backends.iter().map(|(text, serving)| (text.parse().unwrap(), *serving));
        Wanted {
            records: roles.iter().map(|role| (Family::V4, *role)).collect(),
            backends: backends.collect(),
        }
    }

    #[test]
    fn what_came_to_nothing_is_taken_back() {
        let rooms = Rooms { services: 2, backends: 2, next_hops: 1 };
        let mut ids = ServiceIds::default();
        let first = wanted(&[Role::Cluster], &[("10.0.0.1:80", true), ("10.0.0.2:80", true)]);
        ids.assign("shop", &first, rooms, 0).unwrap();
        let [hop, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        ids.assign_next_hop(hop, true, rooms, 0).unwrap();
        ids.settle();
        let before = ids.clone();

        let one = wanted(&[Role::External], &[("10.0.0.2:80", false)]);
        let gone = ids.assign("shop", &one, rooms, 20).unwrap();
        assert_eq!((gone.records, gone.backends.len(), gone.lost), (vec![1], 1, true));
        ids.assign_next_hop(hop, false, rooms, 20).unwrap();
        assert_eq!(ids.assign("new", &first, rooms, 21).unwrap_err(), Pool::Services);
        assert_eq!(ids.assign_next_hop(other, true, rooms, 21), Err(Pool::NextHops));
        ids.undo();
        assert_eq!(ids, before);
    }
}
