//! Services: who they are, their frontends and their backends.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use abi::{record::Backend as BackendRecord, table::Table};

use super::{
    audience::Role,
    frontends,
    ids::{Exhausted, QUARANTINE, ServiceIds, ServiceKey},
    limits::{Limits, within},
    offers::{self, Eligible},
    ranges::Family,
    settings::Settings,
    tunnels,
};
use crate::{
    image::Image,
    model::{Backend, Hints, Key, Kind, Service, World},
    refusal::Refusal,
};

/// A service in one address family: frontends reach only backends of their own.
pub(super) struct Variant<'w> {
    pub service: &'w Service,
    pub family: Family,
    /// The roles of its frontends; at least one.
    pub roles: BTreeSet<Role>,
    pub backends: Vec<&'w Backend>,
    /// Some backend, of whatever family, has hints.
    pub hinted: bool,
}

/// What services are compiled for.
pub(super) struct Scene<'s> {
    pub limits: &'s Limits,
    pub settings: &'s Settings,
    pub world: &'s World,
    pub node: &'s str,
    /// Addresses that no next hop leads to.
    pub here: &'s BTreeSet<IpAddr>,
}

/// Writes the service tables. Says whether some live flow may not stay on its backend.
pub(super) fn write(
    image: &mut Image,
    scene: &Scene<'_>,
    ids: &mut ServiceIds,
    now: u64,
) -> Result<bool, Vec<Refusal>> {
    let variants = variants(scene.world);
    assign_ids(scene, &variants, ids, now)?;
    tunnels::write(image, scene, &variants, ids);
    frontends::write(image, scene, ids)?;
    let eligible = offers::write(image, scene, &variants, ids)?;
    let (serving, idle) = write_backends(image, &variants, ids, &eligible);
    let lost = !ids.serving.is_subset(&serving)
        || ids.idle.iter().any(|id| !serving.contains(id) && !idle.contains(id));
    (ids.serving, ids.idle) = (serving, idle);
    Ok(lost)
}

pub(super) fn variants(world: &World) -> Vec<Variant<'_>> {
    let mut variants = Vec::new();
    for service in world.services.values() {
        let set = world.backend_sets.get(&service.backend_set);
        let all = || set.into_iter().flat_map(|set| &set.backends);
        let hinted = all().any(|backend| backend.hints != Hints::default());
        for family in Family::ALL {
            let frontends = service.frontends.iter();
            let frontends = frontends.filter(|it| Family::of(it.address) == family);
            let roles: BTreeSet<Role> = frontends.map(|it| Role::of(it, service)).collect();
            if !roles.is_empty() {
                let backends = all().filter(|it| Family::of(it.address.ip()) == family).collect();
                variants.push(Variant { service, family, roles, backends, hinted });
            }
        }
    }
    variants
}

impl Variant<'_> {
    pub(super) fn key(&self, role: Role) -> ServiceKey {
        (self.service.name.clone(), self.family, role)
    }

    pub(super) fn backend_key(&self, address: SocketAddr) -> (String, SocketAddr) {
        (self.service.name.clone(), address)
    }
}

fn assign_ids(
    scene: &Scene<'_>,
    variants: &[Variant<'_>],
    ids: &mut ServiceIds,
    now: u64,
) -> Result<(), Vec<Refusal>> {
    let Scene { limits, world, here, .. } = scene;
    let refuse = |limit: &str, needed: usize, room: u32, key: Key| {
        // Where quarantined ids are missing, what is needed is below the limit.
        within(limit, needed.max(room as usize + 1), room as usize, || key)
    };

    let services = variants
        .iter()
        .flat_map(|variant| variant.roles.iter().map(|role| variant.key(*role)))
        .collect();
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

/// Gives the ids of the backends that serve, and of the others.
fn write_backends(
    image: &mut Image,
    variants: &[Variant<'_>],
    ids: &ServiceIds,
    eligible: &Eligible,
) -> (BTreeSet<u32>, BTreeSet<u32>) {
    image.next_hops = ids.next_hops.iter().map(|(address, id)| (id, *address)).collect();
    let (mut serving, mut idle) = (BTreeSet::new(), BTreeSet::new());
    for variant in variants {
        for backend in &variant.backends {
            let id = ids.backends.id(&variant.backend_key(backend.address));
            let address = backend.address.ip();
            let (affinity, mut flags) = eligible.get(&id).copied().unwrap_or_default();
            if backend.serving || backend.ready {
                flags |= BackendRecord::SERVING;
                serving.insert(id);
            } else {
                idle.insert(id);
            }
            let record = BackendRecord {
                address: octets(address),
                port: backend.address.port().to_be_bytes(),
                flags,
                next_hop: ids.next_hops.get(&address).unwrap_or(0),
                affinity,
                ..BackendRecord::default()
            };
            image.set_record(Table::Backends, id, &record);
        }
    }
    (serving, idle)
}

pub(super) fn backend_set(world: &World, service: &str) -> Key {
    let name = world.services.get(service).map(|service| service.backend_set.clone());
    Key { kind: Kind::BackendSet, name: name.unwrap_or_default() }
}

/// IPv4 in the first four bytes, the rest zero.
pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(address) => octets[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => octets = address.octets(),
    }
    octets
}
