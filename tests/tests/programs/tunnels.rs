//! Direct server return: what outsiders send to backends on other nodes goes there inside another
//! packet, and comes out of it there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, IcmpError, PacketBuilder},
    programs::{Case, Node, Places, Worlds, backend},
};
use zonegate::model::{
    Backend, BackendSet, Forwarding, Frontend, FrontendKind, Protocol, Resource, Service, World,
};

const CLIENT: u16 = 4000;
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;
/// Ports of the services on `pod`, which is elsewhere, and on `shop`, which is here.
const FAR: [u16; 2] = [80, 30_080];
const NEAR: [u16; 2] = [81, 30_081];

/// An address that somebody leads to the nodes.
fn external(places: &Places) -> IpAddr {
    let text = if places.web.is_ipv4() { "203.0.113.80" } else { "2001:db8:80::1" };
    text.parse().unwrap()
}

fn world() -> World {
    let service = |name: &str, ports: [u16; 2], place: fn(&Places) -> IpAddr| {
        let frontends = Places::both().into_iter().flat_map(|places| {
            let any: IpAddr = if places.web.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let frontend =
                |kind, address, port| Frontend { kind, address, port, protocol: Protocol::Tcp };
            [
                frontend(FrontendKind::External, external(&places), ports[0]),
                frontend(FrontendKind::NodePort, any, ports[1]),
            ]
        });
        let backends: Vec<Backend> =
            Places::both().iter().map(|it| backend(place(it), Places::HTTP_BACKEND)).collect();
        [
            Resource::BackendSet(BackendSet { name: name.to_owned(), backends }),
            Resource::Service(Service {
                forwarding: Forwarding::Tunnel,
                ..Service::new(name.to_owned(), frontends.collect(), name.to_owned())
            }),
        ]
    };
    let far = service("far", FAR, |it| it.pod);
    let near = service("near", NEAR, |it| it.shop);
    Worlds::with(far.into_iter().chain(near))
}

/// `inner` inside a packet from one address to another.
fn tunnelled(from: IpAddr, to: IpAddr, inner: &PacketBuilder) -> PacketBuilder {
    packet::ip(from, to, if from.is_ipv4() { 4 } else { 41 }).payload(inner.build_ip())
}

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

#[test]
fn what_is_for_a_backend_elsewhere_goes_there_as_it_is() {
    let mut node = Node::of(&world());
    for places in Places::both() {
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
        let client = at(places.outsider, CLIENT);
        for service in [at(external(&places), FAR[0]), at(places.node, FAR[1])] {
            let packet = packet::tcp(client, service).traffic_class(0xb9);
            let becomes = |inner: &PacketBuilder| {
                tunnelled(places.node, places.pod, &inner.clone().ttl(63))
                    .traffic_class(0xb8)
                    .dont_fragment()
                    .ttl(63)
                    .ethernet(Node::MAC, ROUTER)
            };
            for (what, packet, reason) in [
                ("first", packet.clone().syn(), NEW),
                ("later", packet.clone().payload([7; 33]), ESTABLISHED),
                ("last", packet.clone().fin_ack(), ESTABLISHED),
            ] {
                let case = Case::from_wire(format!("{what} to {service}"), &packet);
                node.check(case.transmits(reason).becomes(&becomes(&packet)));
            }
        }
        // Pods are translated, since their answers have to come back by this node.
        let pod = packet::tcp(at(places.web, CLIENT), at(external(&places), FAR[0])).syn();
        let uplink = node.interface("uplink0");
        node.send(&Case::from("web", "a pod", &pod).redirects(uplink, NEW));
    }
}

#[test]
fn what_does_not_fit_into_the_tunnel_is_reported() {
    let mut node = Node::of(&world());
    for places in Places::both() {
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
        let (v4, client) = (places.web.is_ipv4(), at(places.outsider, CLIENT));
        let (header, at_mtu) = if v4 { (20, 14 + 20 + 6) } else { (40, 14 + 40 + 6) };
        let packet = |payload: usize| {
            packet::tcp(client, at(external(&places), FAR[0]))
                .dont_fragment()
                .payload(vec![1; payload])
        };
        let syn = packet::tcp(client, at(external(&places), FAR[0])).syn();
        node.send(&Case::from_wire("SYN", &syn).transmits(NEW));
        let largest = 1500 - header - header - 20;
        let fits = Case::from_wire("fits", &packet(largest)).transmits(ESTABLISHED);
        assert_eq!(node.send(&fits).len(), 14 + 1500);
        let too_large = Case::from_wire("does not fit", &packet(largest + 1));
        let out = node.send(&too_large.transmits(PassReason::Answered));
        let mtu = u16::from_be_bytes([out[at_mtu], out[at_mtu + 1]]);
        assert_eq!(usize::from(mtu), 1500 - header, "{places:?}");
    }
}

