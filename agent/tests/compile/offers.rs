//! Random services on random nodes: what the tables offer every client is what the rules say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use abi::{
    address::Leaf,
    reason::DropReason,
    record::{Backend as Record, Range},
    table::Table,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use zonegate::{
    compile::{FromOutside, Settings},
    image::Image,
    model::{
        Affinity, Backend, BackendSet, Forwarding, Frontend, FrontendKind, Hints, Nearness, Node,
        Prefix, Protocol, Resource, Scope, Service, Spill, Topology, TrafficPolicy, World,
    },
    simulate::{self, Query, SimulatedTables},
    store::Compile,
};

use crate::{
    incremental::difference,
    lookup::leaf,
    naive::{self, Outcome},
    world::{HERE, address, backend, compiler, service, workload, world},
};

/// A known pod, one known by its prefix, this node, another, an outsider, and load balancers.
const CLIENTS: [&str; 12] = [
    "10.0.0.1",
    "10.7.0.9",
    "192.0.2.1",
    "192.0.2.2",
    "203.0.113.1",
    "198.51.100.0",
    "fd00::1",
    "fd07::9",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:f::1",
    "2001:db8:1::",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_client_gets_the_backends_of_the_rules(worlds in vec(any_services(), 1..4)) {
        let mut compiler = compiler();
        let mut known = World::default();
        for world in worlds {
            let compiled = compiler.update(&world, &difference(&known, &world)).unwrap();
            check(&world, compiled.image);
            compiler.committed();
            known = world;
        }
    }
}

