//! How many new flows a change takes to another backend, of services that keep zones.

use std::collections::BTreeMap;

use abi::{record::Range, table::Table};
use zonegate::{
    image::Image,
    model::{Resource, Spill, Topology, World},
    simulate::{self, Query, SimulatedTables},
    store::Compile,
};

use crate::{
    incremental::difference,
    world::{HERE, address, backend, compiler, node, service, world},
};

/// The zones by name: their nodes, each with a weight of 1000, and their backends.
type Zones = [(&'static str, i32, i32); 3];

/// Hashes asked for, evenly spread.
const FLOWS: u64 = 20_000;

#[test]
fn a_change_moves_little_more_than_it_must() {
    for zones in [
        [("a", 6, 4), ("b", 3, 8), ("c", 1, 8)],
        [("a", 5, 8), ("b", 5, 8), ("c", 5, 8)],
        [("a", 6, 4), ("b", 3, 4), ("c", 1, 4)],
        [("a", 4, 2), ("b", 4, 8), ("c", 4, 8)],
    ] {
        for index in 0..3 {
            for (nodes, backends) in [(1, 0), (4, 0), (0, 1), (-1, 0), (0, -1)] {
                let mut after = zones;
                after[index].1 += nodes;
                after[index].2 += backends;
                if after[index].1 > 0 {
                    check(&zones, &after);
                }
            }
        }
    }
}

/// Of a service whose zones become others.
fn check(zones: &Zones, others: &Zones) {
    let mut compiler = compiler();
    let mut known = World::default();
    let [before, after] = [zones, others].map(|zones| {
        let next = shop(zones);
        let image = compiler.update(&next, &difference(&known, &next)).unwrap().image;
        let owners = owners(image);
        compiler.committed();
        known = next;
        owners
    });
    let moved = before.iter().zip(&after).filter(|(one, other)| one != other).count();
    let (had, has) = (counts(&before), counts(&after));
    let gain = |(id, now): (&u32, &usize)| now.saturating_sub(had.get(id).copied().unwrap_or(0));
    let least: usize = has.iter().map(gain).sum();
    assert!(
        moved <= 2 * least,
        "{zones:?} to {others:?}: {moved} moved of {FLOWS}, of which {least} had to"
    );
}

/// A service that all zones have clients and backends of; this node is the first of its zone.
fn shop(zones: &Zones) -> World {
    let mut resources = Vec::new();
    let mut backends = Vec::new();
    for (index, (zone, nodes, count)) in zones.iter().enumerate() {
        for number in 0..*nodes {
            let name = if index == 0 && number == 0 {
                HERE.to_owned()
            } else {
                format!("{zone}-{number}")
            };
            resources.push(node(&name, zone, &[]));
        }
        for number in 0..*count {
            let mut backend = backend(&format!("10.{index}.0.{number}:80"), "");
            (*zone).clone_into(&mut backend.zone);
            backends.push(backend);
        }
    }
    let [set, mut service] = service("shop", &["10.96.0.1:80"], backends);
    if let Resource::Service(service) = &mut service {
        service.topology = Topology::Spill(Spill { factor: 1200, clients: BTreeMap::new() });
    }
    world(resources.into_iter().chain([set, service]))
}

/// The ids of the backends that flows with evenly spread hashes get.
fn owners(image: &Image) -> Vec<u32> {
    let query = Query {
        source: address("10.7.0.9"),
        destination: "10.96.0.1:80".parse().unwrap(),
        protocol: 6,
    };
    let offer = simulate::offer(&SimulatedTables::new(image), query).unwrap().unwrap();
    assert!(![Range::REJECT, Range::DROP].contains(&offer.range));
    let owner = |flow: u64| {
        let slot = offer.range.start() as u64 + flow * offer.range.size() as u64 / FLOWS;
        (image.word(Table::Slots, slot as usize / 2) >> (slot % 2 * 32)) as u32
    };
    (0..FLOWS).map(owner).collect()
}

fn counts(owners: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for id in owners {
        *counts.entry(*id).or_default() += 1;
    }
    counts
}
