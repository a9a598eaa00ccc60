//! SCTP through services: the CRC-32C that comes out is the one over the whole packet. Every packet
//! of a case is compared with one whose CRC was computed afresh, and so are those of the programs
//! and of the host build.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, IcmpError, PacketBuilder, source_port, verify_checksums},
    programs::{Case, Node, Places, Worlds, backend, service},
};
use zonegate::model::{Backend, FrontendKind, Protocol, Resource, TrafficPolicy};

const CLIENT: u16 = 4000;
const PORT: u16 = 3868;
const BACKEND: u16 = 13_868;
/// At which service and backend have the same port.
const SAME: u16 = 2905;
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;
/// Around words and powers of two, so that every step of the update counts.
const LENGTHS: [usize; 9] = [0, 1, 4, 16, 63, 244, 500, 1000, 1400];

/// The services of the plain world, for SCTP.
fn node() -> Node {
    let at_pod = |port| Places::both().map(|it| backend(it.pod, port)).to_vec();
    let here = |it: Backend| Backend { node: "here".to_owned(), ..it };
    let at_shop = |port| Places::both().map(|it| here(backend(it.shop, port))).to_vec();
    let at = |place: fn(&Places) -> IpAddr| Places::both().map(|it| place(&it));
    let sctp =
        |name, place, port, backends| service(name, &at(place), Protocol::Sctp, port, backends);
    let mut kept = sctp("sctp-local", |it| it.local_vip, PORT, at_shop(BACKEND));
    if let Resource::Service(service) = &mut kept[1] {
        service.external_policy = TrafficPolicy::Local;
        for frontend in &mut service.frontends {
            frontend.kind = FrontendKind::External;
        }
    }
    let services = [
        sctp("sctp", |it| it.vip, PORT, at_pod(BACKEND)),
        sctp("sctp-same", |it| it.vip, SAME, at_pod(SAME)),
        sctp("sctp-lonely", |it| it.lonely_vip, PORT, Vec::new()),
        kept,
    ];
    Node::of(&Worlds::with(services.into_iter().flatten()))
}

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// With as much payload as a test wants, none of it zero.
fn sctp(from: SocketAddr, to: SocketAddr, length: usize) -> PacketBuilder {
    let payload: Vec<u8> = (0..length).map(|n| (n % 251 + 1) as u8).collect();
    packet::sctp(from, to, 0x0bad_cafe).payload(payload)
}

#[test]
fn a_workload_and_the_backend_see_right_checksums() {
    let node = node();
    for places in Places::both() {
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, PORT));
        let backend = at(places.pod, BACKEND);
        let mut reason = NEW;
        for length in LENGTHS {
            let what = format!("{length} bytes");
            node.check_all([
                Case::from("web", &what, &sctp(client, vip, length))
                    .passes(reason)
                    .becomes(&sctp(client, backend, length)),
                Case::from_wire(&what, &sctp(backend, client, length)).passes(ESTABLISHED),
                Case::to("web", &what, &sctp(backend, client, length))
                    .passes(ESTABLISHED)
                    .becomes(&sctp(vip, client, length)),
            ]);
            reason = ESTABLISHED;
        }
        let wrong = sctp(client, vip, 40).wrong_checksum();
        let out = node.send(&Case::from("web", "a wrong checksum", &wrong).passes(ESTABLISHED));
        assert!(verify_checksums(&out).is_err(), "{client}: became right");
    }
}

#[test]
fn an_outsider_is_translated_in_both_ways() {
    let mut node = node();
    for places in Places::both() {
        node.resolve(places.pod, "uplink0", ROUTER, 1500);
        let client = at(places.outsider, CLIENT);
        // To another node: the source is this node's.
        for length in LENGTHS {
            let packet = sctp(client, at(places.vip, PORT), length);
            let reason = if length == 0 { NEW } else { ESTABLISHED };
            let out = node.send(&Case::from_wire("out", &packet).transmits(reason));
            let node_end = at(places.node, source_port(&out));
            assert!(node_end.port() >= 61_000, "{node_end}");
            let sent = sctp(node_end, at(places.pod, BACKEND), length);
            packet::assert_packet_eq(sent.ttl(63).ethernet(Node::MAC, ROUTER).build(), &out);
            let answer = sctp(at(places.pod, BACKEND), node_end, length);
            node.check(Case::from_wire("back", &answer).hands_over(ESTABLISHED));
        }
        // To this one: the source stays.
        let (vip, backend) = (at(places.local_vip, PORT), at(places.shop, BACKEND));
        let mut reason = NEW;
        for length in LENGTHS {
            let there = sctp(client, backend, length);
            let back = sctp(backend, client, length);
            node.check_all([
                Case::from_wire("there", &sctp(client, vip, length)).passes(reason).becomes(&there),
                Case::to("shop", "there", &there).passes(ESTABLISHED),
                Case::from("shop", "back", &back).passes(ESTABLISHED),
                Case::to_wire("back", &back)
                    .passes(ESTABLISHED)
                    .becomes(&sctp(vip, client, length)),
            ]);
            reason = ESTABLISHED;
        }
    }
}

