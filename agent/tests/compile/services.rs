//! Frontends, backends, slots and next hops of a small world.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use abi::{
    address::Leaf,
    record::{Backend as BackendRecord, Range},
    table::Table,
};
use zonegate::{
    compile::{Compiler, Limits},
    image::Image,
    model::{Backend, Key, Kind, World},
    store::Compile,
};

use crate::{
    incremental::difference,
    lookup::{leaf, service as service_of, slots},
    world::{HERE, address, backend, compiler, frontend, node, service, workload, world},
};

fn shop(backends: Vec<Backend>) -> World {
    let frontends = &["10.96.0.1:80", "10.96.0.1:443", "[fd01::1]:80"];
    world(
        [
            node(HERE, "a", &["192.0.2.1"]),
            node("beside", "a", &["192.0.2.2"]),
            node("far", "b", &["192.0.2.3"]),
            workload("web", HERE, &["10.0.0.1", "fd00::1"]),
        ]
        .into_iter()
        .chain(service("shop", frontends, backends)),
    )
}

/// A name, backends, and those that IPv4 and IPv6 connections reach.
type Row<'t> = (&'t str, Vec<Backend>, &'t [&'t str], &'t [&'t str]);

/// Addresses that new connections to a frontend reach.
fn reached(image: &Image, text: &str) -> BTreeSet<String> {
    let (_, service) = service_of(image, frontend(text));
    assert_eq!(service.outside, service.node);
    let place = |range: Range| (range.start(), range.size());
    assert_eq!(place(service.pods), place(service.outside));
    slots(image, &service)
        .into_iter()
        .map(|id| {
            let record: BackendRecord = image.record(Table::Backends, id);
            let port = u16::from_be_bytes(record.port);
            let ip = if text.starts_with('[') {
                IpAddr::from(record.address)
            } else {
                let [a, b, c, d, ..] = record.address;
                IpAddr::from([a, b, c, d])
            };
            SocketAddr::new(ip, port).to_string()
        })
        .collect()
}

#[test]
fn new_connections_reach_the_preferred_backends_of_their_family() {
    let with = |text, node, state: fn(&mut Backend)| {
        let mut backend = backend(text, node);
        state(&mut backend);
        backend
    };
    let ready: fn(&mut Backend) = |_| {};
    let down: fn(&mut Backend) = |it| (it.ready, it.serving) = (false, false);
    let leaving: fn(&mut Backend) = |it| (it.ready, it.terminating) = (false, true);
    let rows: Vec<Row<'_>> = vec![
        ("none", vec![], &[], &[]),
        (
            "same zone",
            vec![with("10.1.0.1:1", "beside", ready), with("10.2.0.1:2", "far", ready)],
            &["10.1.0.1:1"],
            &[],
        ),
        (
            "families apart",
            vec![with("10.2.0.1:2", "far", ready), with("[fd02::1]:3", "beside", ready)],
            &["10.2.0.1:2"],
            &["[fd02::1]:3"],
        ),
        (
            "zone empty",
            vec![
                with("10.1.0.1:1", "beside", leaving),
                with("10.2.0.1:2", "far", ready),
                with("10.2.0.2:2", "", ready),
            ],
            &["10.2.0.1:2", "10.2.0.2:2"],
            &[],
        ),
        (
            "last resort",
            vec![with("10.1.0.1:1", "beside", down), with("10.2.0.1:2", "far", leaving)],
            &["10.2.0.1:2"],
            &[],
        ),
    ];
    for (name, backends, v4, v6) in rows {
        let image = compiler().compile(&shop(backends)).unwrap();
        for (text, expected) in [("10.96.0.1:80", v4), ("10.96.0.1:443", v4), ("[fd01::1]:80", v6)]
        {
            let expected = expected.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(reached(&image, text), expected, "{name}: {text}");
            let (_, record) = service_of(&image, frontend(text));
            assert_eq!(record.pods == Range::REJECT, expected.is_empty(), "{name}: {text}");
        }
    }
}

#[test]
fn next_hops_lead_to_backends_elsewhere_only() {
    let backends = vec![
        backend("10.0.0.1:80", HERE),
        backend("192.0.2.1:80", HERE),
        backend("10.2.0.1:80", "far"),
        backend("10.2.0.1:81", "far"),
        backend("[fd02::1]:80", "far"),
    ];
    let image = compiler().compile(&shop(backends)).unwrap();
    let addresses: BTreeSet<_> = image.next_hops.values().copied().collect();
    assert_eq!(addresses, BTreeSet::from([address("10.2.0.1"), address("fd02::1")]));
    let mut hops: Vec<IpAddr> = Vec::new();
    for id in 1..=5 {
        let record: BackendRecord = image.record(Table::Backends, id);
        assert_eq!(record.flags, BackendRecord::SERVING);
        let local = [[10, 0, 0, 1], [192, 0, 2, 1]].contains(&[
            record.address[0],
            record.address[1],
            record.address[2],
            record.address[3],
        ]);
        assert_eq!(record.next_hop == 0, local);
        hops.extend(image.next_hops.get(&record.next_hop));
    }
    assert_eq!(hops.len(), 3);
}

