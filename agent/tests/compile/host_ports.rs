//! Ports of this node that lead to its pods, on compiled tables.

use std::collections::BTreeSet;

use abi::address::Leaf;
use zonegate::{
    compile::{Audience, Settings},
    image::Image,
    model::{FrontendKind, Resource, TrafficPolicy, World},
    store::Compile,
};

use crate::{
    incremental::difference,
    lookup::{leaf, service as service_of},
    world::{HERE, address, backend, compiler, frontend, node, service, world},
};

/// A host port of a node, as pods have them.
fn host_port(name: &str, of: &str, frontends: &[&str]) -> [Resource; 2] {
    let backends = vec![backend("10.0.0.1:80", of), backend("[fd00::1]:80", of)];
    of_kind(FrontendKind::HostPort, service(name, frontends, backends)).map(|mut resource| {
        if let Resource::Service(service) = &mut resource {
            service.node = of.into();
            service.external_policy = TrafficPolicy::Local;
        }
        resource
    })
}

fn of_kind(kind: FrontendKind, services: [Resource; 2]) -> [Resource; 2] {
    services.map(|mut resource| {
        if let Resource::Service(service) = &mut resource {
            service.frontends.iter_mut().for_each(|it| it.kind = kind);
        }
        resource
    })
}

fn nodes() -> [Resource; 2] {
    [node(HERE, "a", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]), node("far", "b", &["192.0.2.3"])]
}

fn image(resources: impl IntoIterator<Item = Resource>) -> Image {
    compiler().compile(&world(nodes().into_iter().chain(resources))).unwrap()
}

/// Whether something is found there.
fn found(image: &Image, text: &str) -> bool {
    service_number(image, text).is_some()
}

fn service_number(image: &Image, text: &str) -> Option<u32> {
    let frontend = frontend(text);
    let key = image.frontends.iter().find(|(key, _)| {
        let octets = match frontend.address {
            std::net::IpAddr::V4(it) => {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&it.octets());
                octets
            }
            std::net::IpAddr::V6(it) => it.octets(),
        };
        key.address == octets && key.port == frontend.port.to_be_bytes()
    });
    key.map(|(_, id)| *id)
}

#[test]
fn a_host_port_is_at_the_addresses_of_its_node() {
    let image = image(host_port("web", HERE, &["0.0.0.0:8080", "[::]:8080"]));
    for place in
        ["192.0.2.1:8080", "192.0.2.2:8080", "[2001:db8::1]:8080", "127.0.0.1:8080", "[::1]:8080"]
    {
        assert!(found(&image, place), "{place}");
    }
    for place in ["192.0.2.3:8080", "0.0.0.0:8080", "192.0.2.1:8081"] {
        assert!(!found(&image, place), "{place}");
    }
    let (_, record) = service_of(&image, frontend("192.0.2.1:8080"));
    for (range, snat) in [(record.pods, false), (record.outside, false)] {
        assert_eq!((range.size() > 0, range.snat()), (true, snat));
    }
    assert!(leaf(&image, address("192.0.2.1")).has(Leaf::FRONTEND));
    // Everything else at the node's addresses is the node's.
    assert!(!leaf(&image, address("192.0.2.1")).has(Leaf::SERVICE_ONLY));
    assert!(!leaf(&image, address("127.0.0.1")).has(Leaf::FRONTEND));
}

#[test]
fn a_host_port_of_another_node_is_not_here() {
    let image = image(host_port("web", "far", &["0.0.0.0:8080", "[::]:8080", "192.0.2.1:81"]));
    assert!(image.frontends.is_empty(), "{:?}", image.frontends);
    assert!(!leaf(&image, address("192.0.2.1")).has(Leaf::FRONTEND));
    let backends = image.words(abi::table::Table::Backends);
    assert!(backends.iter().all(|word| *word == 0), "nothing is kept of it");
}