/// The words of a table, without the zeros behind them.
fn words(image: &Image, table: Table) -> &[u64] {
    let words = image.words(table);
    &words[..words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Change by change or all at once, by one agent or by its successor: only where slots lie
    /// may be different.
    #[test]
    fn changes_and_a_full_pass_of_the_next_agent_agree(worlds in vec(any_services(), 1..5)) {
        let mut compiler = compiler();
        let mut known = World::default();
        for world in worlds {
            let image = {
                let changed = difference(&known, &world);
                compiler.update(&world, &changed).unwrap().image.clone()
            };
            compiler.committed();
            let mut next = self::compiler();
            prop_assert!(next.recall(&compiler.memory(), &world, Some(&image)));
            let again = next.compile(&world).unwrap();
            check(&world, &again);
            prop_assert_eq!(&again.frontends, &image.frontends);
            prop_assert_eq!(&again.next_hops, &image.next_hops);
            for table in [Table::Backends, Table::Intervals, Table::Endpoints] {
                prop_assert_eq!(words(&again, table), words(&image, table), "{:?}", table);
            }
            known = world;
        }
    }
}

#[test]
fn tunnels_lead_to_backends_that_are_here() {
    let backends = vec![backend("10.2.0.1:80", HERE), backend("[fd02::1]:80", HERE)];
    let frontends = ["10.96.0.1:80", "203.0.113.80:80", "[2001:db8::80]:80"];
    let [set, mut service] = service("shop", &frontends, backends);
    if let Resource::Service(service) = &mut service {
        service.forwarding = Forwarding::Tunnel;
        service.frontends[1..].iter_mut().for_each(|it| it.kind = FrontendKind::External);
    }
    let node = crate::world::node(HERE, "a", &["192.0.2.1"]);
    let worlds = [&[][..], &["10.2.0.1"], &["10.2.0.1", "fd02::1"], &["fd02::1"], &[]];
    let worlds = worlds.map(|here| {
        let workload = (!here.is_empty()).then(|| workload("shop", HERE, here));
        let resources = [node.clone(), set.clone(), service.clone()];
        (world(resources.into_iter().chain(workload)), here.len())
    });
    let without = world([node, set, workload("shop", HERE, &["10.2.0.1", "fd02::1"])]);
    let mut compiler = compiler();
    let mut known = World::default();
    for (world, expected) in worlds.iter().chain(&[(without, 0), worlds[2].clone()]) {
        let image = compiler.update(world, &difference(&known, world)).unwrap().image;
        let ends: BTreeSet<u32> = image
            .frontends
            .iter()
            .filter(|(key, _)| key.is_tunnelled())
            .map(|(key, id)| {
                assert_eq!(image.record::<Record>(Table::Backends, *id).address, key.address);
                *id
            })
            .collect();
        assert_eq!(ends.len(), *expected);
        compiler.committed();
        known = world.clone();
    }
}

#[test]
fn node_ports_follow_the_nodes_addresses() {
    let node = |addresses: &[&str]| crate::world::node(HERE, "a", addresses);
    let [set, mut service] = service("shop", &["10.96.0.1:80"], vec![backend("10.2.0.1:80", "")]);
    if let Resource::Service(service) = &mut service {
        service.frontends[0].kind = FrontendKind::NodePort;
        service.frontends[0].address = address("0.0.0.0");
    }
    let mut compiler = compiler();
    let mut known = World::default();
    for addresses in [&["192.0.2.1"][..], &["192.0.2.1", "192.0.2.9"], &["192.0.2.9"], &[]] {
        let world = world([node(addresses), set.clone(), service.clone()]);
        let compiled = compiler.update(&world, &difference(&known, &world)).unwrap();
        check(&world, compiled.image);
        for text in ["192.0.2.1", "192.0.2.9"] {
            let marked = leaf(compiled.image, address(text)).has(Leaf::FRONTEND);
            assert_eq!(marked, addresses.contains(&text), "{text} with {addresses:?}");
        }
        compiler.committed();
        known = world;
    }
}

#[test]
fn node_ports_are_at_the_addresses_of_the_settings() {
    let node = crate::world::node(HERE, "a", &["192.0.2.1", "198.51.100.1", "2001:db8::1"]);
    let backends = vec![backend("10.2.0.1:80", ""), backend("[fd02::1]:80", "")];
    let [set, mut service] = service("shop", &["10.96.0.1:80", "[fd01::1]:80"], backends);
    if let Resource::Service(service) = &mut service {
        for (frontend, any) in service.frontends.iter_mut().zip(["0.0.0.0", "::"]) {
            (frontend.kind, frontend.address) = (FrontendKind::NodePort, address(any));
        }
    }
    let world = world([node, set, service]);
    let all = ["127.0.0.1", "192.0.2.1", "198.51.100.1", "2001:db8::1"];
    for (prefixes, expected) in [
        (&[][..], &all[..]),
        (&["192.0.2.0/24"], &["192.0.2.1"]),
        (&["198.51.100.0/24", "127.0.0.0/8"], &["127.0.0.1", "198.51.100.1"]),
        (&["2001:db8::/32"], &["2001:db8::1"]),
        (&["203.0.113.0/24"], &[]),
    ] {
        let node_port_addresses = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        let settings = Settings { node_port_addresses, ..Settings::default() };
        let image = compiler().with_settings(settings).compile(&world).unwrap();
        let tables = SimulatedTables::new(&image);
        for text in all {
            let address = address(text);
            let client = if address.is_ipv4() { "203.0.113.1" } else { "2001:db8:f::1" };
            let destination = SocketAddr::new(address, 80);
            let found = offered(&image, &tables, self::address(client), destination).is_some();
            assert_eq!(found, expected.contains(&text), "{text} with {prefixes:?}");
            let marked = leaf(&image, address).has(Leaf::FRONTEND);
            let on_the_wire = found && !address.is_loopback();
            assert_eq!(marked, on_the_wire, "{text} with {prefixes:?}");
        }
    }
}

#[test]
fn outsiders_at_cluster_addresses_are_refused_where_the_settings_say_so() {
    let backends = vec![backend("10.2.0.1:80", "")];
    let [set, mut service] = service("shop", &["10.96.0.1:80", "203.0.113.80:80"], backends);
    if let Resource::Service(service) = &mut service {
        service.frontends[1].kind = FrontendKind::External;
    }
    let node = crate::world::node(HERE, "a", &["192.0.2.1"]);
    let world = world([node, workload("web", HERE, &["10.0.0.1"]), set, service]);
    for (setting, dropped) in [(FromOutside::Translate, false), (FromOutside::Refuse, true)] {
        let settings = Settings { cluster_from_outside: setting, ..Settings::default() };
        let compiler = compiler().with_settings(settings);
        // A refusal of what comes next is of the same settings.
        compiler.validate(&world).unwrap();
        let image = { compiler }.compile(&world).unwrap();
        let tables = SimulatedTables::new(&image);
        for (client, service, expected) in [
            ("10.0.0.1", "10.96.0.1:80", false),
            ("192.0.2.1", "10.96.0.1:80", false),
            ("198.51.100.9", "10.96.0.1:80", dropped),
            ("198.51.100.9", "203.0.113.80:80", false),
        ] {
            let destination = service.parse().unwrap();
            let got = offered(&image, &tables, address(client), destination);
            let is_dropped = got == Some(Outcome::Drop);
            assert!(got.is_some() && is_dropped == expected, "{client} to {service}: {got:?}");
        }
    }
}

fn check(world: &World, image: &Image) {
    let tables = SimulatedTables::new(image);
    let all = || world.services.values().flat_map(|service| &service.frontends);
    let taken: BTreeSet<IpAddr> = all().flat_map(|it| addresses(world, it)).collect();
    for node in world.nodes.values() {
        for address in &node.addresses {
            let looked_up = leaf(image, *address).has(Leaf::FRONTEND);
            assert_eq!(looked_up, taken.contains(address), "{address}");
        }
    }
    for service in world.services.values() {
        for frontend in &service.frontends {
            for address in addresses(world, frontend) {
                assert!(leaf(image, address).has(Leaf::FRONTEND), "{address}");
                for client in CLIENTS.map(self::address) {
                    if client.is_ipv4() != address.is_ipv4() {
                        continue;
                    }
                    let destination = SocketAddr::new(address, frontend.port);
                    let got = offered(image, &tables, client, destination);
                    let expected = naive::outcome(world, HERE, service, frontend, client);
                    assert_eq!(got, Some(expected), "{client} to {frontend:?} of {service:#?}");
                }
            }
        }
    }
}

/// Where a frontend is found on this node.
fn addresses(world: &World, frontend: &Frontend) -> Vec<IpAddr> {
    if frontend.kind != FrontendKind::NodePort {
        return vec![frontend.address];
    }
    let own = &world.nodes[HERE].addresses;
    own.iter().filter(|it| it.is_ipv4() == frontend.address.is_ipv4()).copied().collect()
}

/// What the datapath finds in the tables.
fn offered(
    image: &Image,
    tables: &SimulatedTables,
    source: IpAddr,
    destination: SocketAddr,
) -> Option<Outcome> {
    let offer = match simulate::offer(tables, Query { source, destination, protocol: 6 }) {
        Err(DropReason::SourceRange) => return Some(Outcome::Forbidden),
        Err(reason) => panic!("{reason:?}"),
        Ok(offer) => offer?,
    };
    Some(match offer.range {
        Range::REJECT => Outcome::Reject,
        Range::DROP => Outcome::Drop,
        range => {
            let mut backends = BTreeSet::new();
            for slot in range.start()..range.start() + range.size() {
                let word = image.word(Table::Slots, slot as usize / 2);
                let record: Record =
                    image.record(Table::Backends, (word >> (slot % 2 * 32)) as u32);
                let ip = match record.address {
                    [a, b, c, d, ..] if destination.is_ipv4() => IpAddr::from([a, b, c, d]),
                    address => IpAddr::from(address),
                };
                backends.insert(SocketAddr::new(ip, u16::from_be_bytes(record.port)));
            }
            Outcome::Backends(backends, range.snat())
        }
    })
}

fn any_services() -> impl Strategy<Value = World> {
    let services = vec((any_service(), vec(any_backend(), 0..6)), 1..3);
    (any_nodes(), services, any::<bool>()).prop_map(|(nodes, services, here)| {
        let services = services.into_iter().enumerate().flat_map(|(index, (service, backends))| {
            let name = format!("service-{index}");
            [
                Resource::BackendSet(BackendSet { name: name.clone(), backends: apart(backends) }),
                Resource::Service(named(service, name, index as u16)),
            ]
        });
        let pod = workload("pod", HERE, &["10.0.0.1", "fd00::1"]);
        let backend = here.then(|| workload("backend", HERE, &["10.2.0.1", "fd02::1"]));
        world(nodes.into_iter().map(Resource::Node).chain([pod]).chain(backend).chain(services))
    })
}

/// Gives every backend an address of its own.
fn apart(mut backends: Vec<Backend>) -> Vec<Backend> {
    for (index, backend) in backends.iter_mut().enumerate() {
        backend.address.set_port(8000 + index as u16);
    }
    backends
}

/// Gives a service ports of its own.
fn named(mut service: Service, name: String, index: u16) -> Service {
    for frontend in &mut service.frontends {
        frontend.port += index;
    }
    service.backend_set.clone_from(&name);
    service.name = name;
    service
}

fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    let places = vec((any_zone(), any_region(), any::<bool>(), any::<bool>()), 3);
    places.prop_map(|places| {
        let names = [HERE, "beside", "far"];
        let nodes = names.iter().zip(places).enumerate();
        nodes
            .map(|(index, (name, (zone, region, labelled, prefixed)))| {
                let mut labels = BTreeMap::new();
                if labelled {
                    labels.insert("host".to_owned(), (*name).to_owned());
                    labels.insert("zone".to_owned(), zone.to_owned());
                }
                let number = index + 1;
                let mut addresses =
                    vec![format!("192.0.2.{number}"), format!("2001:db8::{number}")];
                if labelled != prefixed {
                    addresses.push(format!("192.0.2.9{number}"));
                }
                let prefixes = ["10.7.0.0/24".to_owned(), "fd07::/64".to_owned()];
                let prefixes = prefixes.into_iter().filter(|_| prefixed && index > 0);
                Node {
                    name: (*name).to_owned(),
                    addresses: addresses.iter().map(|text| address(text)).collect(),
                    zone: zone.to_owned(),
                    region: region.to_owned(),
                    labels,
                    pod_prefixes: prefixes.map(|text| text.parse().unwrap()).collect(),
                    weight: 1000,
                }
            })
            .collect()
    })
}

