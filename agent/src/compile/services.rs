//! Services: frontends, service and backend records, slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use abi::{
    frontend::FrontendKey,
    record::{Backend as BackendRecord, Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    ids::{Exhausted, QUARANTINE, ServiceIds},
    limits::{Limits, within},
    maglev,
    nearness::Location,
    ranges::Family,
};
use crate::{
    image::Image,
    model::{Backend, Key, Kind, Service, World},
    refusal::Refusal,
};

/// A service in one address family: frontends reach only backends of their own.
struct Variant<'w> {
    service: &'w Service,
    family: Family,
    backends: Vec<&'w Backend>,
}

/// Writes the service tables; `here` are addresses that no next hop leads to. Gives the ids of the backends that live flows may stay on.
pub(super) fn write(
    image: &mut Image,
    limits: &Limits,
    world: &World,
    node: &str,
    here: &BTreeSet<IpAddr>,
    ids: &mut ServiceIds,
    now: u64,
) -> Result<BTreeSet<u32>, Vec<Refusal>> {
    let variants = variants(world);
    assign_ids(limits, world, here, &variants, ids, now)?;
    write_frontends(image, limits, world, ids)?;
    write_slots(image, limits, world, node, &variants, ids)?;
    Ok(write_backends(image, &variants, ids))
}

fn variants(world: &World) -> Vec<Variant<'_>> {
    let mut variants = Vec::new();
    for service in world.services.values() {
        let backends = world.backend_sets.get(&service.backend_set);
        for family in Family::ALL {
            if service.frontends.iter().any(|it| Family::of(it.address) == family) {
                let backends = backends.iter().flat_map(|set| &set.backends);
                let backends = backends.filter(|it| Family::of(it.address.ip()) == family);
                variants.push(Variant { service, family, backends: backends.collect() });
            }
        }
    }
    variants
}

impl Variant<'_> {
    fn key(&self) -> (String, Family) {
        (self.service.name.clone(), self.family)
    }

    fn backend_key(&self, address: SocketAddr) -> (String, SocketAddr) {
        (self.service.name.clone(), address)
    }
}

