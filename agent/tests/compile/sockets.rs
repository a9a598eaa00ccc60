//! Where calls of the node's own processes lead, on compiled tables.

use std::{collections::BTreeSet, net::SocketAddr};

use abi::reason::DropReason;
use datapath::{Address, Call, Peer, Port, V4, V6, Way, protocol, way};
use zonegate::{
    model::{FrontendKind, Resource, World},
    simulate::SimulatedTables,
};

use crate::world::{HERE, backend, compiler, node, service, world};

/// The service `shop` with every kind of frontend, one without backends, and balancers for clients
/// outside and inside a range.
fn shops() -> World {
    let backends = || vec![backend("10.2.0.1:8080", "far"), backend("[fd00:2::1]:8080", "far")];
    let of_kind = |kind, services: [Resource; 2], ranges: &[&str]| {
        services.map(|mut resource| {
            if let Resource::Service(service) = &mut resource {
                service.frontends.iter_mut().for_each(|it| it.kind = kind);
                service.source_ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
            }
            resource
        })
    };
    let ports = &["0.0.0.0:30080", "[::]:30080"];
    let balancer = |name, frontends, ranges| {
        of_kind(FrontendKind::LoadBalancer, service(name, frontends, backends()), ranges)
    };
    world(
        [node(HERE, "a", &["192.0.2.1", "2001:db8::1"]), node("far", "b", &["192.0.2.3"])]
            .into_iter()
            .chain(service("shop", &["10.96.0.1:80", "[fd01::1]:80"], backends()))
            .chain(of_kind(FrontendKind::NodePort, service("port", ports, backends()), &[]))
            .chain(service("empty", &["10.96.0.2:80", "[fd01::2]:80"], vec![]))
            .chain(balancer("closed", &["203.0.113.1:80"], &["198.51.100.0/24"]))
            .chain(balancer(
                "open",
                &["203.0.113.2:80", "[2001:db8:cb::2]:80"],
                &["192.0.2.0/24", "2001:db8::/64"],
            )),
    )
}

fn tables(world: &World) -> SimulatedTables {
    SimulatedTables::new(&compiler().compile(world).unwrap())
}

/// What becomes of a call, and where it leads.
fn call(
    tables: &SimulatedTables,
    call: Call,
    cookie: u64,
    protocol: u8,
    to: SocketAddr,
) -> (Way, SocketAddr) {
    fn peer<A: Address>(
        address: A,
        run: impl FnOnce(&mut Peer<A>) -> Way,
        port: u16,
    ) -> (Way, [u8; 16], u16) {
        let mut peer = Peer { address, port: Port::new(port) };
        let way = run(&mut peer);
        let mut bytes = [0; 16];
        for (four, word) in bytes.chunks_mut(4).zip(peer.address.field()) {
            four.copy_from_slice(&word.to_ne_bytes());
        }
        (way, bytes, peer.port.number())
    }
    match to {
        SocketAddr::V4(it) => {
            let address = V4::new(it.ip().octets());
            let run = |peer: &mut Peer<V4>| way(tables, call, cookie, protocol, peer);
            let (way, [a, b, c, d, ..], port) = peer(address, run, it.port());
            (way, SocketAddr::from(([a, b, c, d], port)))
        }
        SocketAddr::V6(it) => {
            let address = V6::new(it.ip().octets());
            let run = |peer: &mut Peer<V6>| way(tables, call, cookie, protocol, peer);
            let (way, bytes, port) = peer(address, run, it.port());
            (way, SocketAddr::from((bytes, port)))
        }
    }
}

#[test]
fn calls_lead_where_the_node_is_served() {
    let tables = tables(&shops());
    let denied = Way::Denied;
    for (to, expected) in [
        ("10.96.0.1:80", Way::Backend),
        ("[fd01::1]:80", Way::Backend),
        ("10.96.0.1:81", denied(DropReason::NoFrontend)),
        ("[fd01::1]:81", denied(DropReason::NoFrontend)),
        ("192.0.2.1:30080", Way::Backend),
        ("127.0.0.1:30080", Way::Backend),
        ("127.255.0.9:30080", Way::Backend),
        ("[2001:db8::1]:30080", Way::Backend),
        ("[::1]:30080", Way::Backend),
        ("192.0.2.1:80", Way::Untouched),
        ("127.0.0.1:80", Way::Untouched),
        ("[::1]:80", Way::Untouched),
        ("192.0.2.3:30080", Way::Untouched),
        ("10.96.0.2:80", Way::Refused),
        ("[fd01::2]:80", Way::Refused),
        ("203.0.113.1:80", denied(DropReason::SourceRange)),
        ("203.0.113.2:80", Way::Backend),
        ("[2001:db8:cb::2]:80", Way::Backend),
        ("10.2.0.1:8080", Way::Untouched),
        ("[fd00:2::1]:8080", Way::Untouched),
        ("8.8.8.8:80", Way::Untouched),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let (way, peer) = call(&tables, Call::Connect, 1, protocol::TCP, to);
        assert_eq!(way, expected, "{to}");
        let backend = if to.is_ipv4() { "10.2.0.1:8080" } else { "[fd00:2::1]:8080" };
        let expected = if way == Way::Backend { backend.parse().unwrap() } else { to };
        assert_eq!(peer, expected, "{to}");
    }
}

#[test]
fn resolvers_may_connect_where_nothing_is_sent() {
    let tables = tables(&shops());
    let denied = Way::Denied(DropReason::NoFrontend);
    for to in ["10.96.0.1:80", "[fd01::1]:53"].map(|text| text.parse().unwrap()) {
        for (what, protocol, expected) in [
            (Call::Connect, protocol::UDP, Way::Untouched),
            (Call::Send, protocol::UDP, denied),
            (Call::Connect, protocol::SCTP, Way::Untouched),
            (Call::Connect, protocol::ICMP, Way::Untouched),
        ] {
            assert_eq!(call(&tables, what, 1, protocol, to), (expected, to), "{what:?} {protocol}");
        }
    }
}

#[test]
fn sockets_are_spread_and_each_keeps_to_its_backend() {
    let backends = ["10.2.0.1:8080", "10.2.0.2:8080"].map(|text| backend(text, "far"));
    let place: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let world_of = |backends| {
        let nodes = [node(HERE, "a", &["192.0.2.1"]), node("far", "b", &["192.0.2.3"])];
        world(nodes.into_iter().chain(service("shop", &["10.96.0.1:80"], backends)))
    };
    let both = tables(&world_of(backends.to_vec()));
    let [_, second] = &backends;
    let one = tables(&world_of(vec![second.clone()]));
    let mut reached = BTreeSet::new();
    for cookie in 1..=64 {
        let (way, peer) = call(&both, Call::Connect, cookie, protocol::TCP, place);
        assert_eq!(way, Way::Backend);
        assert_eq!(call(&both, Call::Connect, cookie, protocol::TCP, place).1, peer);
        reached.insert(peer);
        let (_, left) = call(&one, Call::Connect, cookie, protocol::TCP, place);
        assert_eq!(left, "10.2.0.2:8080".parse().unwrap());
    }
    assert_eq!(reached.len(), 2);
}

#[test]
fn nothing_is_touched_before_the_first_commit() {
    let place: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let before = SimulatedTables::empty();
    assert_eq!(call(&before, Call::Send, 1, protocol::UDP, place), (Way::Untouched, place));
}
