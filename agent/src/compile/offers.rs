//! What services offer: records with the slots that each audience gets.

use std::{collections::BTreeMap, net::SocketAddr};

use abi::{
    record::{Backend as BackendRecord, Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::{List, Role, Share},
    ids::ServiceIds,
    intervals::Intervals,
    limits::within,
    maglev::{self, Need},
    nearness::{Location, is_usable},
    services::{Scene, Variant, backend_set},
    settings::FromOutside,
};
use crate::{
    image::Image,
    model::{Affinity, Topology},
    refusal::Refusal,
};

/// Backends as slots are dealt to them.
#[derive(PartialEq, Eq)]
struct Weighted {
    backends: Vec<(SocketAddr, u32)>,
    need: Need,
}

/// The lists of a variant that some audience uses and that are not empty. Equal lists are one.
struct Dealt {
    lists: BTreeMap<List, Weighted>,
    /// Under which number each of them has its slots.
    places: BTreeMap<List, u32>,
    /// There is a backend somewhere that can be used.
    any: bool,
}

/// What clients may be remembered to have, by backend id: the service's number, and marks for the
/// lists that the backend is in.
pub(super) type Eligible = BTreeMap<u32, (u32, u16)>;

/// Writes the records of all services, the slots and the intervals.
pub(super) fn write(
    image: &mut Image,
    scene: &Scene<'_>,
    variants: &[Variant<'_>],
    ids: &mut ServiceIds,
) -> Result<Eligible, Vec<Refusal>> {
    let location = Location::new(scene.node, &scene.world.nodes);
    let all: Vec<Dealt> = variants.iter().map(|variant| deal(variant, &location, ids)).collect();
    place(scene, variants, &all, ids)?;

    let mut intervals = Intervals::new(scene);
    let mut eligible = Eligible::new();
    for (variant, dealt) in variants.iter().zip(&all) {
        let affinity = affinity(variant, ids);
        for (list, number) in &dealt.places {
            write_slots(image, variant, &dealt.lists[list], *number, ids);
            if let Some((service, _)) = affinity {
                for (address, _) in &dealt.lists[list].backends {
                    let backend = ids.backends.id(&variant.backend_key(*address));
                    let (_, marks) = eligible.entry(backend).or_insert((service, 0));
                    *marks |= mark(*number);
                }
            }
        }
        for role in &variant.roles {
            let shares = role.shares(variant.service);
            let range = |share| range(dealt, share, ids);
            let refused = *role == Role::Cluster
                && scene.settings.cluster_from_outside == FromOutside::Refuse;
            let mut record = ServiceRecord {
                pods: range(shares.pods),
                node: range(shares.node),
                outside: if refused { Range::DROP } else { range(shares.outside) },
                pod_prefixes: intervals.pod_prefixes(variant.family),
                ..ServiceRecord::default()
            };
            if *role == Role::Guarded {
                record.flags |= ServiceRecord::GUARDED;
                record.sources = intervals.sources(variant.service, variant.family);
            }
            if let Some((service, Affinity { timeout })) = affinity {
                (record.affinity, record.affinity_timeout) = (service, timeout);
            }
            if role.is_tunnelled(variant.service) {
                record.flags |= ServiceRecord::TUNNEL;
            }
            image.set_record(Table::Services, ids.services.id(&variant.key(*role)), &record);
        }
    }
    intervals.write(image)?;
    Ok(eligible)
}

/// The number under which a service remembers clients, if it does: the lowest of its records, so
/// that all of them share it, and one that is added later does so too.
fn affinity(variant: &Variant<'_>, ids: &ServiceIds) -> Option<(u32, Affinity)> {
    let numbers = variant.roles.iter().map(|role| ids.services.id(&variant.key(*role)));
    numbers.min().zip(variant.service.affinity)
}

/// Chooses the backends of each list that somebody uses.
fn deal(variant: &Variant<'_>, location: &Location<'_>, ids: &ServiceIds) -> Dealt {
    let Variant { service, backends, roles, .. } = variant;
    let used = |list| {
        roles.iter().any(|role| role.shares(service).all().iter().any(|share| share.list == list))
    };
    let mut dealt = Dealt {
        lists: BTreeMap::new(),
        places: BTreeMap::new(),
        any: backends.iter().any(|backend| is_usable(backend)),
    };
    let Some(first) = roles.first().map(|role| ids.services.id(&variant.key(*role))) else {
        return dealt;
    };
    for list in List::ALL.into_iter().filter(|list| used(*list)) {
        let eligible = match list {
            List::Cluster => location.cluster(backends, &service.topology, variant.hinted),
            List::Local => location.local(backends),
        };
        let ready = eligible.len();
        let (topology, spills) = match (list, &service.topology) {
            (List::Cluster, topology) => (topology, matches!(topology, Topology::Spill(_))),
            (List::Local, _) => (&Topology::default(), false),
        };
        let backends: Vec<_> = location
            .weighted(eligible, topology)
            .iter()
            .map(|(backend, weight)| (backend.address, *weight))
            .collect();
        if backends.is_empty() {
            continue;
        }
        let need = if spills {
            Need::of_zones(ready, backends.len())
        } else {
            Need::of_weights(&backends)
        };
        let weighted = Weighted { backends, need };
        let same = dealt.lists.iter().find(|(_, other)| **other == weighted);
        let number = match same {
            Some((other, _)) => dealt.places[other],
            None => first << 1 | u32::from(list == List::Local),
        };
        dealt.places.insert(list, number);
        dealt.lists.insert(list, weighted);
    }
    dealt
}

/// How backends are marked that have slots under a number.
fn mark(number: u32) -> u16 {
    if number & 1 == 0 { BackendRecord::CLUSTER } else { BackendRecord::LOCAL }
}

/// The word of one audience. The cluster list is empty with usable backends only where topology
/// keys or scopes are exhausted, which is refused like having none.
fn range(dealt: &Dealt, Share { list, snat }: Share, ids: &ServiceIds) -> Range {
    let place = dealt.places.get(&list).and_then(|it| Some((*it, ids.places.get(*it)?)));
    let range = match (place, list) {
        (Some((number, (start, size))), _) => {
            let range = Range::slots(start, size);
            if mark(number) == BackendRecord::LOCAL { range.of_local() } else { range }
        }
        (None, List::Local) if dealt.any => return Range::DROP,
        (None, _) => return Range::REJECT,
    };
    if snat { range.with_snat() } else { range }
}

fn write_slots(
    image: &mut Image,
    variant: &Variant<'_>,
    Weighted { backends, .. }: &Weighted,
    number: u32,
    ids: &ServiceIds,
) {
    let Some((start, size)) = ids.places.get(number) else { return };
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

/// Gives every list the slots it asks for; where they do not fit, the largest get less.
fn place(
    scene: &Scene<'_>,
    variants: &[Variant<'_>],
    all: &[Dealt],
    ids: &mut ServiceIds,
) -> Result<(), Vec<Refusal>> {
    let room = scene.limits.words(Table::Slots) * 2;
    let mut largest = maglev::LARGEST;
    loop {
        let sizes = all
            .iter()
            .flat_map(|dealt| {
                dealt.places.iter().map(|(list, number)| (number, &dealt.lists[list]))
            })
            .map(|(number, weighted)| (*number, weighted.need.size(largest)))
            .collect();
        let Err(full) = ids.places.assign(&sizes, room as u32) else { return Ok(()) };
        if largest > 1 {
            largest /= 2;
            continue;
        }
        let most = variants.iter().max_by_key(|variant| variant.backends.len());
        within("slots", full.needed, room, || {
            backend_set(scene.world, most.map_or("", |variant| &variant.service.name))
        })?;
    }
}