#[test]
fn one_address_is_where_the_port_is_if_the_node_has_it() {
    let image = image(host_port(
        "web",
        HERE,
        &["192.0.2.1:8080", "198.51.100.9:8080", "127.0.0.1:81", "[::1]:82"],
    ));
    let places: BTreeSet<&str> = [
        "192.0.2.1:8080",
        "192.0.2.2:8080",
        "127.0.0.1:8080",
        "198.51.100.9:8080",
        "127.0.0.1:81",
        "192.0.2.1:81",
        "[::1]:82",
    ]
    .into_iter()
    .filter(|place| found(&image, place))
    .collect();
    assert_eq!(places, BTreeSet::from(["192.0.2.1:8080", "127.0.0.1:81", "[::1]:82"]));
    assert!(!leaf(&image, address("198.51.100.9")).has(Leaf::FRONTEND));
}

#[test]
fn one_address_comes_before_all_whoever_asks() {
    let node_port = of_kind(
        FrontendKind::NodePort,
        service("a", &["0.0.0.0:8080"], vec![backend("10.0.0.2:80", HERE)]),
    );
    let resources = host_port("b", HERE, &["192.0.2.1:8080"]).into_iter();
    let image = image(resources.chain(node_port));
    let number = |text| service_number(&image, text).unwrap();
    assert_eq!(number("192.0.2.2:8080"), number("127.0.0.1:8080"));
    assert_ne!(number("192.0.2.1:8080"), number("192.0.2.2:8080"));
}

#[test]
fn the_nodes_settings_of_node_ports_do_not_concern_host_ports() {
    let settings =
        Settings { node_port_addresses: vec!["10.0.0.0/8".parse().unwrap()], ..<_>::default() };
    let resources = host_port("web", HERE, &["0.0.0.0:8080"]);
    let world = world(nodes().into_iter().chain(resources));
    let image = compiler().with_settings(settings).compile(&world).unwrap();
    assert!(found(&image, "192.0.2.1:8080") && found(&image, "127.0.0.1:8080"));
}

#[test]
fn a_port_closes_with_its_pod_and_moves_with_the_nodes_address() {
    let mut compiler = compiler();
    let ports = || host_port("web", HERE, &["0.0.0.0:8080"]);
    let with = world(nodes().into_iter().chain(ports()));
    let moved = world([node(HERE, "a", &["192.0.2.7"])].into_iter().chain(ports()));
    let without = world(nodes());
    let mut known = World::default();
    for (world, places) in [
        (&with, &["192.0.2.1:8080", "192.0.2.2:8080"][..]),
        (&moved, &["192.0.2.7:8080"]),
        (&without, &[]),
    ] {
        let image = compiler.update(world, &difference(&known, world)).unwrap().image;
        for place in ["192.0.2.1:8080", "192.0.2.2:8080", "192.0.2.7:8080"] {
            let at = frontend(place).address;
            assert_eq!(found(image, place), places.contains(&place), "{place}");
            assert_eq!(leaf(image, at).has(Leaf::FRONTEND), places.contains(&place), "{place}");
        }
        compiler.committed();
        known = world.clone();
    }
}

#[test]
fn offers_name_the_kind_and_where_it_is() {
    let mut compiler = compiler();
    let resources = host_port("web", HERE, &["0.0.0.0:8080", "127.0.0.1:81"]);
    let world = world(nodes().into_iter().chain(resources));
    let image = compiler.compile(&world).unwrap();
    let offers = compiler.offers(&world, &image, "");
    let [offer] = &offers[..] else { panic!("{offers:?}") };
    assert_eq!(offer.kinds, BTreeSet::from([FrontendKind::HostPort]));
    let places: Vec<String> = offer.frontends.iter().map(|(at, _)| at.to_string()).collect();
    assert_eq!(places, ["192.0.2.1:8080", "192.0.2.2:8080", "127.0.0.1:81"]);
    let outside = offer.answers.iter().find(|it| it.audiences.contains(&Audience::Outside));
    assert!(!outside.unwrap().snat);
}
