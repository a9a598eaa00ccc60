//! From a service's address to a backend, and back.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, PacketBuilder, assert_packet_eq, source_port, verify_checksums},
    programs::{Case, Node, Places, Worlds},
};

const CLIENT: u16 = 4000;
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;

type Transport = fn(SocketAddr, SocketAddr) -> PacketBuilder;

/// Both protocols, with the service's port and the backend's.
const PROTOCOLS: [(&str, Transport, u16, u16); 2] = [
    ("TCP", |from, to| packet::tcp(from, to).syn(), Places::HTTP, Places::HTTP_BACKEND),
    ("UDP", packet::udp, Places::DNS, Places::DNS_BACKEND),
];

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

#[test]
fn a_workload_talks_to_the_service_and_hears_from_the_service() {
    let node = Node::of(&Worlds::plain());
    for (places, (what, packet, port, backend)) in each() {
        // All payload lengths around a word, so that sums with odd ends are right as well.
        for (n, length) in [0, 1, 2, 3, 64, 1000].into_iter().enumerate() {
            let payload = vec![0xa5; length];
            let packet = |from, to| packet(from, to).payload(&payload);
            let client = at(places.web, CLIENT);
            let (vip, backend) = (at(places.vip, port), at(places.pod, backend));
            let answer = packet(backend, client);
            node.check_all([
                Case::from("web", what, &packet(client, vip))
                    .passes(if n == 0 { NEW } else { ESTABLISHED })
                    .becomes(&packet(client, backend)),
                Case::to_wire(what, &packet(client, backend)).passes(PassReason::NotOurs),
            ]);
            // A SYN as answer would be a connection of its own.
            let answer = if what == "TCP" { answer.syn_ack() } else { answer };
            let heard = packet(vip, client);
            let heard = if what == "TCP" { heard.syn_ack() } else { heard };
            node.check_all([
                Case::from_wire(what, &answer).passes(ESTABLISHED),
                Case::to("web", what, &answer).passes(ESTABLISHED).becomes(&heard),
            ]);
        }
    }
}

#[test]
fn an_outsider_talks_to_a_remote_and_a_local_backend() {
    let mut node = Node::of(&Worlds::plain());
    for places in Places::both() {
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
    }
    for (places, (what, packet, port, backend)) in each() {
        let client = at(places.outsider, CLIENT);
        let (vip, backend) = (at(places.vip, port), at(places.pod, backend));
        let answer = |to| {
            let answer = packet(backend, to);
            if what == "TCP" { answer.syn_ack() } else { answer }
        };
        // The backend answers this node, which alone knows whom that is for.
        let out = node.send(&Case::from_wire(what, &packet(client, vip)).transmits(NEW));
        let node_end = at(places.node, source_port(&out));
        assert!(node_end.port() >= 61_000, "{node_end}");
        let sent = packet(node_end, backend).ttl(63).ethernet(Node::MAC, ROUTER);
        assert_packet_eq(sent.build(), &out);
        let other = Case::from_wire(what, &packet(at(places.outsider, CLIENT + 1), vip));
        assert_ne!(source_port(&node.send(&other.transmits(NEW))), node_end.port());
        node.check_all([
            Case::from_wire(what, &answer(node_end)).hands_over(ESTABLISHED),
            Case::from_wire("at another port", &answer(at(places.node, 60_999)))
                .passes(PassReason::NotOurs),
        ]);
    }
    for places in Places::both() {
        let client = at(places.outsider, CLIENT);
        let (vip, backend) =
            (at(places.local_vip, Places::HTTP), at(places.shop, Places::HTTP_BACKEND));
        let there = packet::tcp(client, backend).syn();
        let back = packet::tcp(backend, client).syn_ack();
        node.check_all([
            Case::from_wire("there", &packet::tcp(client, vip).syn()).passes(NEW).becomes(&there),
            Case::to("shop", "there", &there).passes(ESTABLISHED),
            Case::from("shop", "back", &back).passes(ESTABLISHED),
            Case::to_wire("back", &back)
                .passes(ESTABLISHED)
                .becomes(&packet::tcp(vip, client).syn_ack()),
        ]);
    }
}

#[test]
fn abuse_16_a_service_answers_at_its_frontends_only() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let client = at(places.outsider, CLIENT);
        let wrong = [
            ("another port", packet::tcp(client, at(places.vip, 81)).syn()),
            ("another protocol", packet::udp(client, at(places.vip, Places::HTTP))),
            ("a ping", packet::echo_request(places.outsider, places.vip, 1, 1)),
            ("no ports", packet::ip(places.outsider, places.vip, 47).payload([0; 8])),
        ];
        for (what, packet) in wrong {
            node.check(Case::from_wire(what, &packet).drops(DropReason::NoFrontend));
        }
        let node_port = packet::tcp(client, at(places.node, Places::HTTP)).syn();
        node.check(Case::from_wire("the node's own", &node_port).passes(PassReason::NotOurs));
    }
}

#[test]
fn abuse_18_an_expired_packet_is_left_to_the_kernel() {
    let mut node = Node::of(&Worlds::plain());
    for (n, places) in (0..).zip(Places::both()) {
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
        let (client, backend) = (at(places.web, CLIENT + n), at(places.pod, Places::HTTP_BACKEND));
        let vip = at(places.vip, Places::HTTP);
        let mut reason = NEW;
        for ttl in [0, 1, 2, 64, 255] {
            let case =
                Case::from("web", format!("TTL {ttl}"), &packet::tcp(client, vip).syn().ttl(ttl));
            let out = packet::tcp(client, backend).syn();
            let case = if ttl <= 1 {
                case.passes(reason).becomes(&out.ttl(ttl))
            } else {
                let sent = out.ttl(ttl - 1).ethernet(Node::MAC, ROUTER);
                case.redirects(node.interface("uplink0"), reason).becomes(&sent)
            };
            node.check(case);
            reason = ESTABLISHED;
        }
    }
}

