//! What pods and outsiders get from frontends of every kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet,
    programs::{Case, Node, Places, Worlds, backend},
};
use zonegate::model::{
    BackendSet, Frontend, FrontendKind, Prefix, Protocol, Resource, Service, TrafficPolicy, World,
};

const CLIENT: u16 = 4000;
const NEW: PassReason = PassReason::NewFlow;
const NODE_PORT: u16 = 30_080;
const KEPT_PORT: u16 = 30_081;

/// A balancer of one family, and the outsider that has the next address.
fn balancer(places: &Places) -> (IpAddr, IpAddr) {
    let text = if places.web.is_ipv4() {
        ["203.0.113.80", "198.51.100.10"]
    } else {
        ["2001:db8:80::1", "2001:db8::a"]
    };
    let [balancer, stranger] = text.map(|text| text.parse().unwrap());
    (balancer, stranger)
}

/// Every other address around the outsider, so that there is something to search.
fn ranges(places: &Places) -> Vec<Prefix> {
    let around = |address: IpAddr, by: u32| match address {
        IpAddr::V4(it) => IpAddr::V4(Ipv4Addr::from_bits(it.to_bits() - 100 + by)),
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() - 100 + u128::from(by))),
    };
    (0..200).step_by(2).map(|by| Prefix::host(around(places.outsider, by))).collect()
}

/// A service of `pod`, which is on another node, with every kind of frontend; and one that keeps
/// the sources of outsiders, and has no backend for them here.
fn world() -> World {
    let any = |v4: bool| -> IpAddr {
        if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    };
    let frontend = |kind, address, port| Frontend { kind, address, port, protocol: Protocol::Tcp };
    let backends = Places::both().map(|it| backend(it.pod, Places::HTTP_BACKEND)).to_vec();
    let mut open = Vec::new();
    let mut kept = Vec::new();
    for places in Places::both() {
        let any = any(places.web.is_ipv4());
        open.push(frontend(FrontendKind::LoadBalancer, balancer(&places).0, Places::HTTP));
        open.push(frontend(FrontendKind::NodePort, any, NODE_PORT));
        kept.push(frontend(FrontendKind::NodePort, any, KEPT_PORT));
    }
    let service = |name: &str, frontends, external_policy| {
        Resource::Service(Service {
            external_policy,
            source_ranges: Places::both().iter().flat_map(ranges).collect(),
            ..Service::new(name.to_owned(), frontends, "on-pod".to_owned())
        })
    };
    let mut world = Worlds::with([
        Resource::BackendSet(BackendSet { name: "on-pod".to_owned(), backends }),
        service("open", open, TrafficPolicy::Cluster),
        service("kept", kept, TrafficPolicy::Local),
    ]);
    let prefixes = ["10.2.0.0/16", "fd00:2::/32"].map(|text| text.parse().unwrap());
    world.nodes.get_mut("other").unwrap().pod_prefixes = prefixes.to_vec();
    world
}

#[test]
fn a_balancer_is_for_those_in_its_source_ranges() {
    let node = Node::of(&world());
    for places in Places::both() {
        let (balancer, stranger) = balancer(&places);
        let vip = SocketAddr::new(balancer, Places::HTTP);
        let to = |from| packet::tcp(SocketAddr::new(from, CLIENT), vip).syn();
        node.check_all([
            Case::from_wire("admitted", &to(places.outsider)).hands_over(NEW),
            Case::from_wire("not admitted", &to(stranger)).drops(DropReason::SourceRange),
            Case::from("web", "a pod", &to(places.web)).drops(DropReason::SourceRange),
        ]);
    }
}

#[test]
fn a_node_port_is_at_the_nodes_own_addresses() {
    let node = Node::of(&world());
    for places in Places::both() {
        let (_, stranger) = balancer(&places);
        for (what, from, at, port, is_translated) in [
            ("an outsider", stranger, places.node, NODE_PORT, true),
            ("another port", stranger, places.node, NODE_PORT + 2, false),
            ("another node", stranger, places.other_node, NODE_PORT, false),
        ] {
            let from = SocketAddr::new(from, CLIENT);
            let case = Case::from_wire(what, &packet::tcp(from, SocketAddr::new(at, port)).syn());
            node.check(if is_translated {
                case.hands_over(NEW)
            } else {
                case.passes(PassReason::NotOurs)
            });
        }
    }
}

#[test]
fn a_service_that_keeps_sources_drops_outsiders_and_takes_pods_elsewhere() {
    let node = Node::of(&world());
    for places in Places::both() {
        let backend = SocketAddr::new(places.pod, Places::HTTP_BACKEND);
        let vip = SocketAddr::new(places.node, KEPT_PORT);
        // Nobody has told of this pod.
        let unknown: IpAddr =
            if places.web.is_ipv4() { "10.2.7.7" } else { "fd00:2:7::7" }.parse().unwrap();
        let to = |from, to| packet::tcp(SocketAddr::new(from, CLIENT), to).syn();
        let web = Case::from("web", "a pod", &to(places.web, vip));
        let remote = Case::from_wire("an unknown pod", &to(unknown, vip));
        node.check_all([
            Case::from_wire("an outsider", &to(places.outsider, vip)).drops(DropReason::NoEndpoint),
            web.passes(NEW).becomes(&to(places.web, backend)),
            remote.passes(NEW).becomes(&to(unknown, backend)),
        ]);
    }
}
