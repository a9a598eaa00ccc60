//! Fragments: what follows the first goes where the first went, and ports are read nowhere else.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, Extension, IcmpError, PacketBuilder},
    programs::{Case, Node, Places, Worlds, admit},
};
use zonegate::model::World;

const CLIENT: u16 = 4000;
const TCP: u8 = 6;
const UDP: u8 = 17;
const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;
const PASSED: PassReason = PassReason::Fragment;
const DENIED: DropReason = DropReason::Fragment;

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// The start of a datagram.
fn first(packet: PacketBuilder, id: u32) -> PacketBuilder {
    packet.payload([b'a'; 28]).identification(id).fragment(0, true)
}

/// The end of a datagram; read as a transport header, it is the start of a connection.
fn later(from: SocketAddr, to: SocketAddr, protocol: u8, id: u32) -> PacketBuilder {
    let [source, destination] = [from, to].map(|it| it.port().to_be_bytes());
    let header = [&source[..], &destination, &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff]];
    let like_a_header = [&header.concat()[..], &[0; 4]].concat();
    let fragment = packet::ip(from.ip(), to.ip(), protocol).payload(like_a_header);
    fragment.identification(id).fragment(48, false)
}

/// The workload `web` lets `pod` in at TCP port 80.
fn web_at_80() -> World {
    Worlds::with([admit("web", &["pod"], &[], &[80])])
}

#[test]
fn abuse_04_a_later_fragment_shows_no_ports() {
    let node = Node::of(&web_at_80());
    for places in Places::both() {
        let (client, allowed) = (at(places.pod, CLIENT), at(places.web, 80));
        let open = packet::tcp(client, allowed).syn();
        node.check(Case::from_wire("a flow", &open).passes(NEW));
        let stray = later(client, allowed, TCP, 1);
        for case in [Case::from_wire("from the wire", &stray), Case::to("web", "on", &stray)] {
            node.check(case.drops(DENIED));
        }
        // What it looks like does not count against it either.
        let denied = at(places.web, 81);
        let start = first(packet::tcp(client, allowed), 1);
        let rest = later(client, denied, TCP, 1);
        node.check_all([
            Case::from_wire("first", &start).passes(ESTABLISHED),
            Case::from_wire("rest", &rest).passes(PASSED),
            Case::to("web", "first", &start).passes(ESTABLISHED),
            Case::to("web", "rest", &rest).passes(PASSED),
        ]);
    }
}

#[test]
fn abuse_04_fragments_of_a_denied_datagram_are_dropped() {
    let node = Node::of(&web_at_80());
    for places in Places::both() {
        let (client, denied) = (at(places.pod, CLIENT), at(places.web, 81));
        node.check_all([
            Case::from_wire("first", &first(packet::tcp(client, denied).syn(), 2))
                .drops(DropReason::PolicyIngress),
            Case::from_wire("rest", &later(client, at(places.web, 80), TCP, 2)).drops(DENIED),
        ]);
        let allowed = at(places.web, 80);
        let start = first(packet::tcp(client, allowed).syn(), 3);
        node.check(Case::from_wire("allowed", &start).passes(NEW));
        let others = [
            ("another datagram", later(client, allowed, TCP, 4)),
            ("another source", later(at(places.other_node, CLIENT), allowed, TCP, 3)),
            ("the other way", later(at(places.outsider, CLIENT), allowed, TCP, 3)),
        ];
        for (what, packet) in &others {
            node.check(Case::from_wire(*what, packet).drops(DENIED));
        }
    }
}

#[test]
fn abuse_04_a_new_policy_holds_for_the_rest_of_a_datagram() {
    let mut node = Node::of(&Worlds::plain());
    for places in Places::both() {
        node.commit(&web_at_80());
        let (client, web) = (at(places.pod, CLIENT), at(places.web, 80));
        let rest = later(client, web, TCP, 5);
        node.check_all([
            Case::from_wire("first", &first(packet::tcp(client, web).syn(), 5)).passes(NEW),
            Case::from_wire("rest", &rest).passes(PASSED),
        ]);
        node.commit(&Worlds::with([admit("web", &["shop"], &[], &[])]));
        node.check(Case::from_wire("the policy changed", &rest).drops(DENIED));
    }
}

/// A header that is not whole in the first fragment could hide what it is (RFC 1858, RFC 7112).
#[test]
fn abuse_04_a_first_fragment_without_its_transport_header_is_dropped() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (from, to) = (places.outsider, places.web);
        let mut starts = vec![
            ("eight bytes of TCP", packet::ip(from, to, TCP).payload([0; 8])),
            ("nothing of UDP", packet::ip(from, to, UDP)),
        ];
        if from.is_ipv6() {
            let options = Extension::DestinationOptions(vec![]);
            let hidden = packet::ip(from, to, 58).fragment(0, true).extension(options);
            starts.push(("options before nothing", hidden));
        }
        for (what, packet) in starts {
            let case = Case::from_wire(what, &packet.fragment(0, true));
            node.check(case.drops(DropReason::TruncatedTransport));
        }
    }
}

