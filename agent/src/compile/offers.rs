//! What services offer: records with the slots that each audience gets.

use std::{collections::BTreeMap, net::SocketAddr};

use abi::{
    record::{Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::{List, Role, Share},
    ids::ServiceIds,
    intervals::Intervals,
    limits::within,
    maglev,
    nearness::{Location, is_usable},
    services::{Scene, Variant, backend_set},
};
use crate::{image::Image, model::Topology, refusal::Refusal};

/// Backends with their weights, as slots are dealt to them.
type Weighted = Vec<(SocketAddr, u32)>;

/// The lists of a variant that some audience uses and that are not empty. Equal lists are one.
struct Dealt {
    lists: BTreeMap<List, Weighted>,
    /// Under which number each of them has its slots.
    places: BTreeMap<List, u32>,
    /// There is a backend somewhere that can be used.
    any: bool,
}

/// Writes the records of all services, the slots and the intervals.
pub(super) fn write(
    image: &mut Image,
    scene: &Scene<'_>,
    variants: &[Variant<'_>],
    ids: &mut ServiceIds,
) -> Result<(), Vec<Refusal>> {
    let location = Location::new(scene.node, &scene.world.nodes);
    let all: Vec<Dealt> = variants.iter().map(|variant| deal(variant, &location, ids)).collect();
    place(scene, variants, &all, ids)?;

    let mut intervals = Intervals::new(scene);
    for (variant, dealt) in variants.iter().zip(&all) {
        for (list, number) in &dealt.places {
            write_slots(image, variant, &dealt.lists[list], *number, ids);
        }
        for role in &variant.roles {
            let shares = role.shares(variant.service);
            let range = |share| range(dealt, share, ids);
            let mut record = ServiceRecord {
                pods: range(shares.pods),
                node: range(shares.node),
                outside: range(shares.outside),
                pod_prefixes: intervals.pod_prefixes(variant.family),
                ..ServiceRecord::default()
            };
            if *role == Role::Guarded {
                record.flags |= ServiceRecord::GUARDED;
                record.sources = intervals.sources(variant.service, variant.family);
            }
            if role.is_tunnelled(variant.service) {
                record.flags |= ServiceRecord::TUNNEL;
            }
            image.set_record(Table::Services, ids.services.id(&variant.key(*role)), &record);
        }
    }
    intervals.write(image)
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
        let backends = match list {
            List::Cluster => {
                let backends = location.cluster(backends, &service.topology, variant.hinted);
                location.weighted(backends, &service.topology)
            }
            List::Local => location.weighted(location.local(backends), &Topology::default()),
        };
        if backends.is_empty() {
            continue;
        }
        let weighted: Weighted =
            backends.iter().map(|(backend, weight)| (backend.address, *weight)).collect();
        let same = dealt.lists.iter().find(|(_, other)| **other == weighted);
        let number = match same {
            Some((other, _)) => dealt.places[other],
            None => first << 1 | list as u32,
        };
        dealt.places.insert(list, number);
        dealt.lists.insert(list, weighted);
    }
    dealt
}

/// The word of one audience. The cluster list is empty with usable backends only where topology
/// keys or scopes are exhausted, which is refused like having none.
fn range(dealt: &Dealt, Share { list, snat }: Share, ids: &ServiceIds) -> Range {
    let place = dealt.places.get(&list).and_then(|number| ids.places.get(*number));
    match (place, list) {
        (Some((start, size)), _) if snat => Range::slots(start, size).with_snat(),
        (Some((start, size)), _) => Range::slots(start, size),
        (None, List::Local) if dealt.any => Range::DROP,
        (None, _) => Range::REJECT,
    }
}

fn write_slots(
    image: &mut Image,
    variant: &Variant<'_>,
    backends: &Weighted,
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
            .map(|(number, backends)| (*number, maglev::size(backends, largest)))
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