#[test]
fn service_addresses_are_marked() {
    let image = compiler().compile(&shop(vec![])).unwrap();
    for text in ["10.96.0.1", "fd01::1"] {
        let leaf = leaf(&image, address(text));
        assert!(leaf.has(Leaf::FRONTEND) && leaf.has(Leaf::SERVICE_ONLY), "{text}");
    }
    assert_eq!(leaf(&image, address("10.96.0.2")), Leaf::default());
}

#[test]
fn scarce_slots_are_shared_before_anybody_is_refused() {
    let mut limits = Limits::default();
    limits.blocks[Table::Slots as usize] = 128;
    let backends = |count: u8| (0..count).map(|n| backend(&format!("10.3.0.{n}:80"), "")).collect();
    let world =
        world(service("large", &["10.96.0.1:80"], backends(100)).into_iter().chain(service(
            "small",
            &["10.96.0.2:80"],
            backends(2),
        )));
    let image = Compiler::new(HERE.into(), limits.clone()).compile(&world).unwrap();
    let size = |image: &Image, text| service_of(image, frontend(text)).1.pods.size();
    assert_eq!((size(&image, "10.96.0.1:80"), size(&image, "10.96.0.2:80")), (1031, 211));

    // The same, when the large one comes and goes.
    limits.blocks[Table::Slots as usize] = 72;
    let mut compiler = Compiler::new(HERE.into(), limits);
    let mut alone = world.clone();
    alone.remove(&Key { kind: Kind::Service, name: "large".into() });
    let mut known = World::default();
    for (world, expected) in [(&alone, 211), (&world, 67), (&alone, 211)] {
        let image = compiler.update(world, &difference(&known, world)).unwrap().image;
        assert_eq!(size(image, "10.96.0.2:80"), expected);
        compiler.committed();
        known = world.clone();
    }
}

/// Services with eight backends each.
fn cluster(services: u8) -> World {
    let shop = |shop: u8| {
        let backends = (0..8).map(|it| backend(&format!("10.4.{shop}.{it}:80"), "beside"));
        service(&format!("shop-{shop}"), &[&format!("10.96.0.{shop}:80")], backends.collect())
    };
    let nodes = [node(HERE, "a", &["192.0.2.1"]), node("beside", "a", &["192.0.2.2"])];
    world(nodes.into_iter().chain((0..services).flat_map(shop)))
}

#[test]
fn an_endpoints_change_writes_its_own_service() {
    let mut compiler = compiler();
    let before = cluster(100);
    compiler.update(&before, &difference(&World::default(), &before)).unwrap();
    compiler.committed();
    let mut after = before.clone();
    after.backend_sets.get_mut("shop-7").unwrap().backends[3].ready = false;
    let compiled = compiler.update(&after, &difference(&before, &after)).unwrap();
    let (_, record) = service_of(compiled.image, frontend("10.96.0.7:80"));
    let reached: BTreeSet<u32> = slots(compiled.image, &record).into_iter().collect();
    assert_eq!(reached.len(), 7);
    let changes = compiled.changes.unwrap();
    let own = record.pods.start() / 2..(record.pods.start() + record.pods.size()).div_ceil(2);
    for table in Table::ALL {
        let words = &changes.words[table as usize];
        let moved = table == Table::Slots;
        assert_eq!(words.is_empty(), !moved, "{table:?}");
        assert!(!moved || words.iter().all(|word| own.contains(word)));
    }
    assert!(changes.frontends.is_empty() && changes.next_hops.is_empty());
}

#[test]
fn what_no_number_is_left_for_takes_nothing_with_it() {
    let mut limits = Limits::default();
    limits.blocks[Table::Backends as usize] = 1 + 2 * 8;
    let mut compiler = Compiler::new(HERE.into(), limits);
    let before = cluster(2);
    compiler.update(&before, &difference(&World::default(), &before)).unwrap();
    compiler.committed();
    let ids = compiler.ids().clone();
    let mut after = cluster(3);
    after.backend_sets.get_mut("shop-0").unwrap().backends.clear();
    let refusals = compiler.update(&after, &difference(&before, &after)).unwrap_err();
    let expected = "BackendSet \"shop-2\": limit backends: needs 17, has room for 16";
    assert_eq!(refusals[0].to_string(), expected);
    assert_eq!(compiler.ids(), &ids);
    let image = compiler.update(&before, &BTreeSet::new()).unwrap().image;
    assert!(!reached(image, "10.96.0.0:80").is_empty());
}
