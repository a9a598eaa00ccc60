//! Clients that stay with a backend.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use abi::reason::PassReason;
use datapath::{Hook, Verdict};
use testbed::{
    packet,
    programs::{Case, Node, Places, Worlds, backend, service},
};
use zonegate::{
    compile::{Compiler, Limits},
    model::{Affinity, Frontend, FrontendKind, Protocol, Resource, World},
    simulate::{self, Frame, SimulatedTables},
};

const NEW: PassReason = PassReason::NewFlow;
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const HTTP: u16 = 8000;
const NODE_PORT: u16 = 30_090;
const BACKENDS: std::ops::Range<u16> = 9000..9008;

/// A service at its cluster addresses and at a node port. All backends are on `pod`, and told apart
/// by their ports; one of them weighs a thousand times as much as the others.
fn world(affinity: Option<Affinity>, ports: &[u16], heavy: u16) -> World {
    let backends = Places::both()
        .iter()
        .flat_map(|places| ports.iter().map(|port| backend(places.pod, *port)))
        .map(|mut it| {
            it.weight = if it.address.port() == heavy { 1000 } else { 1 };
            it
        })
        .collect();
    let addresses = Places::both().map(|it| it.vip);
    let mut resources = service("sticky", &addresses, Protocol::Tcp, HTTP, backends);
    if let [_, Resource::Service(service)] = &mut resources {
        service.affinity = affinity;
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
        service.frontends.extend(any.map(|address| Frontend {
            kind: FrontendKind::NodePort,
            address,
            port: NODE_PORT,
            protocol: Protocol::Tcp,
        }));
    }
    Worlds::with(resources)
}

/// The port that a translated frame goes to.
fn destination_port(frame: &[u8], is_ipv4: bool) -> u16 {
    let at = 14 + if is_ipv4 { 20 } else { 40 } + 2;
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Backends of an outsider's connections from these ports.
fn chosen(
    node: &Node,
    places: &Places,
    to: SocketAddr,
    ports: std::ops::Range<u16>,
) -> BTreeSet<u16> {
    let chosen = ports.map(|port| {
        let syn = packet::tcp(SocketAddr::new(places.outsider, port), to).syn();
        let out = node.send(&Case::from_wire(format!("{port} to {to}"), &syn).transmits(NEW));
        destination_port(&out, to.is_ipv4())
    });
    chosen.collect()
}

#[test]
fn a_client_keeps_its_backend_at_every_frontend_as_long_as_it_is_there() {
    let all: Vec<u16> = BACKENDS.collect();
    let long = Some(Affinity { timeout: Affinity::TIMEOUT });
    for places in Places::both() {
        let (vip, node_port) =
            (SocketAddr::new(places.vip, HTTP), SocketAddr::new(places.node, NODE_PORT));
        let mut node = Node::of(&world(None, &all, 0));
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
        assert!(chosen(&node, &places, vip, 1000..1030).len() > 1, "each connection is on its own");

        node.commit(&world(long, &all, 0));
        let first = chosen(&node, &places, vip, 2000..2030);
        let kept = *first.first().unwrap();
        assert_eq!(first, BTreeSet::from([kept]));
        assert_eq!(chosen(&node, &places, node_port, 2000..2030), first, "at the node port");

        // Almost every slot is another's now.
        let heavy = *all.iter().find(|port| **port != kept).unwrap();
        node.commit(&world(long, &all, heavy));
        assert_eq!(chosen(&node, &places, vip, 3000..3030), first, "other slots");
        let stranger = Places { outsider: places.other_node, ..places };
        assert_eq!(chosen(&node, &stranger, vip, 3000..3001), BTreeSet::from([heavy]));

        let others: Vec<u16> = BACKENDS.filter(|port| *port != kept).collect();
        node.commit(&world(long, &others, heavy));
        assert_eq!(chosen(&node, &places, vip, 4000..4030), BTreeSet::from([heavy]), "it is gone");
        node.commit(&world(long, &all, kept));
        assert_eq!(chosen(&node, &places, vip, 5000..5030), BTreeSet::from([heavy]), "it is back");
    }
}

/// A hundred jiffies are a second here; the clock's upper half counts.
#[test]
fn what_was_not_used_for_the_timeout_is_forgotten() {
    let all: Vec<u16> = BACKENDS.collect();
    let heavy_on = |heavy| world(Some(Affinity { timeout: 10 }), &all, heavy);
    for places in Places::both() {
        let mut compiler = Compiler::new("here".to_owned(), Limits::default());
        let image = compiler.compile(&heavy_on(9000)).unwrap();
        let (web, _) = image.ports.iter().find(|(_, port)| port.workload == "web").unwrap();
        let interface = SimulatedTables::interface(*web);
        let mut tables = SimulatedTables::new(&image);
        let mut client_port = 1000;
        for (what, now, heavy, expected) in [
            ("the first", 0, 9000, 9000),
            ("a second before the timeout", 900, 9001, 9000),
            ("refreshed by that", 1900, 9001, 9000),
            ("just past the timeout", 2901, 9001, 9001),
            ("after all that 32 bits can count", 2902 + (1 << 32), 9002, 9002),
            ("and again", 2903 + (1 << 32), 9003, 9002),
        ] {
            tables.commit(&compiler.compile(&heavy_on(heavy)).unwrap());
            tables.set_now(now);
            client_port += 1;
            let client = SocketAddr::new(places.web, client_port);
            let syn = packet::tcp(client, SocketAddr::new(places.vip, HTTP)).syn();
            let mut frame = Frame(syn.build());
            let verdict = simulate::send(&tables, Hook::WorkloadIngress, interface, &mut frame);
            assert!(matches!(verdict, Verdict::Pass(NEW)), "{what}: {verdict:?}");
            assert_eq!(destination_port(&frame.0, places.vip.is_ipv4()), expected, "{what}");
        }
    }
}
