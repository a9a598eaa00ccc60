//! Which number stands for what, read from the tables that an earlier agent left.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use abi::{
    record::Backend as Record,
    table::{BLOCK_WORDS, Table},
};

use super::{
    audience::Role,
    frontends::{self, Place},
    ranges::Family,
    service_ids::{Known, KnownBackend, Pool, ServiceIds},
    settings::Settings,
};
use crate::{
    image::{Image, address},
    model::World,
};

impl ServiceIds {
    /// Goes on with the numbers that `tables` have for the services of `world`. The frontends say
    /// which records are whose, and each backend names a record of its service. All other numbers
    /// that have ever been in use rest.
    pub(super) fn recover(&mut self, world: &World, node: &str, tables: &Image, now: u64) {
        // Whatever the earlier agent's settings were: nobody has more addresses than by these.
        let place = Place { world, node, settings: &Settings::default() };
        self.next_hops = tables.next_hops.iter().map(|(id, address)| (*address, *id)).collect();
        let owners = self.recover_records(place, tables);
        let backends = self.recover_backends(tables, &owners);
        let hops = tables.next_hops.keys().copied().collect();
        let records = owners.into_keys().collect();
        for (pool, used) in
            [(Pool::Services, records), (Pool::Backends, backends), (Pool::NextHops, hops)]
        {
            self.numbers[pool as usize].rest(&used, now);
        }
    }

    /// Gives the services and families of the records. What is at all of the node's addresses comes
    /// last, as in the tables: where somebody else has one, it is not its own record that is there.
    fn recover_records<'w>(
        &mut self,
        place: Place<'w>,
        tables: &Image,
    ) -> BTreeMap<u32, (&'w str, Family)> {
        let mut owners = BTreeMap::new();
        for everywhere in [false, true] {
            for (service, frontend) in frontends::all(place.world) {
                if frontend.address.is_unspecified() != everywhere {
                    continue;
                }
                let family = Family::of(frontend.address);
                let role = (family, Role::of(frontend, service));
                let known = self.known.entry(service.name.clone()).or_default();
                let Err(index) = known.records.binary_search_by_key(&role, |(key, _)| *key) else {
                    continue;
                };
                let keys = frontends::keys(place, service, frontend);
                let mut ids = keys.iter().filter_map(|key| tables.frontends.get(key));
                if let Some(id) = ids.find(|id| !owners.contains_key(*id)) {
                    owners.insert(*id, (service.name.as_str(), family));
                    known.records.insert(index, (role, *id));
                }
            }
        }
        self.known.retain(|_, known| *known != Known::default());
        owners
    }

    /// Gives the numbers of all backends whose service is known.
    fn recover_backends(
        &mut self,
        tables: &Image,
        owners: &BTreeMap<u32, (&str, Family)>,
    ) -> BTreeSet<u32> {
        let mut used = BTreeSet::new();
        for id in 1..(tables.words(Table::Backends).len() / BLOCK_WORDS) as u32 {
            let record: Record = tables.record(Table::Backends, id);
            let Some((service, family)) = owners.get(&record.service) else { continue };
            let address =
                SocketAddr::new(address(record.address, *family == Family::V6), port(&record));
            let backends = &mut self.known.entry((*service).to_owned()).or_default().backends;
            if let Err(place) = backends.binary_search_by_key(&address, |it| it.address) {
                let serving = record.flags & Record::SERVING != 0;
                backends.insert(place, KnownBackend { address, id, serving });
                used.insert(id);
            }
        }
        used
    }
}

fn port(record: &Record) -> u16 {
    u16::from_be_bytes(record.port)
}