#[test]
fn a_backend_here_gets_what_comes_out_of_a_tunnel() {
    let node = Node::of(&world());
    for places in Places::both() {
        let backend = at(places.shop, Places::HTTP_BACKEND);
        let through = |inner: &PacketBuilder| tunnelled(places.other_node, places.shop, inner);
        for (service, port) in
            [(at(external(&places), NEAR[0]), CLIENT), (at(places.other_node, NEAR[1]), CLIENT + 1)]
        {
            let client = at(places.outsider, port);
            let what = format!("through {service}");
            let packet = packet::tcp(client, service);
            let back = packet::tcp(backend, client).syn_ack();
            node.check_all([
                Case::from_wire(&what, &through(&packet.clone().syn()))
                    .passes(NEW)
                    .becomes(&packet::tcp(client, backend).syn()),
                Case::to("shop", &what, &packet::tcp(client, backend).syn()).passes(ESTABLISHED),
                Case::from("shop", &what, &back).passes(ESTABLISHED),
                Case::to_wire(&what, &back)
                    .passes(ESTABLISHED)
                    .becomes(&packet::tcp(service, client).syn_ack()),
                Case::from_wire(&what, &through(&packet.clone().payload([9; 5])))
                    .passes(ESTABLISHED)
                    .becomes(&packet::tcp(client, backend).payload([9; 5])),
            ]);
            assert!(
                node.handshakes().is_empty(),
                "the way from the client's node is not seen here"
            );
            // A router on the way of the answers reports to the service, which is another node's.
            let error = |from, to| {
                let embedded = packet::tcp(from, client).payload([5; 40]).build_ip();
                let router = places.lonely_vip;
                packet::icmp_error(router, to, IcmpError::PacketTooBig(1300), &embedded)
            };
            node.check(
                Case::from_wire(&what, &through(&error(service, service.ip())))
                    .passes(PassReason::Related)
                    .becomes(&error(backend, backend.ip())),
            );
        }
    }
}

#[test]
fn abuse_tunnels_lead_to_services_and_from_nodes_only() {
    let node = Node::of(&world());
    for places in Places::both() {
        let client = at(places.outsider, CLIENT);
        let service = at(external(&places), NEAR[0]);
        let syn = packet::tcp(client, service).syn();
        let through = |inner: &PacketBuilder| tunnelled(places.other_node, places.shop, inner);
        let dropped = |what: &str, packet: &PacketBuilder, reason| {
            Case::from_wire(what, packet).drops(reason)
        };
        let nothing = packet::tcp(client, at(service.ip(), 99)).syn();
        let of_here = packet::tcp(at(places.web, CLIENT), service).syn();
        let elsewhere = packet::tcp(client, at(external(&places), FAR[0])).syn();
        let ping = packet::echo_request(client.ip(), service.ip(), 1, 1);
        let nested = tunnelled(places.other_node, service.ip(), &syn);
        let not_a_backend = tunnelled(places.other_node, places.web, &syn);
        node.check_all([
            dropped("no service", &through(&nothing), DropReason::Tunnelled),
            dropped("no backend of that service", &through(&elsewhere), DropReason::Tunnelled),
            dropped("no backend", &not_a_backend, DropReason::Tunnelled),
            dropped("a ping", &through(&ping), DropReason::Tunnelled),
            dropped("nested", &through(&nested), DropReason::Tunnelled),
            dropped("a workload's source", &through(&of_here), DropReason::SpoofedSource),
            // Who is no node sends packets like any other.
            Case::from_wire("no node", &tunnelled(places.outsider, places.shop, &syn)).passes(NEW),
            // The one after those is nothing special.
            Case::from_wire("plain", &packet::udp(client, at(places.shop, 9))).passes(NEW),
        ]);
    }
}