fn assign_ids(
    limits: &Limits,
    world: &World,
    here: &BTreeSet<IpAddr>,
    variants: &[Variant<'_>],
    ids: &mut ServiceIds,
    now: u64,
) -> Result<(), Vec<Refusal>> {
    let refuse = |limit: &str, needed: usize, room: u32, key: Key| {
        // Where quarantined ids are missing, what is needed is below the limit.
        within(limit, needed.max(room as usize + 1), room as usize, || key)
    };

    let services = variants.iter().map(Variant::key).collect();
    let room = limits.service_ids();
    if let Err(Exhausted { key, needed }) = ids.services.assign(services, room, now, QUARANTINE) {
        refuse("services", needed, room, Key { kind: Kind::Service, name: key.0 })?;
    }

    let backends = variants
        .iter()
        .flat_map(|variant| variant.backends.iter().map(|it| variant.backend_key(it.address)))
        .collect();
    let room = limits.records(Table::Backends);
    if let Err(Exhausted { key, needed }) = ids.backends.assign(backends, room, now, QUARANTINE) {
        refuse("backends", needed, room, backend_set(world, &key.0))?;
    }

    let remote: BTreeMap<IpAddr, &str> = variants
        .iter()
        .flat_map(|variant| variant.backends.iter().map(move |it| (it.address.ip(), variant)))
        .filter(|(address, _)| !here.contains(address))
        .map(|(address, variant)| (address, variant.service.backend_set.as_str()))
        .collect();
    let wanted = remote.keys().copied().collect();
    if let Err(Exhausted { key, needed }) =
        ids.next_hops.assign(wanted, limits.next_hops, now, QUARANTINE)
    {
        let key = Key { kind: Kind::BackendSet, name: remote[&key].to_owned() };
        refuse("next hops", needed, limits.next_hops, key)?;
    }
    Ok(())
}

fn write_frontends(
    image: &mut Image,
    limits: &Limits,
    world: &World,
    ids: &ServiceIds,
) -> Result<(), Vec<Refusal>> {
    for service in world.services.values() {
        for frontend in &service.frontends {
            let family = Family::of(frontend.address);
            let key = FrontendKey {
                address: octets(frontend.address),
                port: frontend.port.to_be_bytes(),
                protocol: frontend.protocol.number(),
                side: if family == Family::V6 { FrontendKey::V6 } else { 0 },
            };
            image.frontends.insert(key, ids.services.id(&(service.name.clone(), family)));
        }
    }
    within("frontends", image.frontends.len(), limits.frontends as usize, || {
        let largest = world.services.values().max_by_key(|service| service.frontends.len());
        Key { kind: Kind::Service, name: largest.map_or_else(String::new, |it| it.name.clone()) }
    })
}

fn write_slots(
    image: &mut Image,
    limits: &Limits,
    world: &World,
    node: &str,
    variants: &[Variant<'_>],
    ids: &mut ServiceIds,
) -> Result<(), Vec<Refusal>> {
    let location = Location::new(node, &world.nodes);
    let eligible: Vec<(u32, Vec<(SocketAddr, u32)>)> = variants
        .iter()
        .map(|variant| {
            let eligible = location.eligible(&variant.backends, &variant.service.preference);
            let weighted = eligible.iter().map(|it| (it.address, it.weight)).collect();
            (ids.services.id(&variant.key()), weighted)
        })
        .collect();
    place_slots(limits, world, variants, &eligible, ids)?;

    for (variant, (service, backends)) in variants.iter().zip(&eligible) {
        // No traffic policies yet: both audiences have the same answer.
        let mut range = Range::REJECT;
        if let Some((start, size)) = ids.places.get(*service) {
            range = Range::slots(start, size);
            let table = maglev::table(backends, size);
            for (word, pair) in table.chunks(2).enumerate() {
                let backend = |index: &u32| {
                    let (address, _) = backends[*index as usize];
                    ids.backends.id(&variant.backend_key(address)) as u64
                };
                let packed = backend(&pair[0]) | pair.get(1).map_or(0, backend) << 32;
                image.set_word(Table::Slots, start as usize / 2 + word, packed);
            }
        }
        let record = ServiceRecord { internal: range, external: range, ..ServiceRecord::default() };
        image.set_record(Table::Services, *service, &record);
    }
    Ok(())
}

/// Gives every service the slots it asks for; where they do not fit, the largest get less.
fn place_slots(
    limits: &Limits,
    world: &World,
    variants: &[Variant<'_>],
    eligible: &[(u32, Vec<(SocketAddr, u32)>)],
    ids: &mut ServiceIds,
) -> Result<(), Vec<Refusal>> {
    let room = limits.words(Table::Slots) * 2;
    let mut largest = maglev::LARGEST;
    loop {
        let sizes = eligible
            .iter()
            .filter(|(_, backends)| !backends.is_empty())
            .map(|(service, backends)| (*service, maglev::size(backends, largest)))
            .collect();
        let Err(full) = ids.places.assign(&sizes, room as u32) else { return Ok(()) };
        if largest > 1 {
            largest /= 2;
            continue;
        }
        let most = variants.iter().max_by_key(|variant| variant.backends.len());
        within("slots", full.needed, room, || {
            backend_set(world, most.map_or("", |variant| &variant.service.name))
        })?;
    }
}

fn write_backends(image: &mut Image, variants: &[Variant<'_>], ids: &ServiceIds) -> BTreeSet<u32> {
    image.next_hops = ids.next_hops.iter().map(|(address, id)| (id, *address)).collect();
    let mut serving = BTreeSet::new();
    for variant in variants {
        for backend in &variant.backends {
            let id = ids.backends.id(&variant.backend_key(backend.address));
            let address = backend.address.ip();
            let mut flags = 0;
            if backend.serving || backend.ready {
                flags |= BackendRecord::SERVING;
                serving.insert(id);
            }
            let record = BackendRecord {
                address: octets(address),
                port: backend.address.port().to_be_bytes(),
                flags,
                next_hop: ids.next_hops.get(&address).unwrap_or(0),
                ..BackendRecord::default()
            };
            image.set_record(Table::Backends, id, &record);
        }
    }
    serving
}

fn backend_set(world: &World, service: &str) -> Key {
    let name = world.services.get(service).map(|service| service.backend_set.clone());
    Key { kind: Kind::BackendSet, name: name.unwrap_or_default() }
}

/// IPv4 in the first four bytes, the rest zero.
fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(address) => octets[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => octets = address.octets(),
    }
    octets
}