fn any_backend() -> impl Strategy<Value = Backend> {
    let ip = select(vec!["10.2.0.1", "10.2.0.1", "192.0.2.1", "fd02::1"]);
    let node = select(vec![HERE, HERE, "beside", "far", "lost", ""]);
    let zone = select(vec!["", "", "a", "b"]);
    let state = prop_oneof![
        3 => Just((true, true, false, false)),
        1 => any::<(bool, bool, bool, bool)>(),
        1 => Just((false, true, true, false)),
        1 => Just((true, true, false, true)),
    ];
    let names = |all: Vec<&'static str>| vec(select(all), 0..2);
    let zones = prop_oneof![names(vec!["a", "b"]), vec(select(vec!["a", "b"]), 1..3)];
    let nodes = prop_oneof![3 => Just(vec![]), 2 => names(vec![HERE, "far"])];
    let hints = prop_oneof![1 => Just((vec![], vec![])), 1 => (zones, nodes)];
    (ip, node, zone, hints, state, 1..3_u32).prop_map(
        |(ip, node, zone, (zones, nodes), (ready, serving, terminating, draining), weight)| {
            let texts = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
            Backend {
                address: SocketAddr::new(address(ip), 1),
                node: node.to_owned(),
                zone: zone.to_owned(),
                hints: Hints { zones: texts(zones), nodes: texts(nodes) },
                ready,
                serving,
                terminating,
                draining,
                weight,
            }
        },
    )
}