#[test]
fn abuse_19_a_packet_above_the_mtu_is_left_to_the_kernel() {
    let mut node = Node::of(&Worlds::plain());
    for places in Places::both() {
        node.resolve(places.pod, "uplink0", ROUTER, 1400);
        let (client, backend) = (at(places.web, CLIENT), at(places.pod, Places::DNS_BACKEND));
        let vip = at(places.vip, Places::DNS);
        let header = if places.web.is_ipv4() { 28 } else { 48 };
        let mut reason = NEW;
        for length in [100, 1400, 1401, 1500, 3000] {
            let payload = vec![1; length - header];
            let packet = packet::udp(client, vip).payload(&payload);
            let case = Case::from("web", format!("{length} bytes"), &packet);
            let out = packet::udp(client, backend).payload(&payload);
            node.check(if length <= 1400 {
                let sent = out.ttl(63).ethernet(Node::MAC, ROUTER);
                case.redirects(node.interface("uplink0"), reason).becomes(&sent)
            } else {
                case.passes(reason).becomes(&out)
            });
            reason = ESTABLISHED;
        }
        // Whether another NIC takes XDP frames is not known.
        node.resolve(places.pod, "zg-batch", ROUTER, 1500);
        let outsider = packet::udp(at(places.outsider, CLIENT), vip);
        node.check(Case::from_wire("another interface", &outsider).hands_over(NEW));
    }
}

#[test]
fn abuse_21_wrong_checksums_stay_wrong_and_none_stays_none() {
    let node = Node::of(&Worlds::plain());
    for (places, (what, packet, port, _)) in each() {
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, port));
        let right = packet(client, vip).payload(b"odd");
        node.send(&Case::from("web", what, &right).passes(NEW));
        let wrong = [right.clone().wrong_checksum(), right.clone().wrong_ip_checksum()];
        // IPv6 headers have none to be wrong.
        for packet in wrong.iter().take(if places.web.is_ipv4() { 2 } else { 1 }) {
            let out = node.send(&Case::from("web", what, packet).passes(ESTABLISHED));
            assert!(verify_checksums(&out).is_err(), "{what} {client}: became right");
        }
    }
    let places = Places::v4();
    let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::DNS));
    let backend = at(places.pod, Places::DNS_BACKEND);
    node.check_all([
        Case::from("web", "none", &packet::udp(client, vip).zero_checksum())
            .passes(ESTABLISHED)
            .becomes(&packet::udp(client, backend).zero_checksum()),
        Case::from_wire("none back", &packet::udp(backend, client).zero_checksum())
            .passes(ESTABLISHED),
        Case::to("web", "none back", &packet::udp(backend, client).zero_checksum())
            .passes(ESTABLISHED)
            .becomes(&packet::udp(vip, client).zero_checksum()),
    ]);
}

/// A checksum that comes out as zero is written as all ones (RFC 768): every value of two bytes
/// of payload is tried, one of which gives zero.
#[test]
fn abuse_21_a_sum_of_zero_is_not_written_as_none() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::DNS));
        let backend = at(places.pod, Places::DNS_BACKEND);
        let zero = packet::udp(client, backend).payload([0; 2]).build();
        let at_checksum = if places.web.is_ipv4() { 40 } else { 60 };
        let word = [zero[at_checksum], zero[at_checksum + 1]];
        let out = packet::udp(client, backend).payload(word);
        assert_eq!(out.build()[at_checksum..at_checksum + 2], [0xff; 2], "the word sums to zero");
        let case = Case::from("web", "a sum of zero", &packet::udp(client, vip).payload(word));
        node.check(case.passes(NEW).becomes(&out));
    }
}

#[test]
fn abuse_22_a_workload_reaches_itself_as_the_service() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (client, vip) = (at(places.shop, CLIENT), at(places.local_vip, Places::HTTP));
        let (backend, seen) = (at(places.shop, Places::HTTP_BACKEND), at(places.local_vip, CLIENT));
        let turned =
            |packet: PacketBuilder| packet.ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        node.check_all([
            Case::from("shop", "to itself", &packet::tcp(client, vip).syn())
                .transmits(NEW)
                .becomes(&turned(packet::tcp(seen, backend).syn())),
            Case::from("shop", "its answer", &packet::tcp(backend, seen).syn_ack())
                .transmits(ESTABLISHED)
                .becomes(&turned(packet::tcp(vip, client).syn_ack())),
            Case::from("shop", "data", &packet::tcp(client, vip).payload(b"x"))
                .transmits(ESTABLISHED)
                .becomes(&turned(packet::tcp(seen, backend).payload(b"x"))),
            // Nobody else has that address, and the workload itself has it for this flow only.
            Case::from("web", "spoofed", &packet::tcp(seen, backend).syn())
                .drops(DropReason::ForeignSource),
            Case::from("shop", "spoofed", &packet::tcp(seen, backend).syn())
                .drops(DropReason::ForeignSource),
        ]);
    }
}

fn each() -> impl Iterator<Item = (Places, (&'static str, Transport, u16, u16))> {
    Places::both().into_iter().flat_map(|places| PROTOCOLS.map(|protocol| (places, protocol)))
}