#[test]
fn a_workload_reaches_itself_with_both_ends_translated() {
    let node = node();
    for places in Places::both() {
        let (client, vip) = (at(places.shop, CLIENT), at(places.local_vip, PORT));
        let (backend, seen) = (at(places.shop, BACKEND), at(places.local_vip, CLIENT));
        let turned =
            |packet: PacketBuilder| packet.ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        node.check_all([
            Case::from("shop", "to itself", &sctp(client, vip, 100))
                .transmits(NEW)
                .becomes(&turned(sctp(seen, backend, 100))),
            Case::from("shop", "its answer", &sctp(backend, seen, 101))
                .transmits(ESTABLISHED)
                .becomes(&turned(sctp(vip, client, 101))),
        ]);
    }
}

#[test]
fn a_fragment_goes_on_only_where_the_checksum_stays() {
    let node = node();
    for places in Places::both() {
        let client = at(places.web, CLIENT);
        let start = |port, id| {
            let packet = sctp(client, at(places.vip, port), 36);
            packet.identification(id).fragment(0, true)
        };
        let rest = |id| {
            let packet = packet::ip(client.ip(), places.vip, 132).payload([7; 20]);
            packet.identification(id).fragment(48, false)
        };
        let moved = |packet: PacketBuilder, id, offset, more| {
            packet.identification(id).fragment(offset, more)
        };
        let there = sctp(client, at(places.pod, SAME), 36);
        let rest_there = packet::ip(client.ip(), places.pod, 132).payload([7; 20]);
        node.check_all([
            Case::from("web", "another port", &start(PORT, 1)).drops(DropReason::SctpFragment),
            Case::from("web", "its rest", &rest(1)).drops(DropReason::Fragment),
            Case::from("web", "the same port", &start(SAME, 2))
                .passes(NEW)
                .becomes(&moved(there, 2, 0, true)),
            Case::from("web", "its rest", &rest(2))
                .passes(PassReason::Fragment)
                .becomes(&moved(rest_there, 2, 48, false)),
        ]);
    }
}

#[test]
fn errors_find_their_way_and_nobody_is_an_answer() {
    let node = node();
    for places in Places::both() {
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, PORT));
        let backend = at(places.pod, BACKEND);
        node.check(
            Case::from("web", "opens", &sctp(client, vip, 4))
                .passes(NEW)
                .becomes(&sctp(client, backend, 4)),
        );
        // As much of a quote as ends before the checksum, which stays as it is.
        let quote = |to| {
            let whole = sctp(client, to, 4).build_ip();
            whole[..whole.len() - 8].to_vec()
        };
        let error = |to| {
            packet::icmp_error(
                places.other_node,
                places.web,
                IcmpError::PacketTooBig(1300),
                &quote(to),
            )
        };
        node.check(
            Case::to("web", "too big", &error(backend))
                .passes(PassReason::Related)
                .becomes(&error(vip)),
        );
        let lonely = at(places.lonely_vip, PORT);
        let packet = sctp(client, lonely, 4);
        let quoted = packet.build_ip();
        let header = if client.is_ipv4() { 28 } else { 48 };
        let answer = packet::icmp_error(
            lonely.ip(),
            client.ip(),
            IcmpError::PortUnreachable,
            &quoted[..header],
        );
        let answer = answer.dont_fragment().ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        node.check(
            Case::from("web", "nobody", &packet).transmits(PassReason::Rejected).becomes(&answer),
        );
    }
}