fn any_service() -> impl Strategy<Value = Service> {
    let kinds = [
        (FrontendKind::Cluster, "10.96.0.1", 80),
        (FrontendKind::Cluster, "fd96::1", 80),
        (FrontendKind::NodePort, "0.0.0.0", 30_000),
        (FrontendKind::NodePort, "::", 30_000),
        (FrontendKind::LoadBalancer, "198.51.100.0", 80),
        (FrontendKind::LoadBalancer, "2001:db8:1::", 80),
        (FrontendKind::External, "192.0.2.1", 80),
        (FrontendKind::External, "198.51.100.9", 80),
    ];
    let frontends = kinds.map(|(kind, text, port)| Frontend {
        kind,
        address: address(text),
        port,
        protocol: Protocol::Tcp,
    });
    let frontends = proptest::sample::subsequence(frontends.to_vec(), 1..=8);
    let ranges = vec(any_range(), 0..4);
    let affinity = option::of((1..=86_400_u32).prop_map(|timeout| Affinity { timeout }));
    let forwarding = select(vec![Forwarding::Nat, Forwarding::Tunnel]);
    let options = (ranges, affinity, forwarding);
    (frontends, any_topology(), any_policy(), any_policy(), options).prop_map(
        |(frontends, topology, internal_policy, external_policy, options)| {
            let (source_ranges, affinity, forwarding) = options;
            Service {
                name: String::new(),
                frontends,
                backend_set: String::new(),
                topology,
                internal_policy,
                external_policy,
                source_ranges,
                health_check_port: None,
                affinity,
                forwarding,
                node: String::new(),
            }
        },
    )
}

fn any_range() -> impl Strategy<Value = Prefix> {
    let texts = ["10.0.0.0/8", "192.0.2.0/31", "203.0.113.0/24", "0.0.0.0/0", "10.7.0.9/32"];
    let texts6 = ["fd00::/16", "2001:db8::/32", "2001:db8::1/128", "::/0"];
    select([&texts[..], &texts6[..]].concat()).prop_map(|text| text.parse().unwrap())
}

fn any_topology() -> impl Strategy<Value = Topology> {
    let keys = vec(select(vec!["host", "zone", "rack", "*"]), 0..4);
    let keys = keys.prop_map(|keys| keys.into_iter().map(str::to_owned).collect());
    let scopes = vec(select(vec![Scope::Node, Scope::Zone, Scope::Region, Scope::Any]), 1..4);
    let clients = vec((any_zone().prop_map(str::to_owned), 0_u64..5), 0..3);
    let clients = clients.prop_map(|clients| clients.into_iter().collect());
    let spill = (select(vec![1000_u32, 1200, 2500]), clients);
    let nearness = select(vec![None, Some(Nearness::SameZone), Some(Nearness::SameNode)]);
    prop_oneof![
        3 => nearness.prop_map(Topology::Hints),
        1 => keys.prop_map(Topology::Keys),
        1 => scopes.prop_map(Topology::Scopes),
        2 => spill.prop_map(|(factor, clients)| Topology::Spill(Spill { factor, clients })),
    ]
}

fn any_policy() -> impl Strategy<Value = TrafficPolicy> {
    select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local])
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    select(vec!["", "a", "a", "b"])
}

fn any_region() -> impl Strategy<Value = &'static str> {
    select(vec!["", "north", "south"])
}