#[test]
fn abuse_04_fragments_go_to_the_backend_of_the_first_and_back() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::DNS));
        let backend = at(places.pod, Places::DNS_BACKEND);
        // The payload of later fragments stays as it is, whatever it looks like.
        let rest = |from: IpAddr, to: IpAddr, id| later(at(from, 53), at(to, 53), UDP, id);
        let datagram = |from, to| packet::udp(from, to).payload([7; 64]).identification(6);
        let there = |to: SocketAddr| datagram(client, to).fragment(0, true);
        let back = |from: SocketAddr| datagram(from, client).fragment(0, true);
        let onward = rest(client.ip(), backend.ip(), 6);
        let answer = rest(backend.ip(), client.ip(), 6);
        node.check_all([
            Case::from("web", "first", &there(vip)).passes(NEW).becomes(&there(backend)),
            Case::from("web", "rest", &rest(client.ip(), vip.ip(), 6))
                .passes(PASSED)
                .becomes(&onward),
            Case::to_wire("rest", &onward).passes(PASSED),
            Case::from_wire("first back", &back(backend)).passes(ESTABLISHED),
            Case::from_wire("rest back", &answer).passes(PASSED),
            Case::to("web", "first back", &back(backend)).passes(ESTABLISHED).becomes(&back(vip)),
            Case::to("web", "rest back", &answer).passes(PASSED).becomes(&rest(
                vip.ip(),
                client.ip(),
                6,
            )),
        ]);
    }
}

#[test]
fn abuse_05_a_fragment_before_its_first_passes_where_every_port_would() {
    let node = Node::of(&Worlds::with([
        admit("web", &["pod"], &[], &[80]),
        admit("shop", &["pod"], &[], &[]),
    ]));
    for places in Places::both() {
        let client = at(places.pod, CLIENT);
        let to = |address| later(client, at(address, 80), TCP, 7);
        let from_outside = later(at(places.outsider, CLIENT), at(places.shop, 80), TCP, 7);
        node.check_all([
            Case::from_wire("one port is open", &to(places.web)).drops(DENIED),
            Case::from_wire("all ports are open", &to(places.shop)).passes(PASSED),
            Case::from_wire("to another peer", &from_outside).drops(DENIED),
            Case::from_wire("no policy", &to(places.batch)).passes(PASSED),
            Case::from_wire("which backend is not known", &to(places.vip)).drops(DENIED),
            Case::from_wire("not ours", &to(places.other_node)).passes(PassReason::NotOurs),
        ]);
        // Sent again after the first, it passes.
        let start = first(packet::tcp(client, at(places.web, 80)).syn(), 7);
        node.check_all([
            Case::from_wire("first", &start).passes(NEW),
            Case::from_wire("again", &to(places.web)).passes(PASSED),
        ]);
    }
}

#[test]
fn abuse_06_fragmented_pings_are_judged_as_one() {
    let node = Node::of(&Worlds::with([admit("web", &[], &["pod"], &[])]));
    for places in Places::both() {
        let icmp = if places.web.is_ipv4() { 1 } else { 58 };
        let rest = |from, to, id| later(at(from, 8), at(to, 8), icmp, id);
        let request = first(packet::echo_request(places.web, places.pod, 9, 1), 8);
        let reply = first(packet::echo_reply(places.pod, places.web, 9, 1), 8);
        let inward = rest(places.pod, places.web, 8);
        let unasked = first(packet::echo_request(places.pod, places.web, 9, 1), 9);
        node.check_all([
            Case::from_wire("nobody asked", &reply).drops(DropReason::PolicyIngress),
            Case::from_wire("rest", &inward).drops(DENIED),
            Case::from("web", "request", &request).passes(NEW),
            Case::from("web", "rest", &rest(places.web, places.pod, 8)).passes(PASSED),
            Case::from_wire("reply", &reply).passes(ESTABLISHED),
            Case::from_wire("rest", &inward).passes(PASSED),
            Case::to("web", "reply", &reply).passes(ESTABLISHED),
            Case::to("web", "rest", &inward).passes(PASSED),
            Case::from_wire("a request", &unasked).drops(DropReason::PolicyIngress),
            Case::from_wire("rest", &rest(places.pod, places.web, 9)).drops(DENIED),
        ]);
    }
}

/// No sender fragments an error (RFC 1812, 4.3.2.3; RFC 4443, 2.4): the rest of one would be
/// judged without its flow.
#[test]
fn abuse_06_an_error_in_fragments_is_dropped() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (client, server) = (at(places.web, CLIENT), at(places.pod, 443));
        let open = packet::tcp(client, server).syn();
        node.check(Case::from("web", "open", &open).passes(NEW));
        let quote = open.build_ip();
        let error = |to| {
            packet::icmp_error(places.other_node, to, IcmpError::PortUnreachable, &quote)
                .fragment(0, true)
        };
        node.check_all([
            Case::from_wire("of a flow", &error(places.web)).drops(DENIED),
            Case::to("web", "of a flow", &error(places.web)).drops(DENIED),
            Case::from_wire("not ours", &error(places.outsider)).passes(PassReason::NotOurs),
        ]);
    }
}
