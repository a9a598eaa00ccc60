//! ICMP: pings are flows, and errors belong to one.

use std::net::SocketAddr;

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, IcmpError},
    programs::{Case, Node, Places, Worlds, admit},
};

const ERRORS: [IcmpError; 5] = [
    IcmpError::HostUnreachable,
    IcmpError::PortUnreachable,
    IcmpError::Prohibited,
    IcmpError::PacketTooBig(1300),
    IcmpError::TimeExceeded,
];

#[test]
fn abuse_11_an_error_passes_with_a_flow_and_no_other() {
    let node = Node::of(&Worlds::with([admit("web", &[], &["pod"], &[])]));
    for places in Places::both() {
        let (client, server) =
            (SocketAddr::new(places.web, 4000), SocketAddr::new(places.pod, 443));
        let router = places.other_node;
        let sent = packet::tcp(client, server).payload([7; 100]).build_ip();
        let errors = |embedded: &[u8]| {
            ERRORS.map(|error| packet::icmp_error(router, places.web, error, embedded))
        };
        for error in errors(&sent) {
            let case = Case::from_wire("no flow yet", &error);
            node.check(case.drops(DropReason::UnrelatedIcmpError));
        }
        let open = Case::from("web", "open", &packet::tcp(client, server).syn());
        node.check(open.passes(PassReason::NewFlow));
        // All of it, a header with eight bytes, and a header with ports only.
        let header = sent.len() - 120;
        for quote in [&sent[..], &sent[..header + 8], &sent[..header + 4]] {
            for error in errors(quote) {
                node.check_all([
                    Case::from_wire("of the flow", &error).passes(PassReason::Related),
                    Case::to("web", "of the flow", &error).passes(PassReason::Related),
                ]);
            }
        }
        let elsewhere = packet::tcp(SocketAddr::new(places.web, 4001), server).build_ip();
        let strangers = packet::tcp(client, SocketAddr::new(places.outsider, 443)).build_ip();
        for (what, quote) in [
            ("of another port", &elsewhere[..]),
            ("of another peer", &strangers),
            ("of nothing", &[]),
            ("of half a header", &sent[..header - 4]),
            ("without ports", &sent[..header + 2]),
        ] {
            for error in errors(quote) {
                let case = Case::from_wire(what, &error);
                node.check(case.drops(DropReason::UnrelatedIcmpError));
            }
        }
    }
}

#[test]
fn abuse_11_errors_come_from_where_their_sender_may_be() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (client, server) =
            (SocketAddr::new(places.web, 4000), SocketAddr::new(places.pod, 443));
        node.check(
            Case::from("web", "open", &packet::udp(client, server)).passes(PassReason::NewFlow),
        );
        let received = packet::udp(server, client).build_ip();
        let from =
            |source| packet::icmp_error(source, places.pod, IcmpError::PortUnreachable, &received);
        node.check_all([
            Case::from("web", "its own", &from(places.web)).passes(PassReason::Related),
            Case::from("web", "another's", &from(places.shop)).drops(DropReason::ForeignSource),
            Case::from_wire("a local address", &from(places.web)).drops(DropReason::SpoofedSource),
            Case::from_wire("between others", &from(places.outsider)).passes(PassReason::NotOurs),
        ]);
    }
}

#[test]
fn abuse_12_an_echo_request_is_no_reply() {
    let node = Node::of(&Worlds::with([admit("web", &[], &["pod"], &[])]));
    for places in Places::both() {
        // 8 is the number that stands for a ping's missing port in many a flow table.
        for id in [8, 100, 0x0800, 0xffff] {
            let what = format!("identifier {id}");
            let request = packet::echo_request(places.web, places.pod, id, 1).payload(b"ping");
            let reply = packet::echo_reply(places.pod, places.web, id, 1).payload(b"ping");
            node.check_all([
                Case::from_wire(&*what, &reply).drops(DropReason::PolicyIngress),
                Case::from("web", &*what, &request).passes(PassReason::NewFlow),
                Case::from_wire(&*what, &reply).passes(PassReason::Established),
                Case::to("web", &*what, &reply).passes(PassReason::Established),
                Case::from("web", &*what, &request).passes(PassReason::Established),
            ]);
            for other in [id.wrapping_sub(1), id, id.wrapping_add(1), !id, 8] {
                let back = packet::echo_request(places.pod, places.web, other, 1);
                let case = Case::from_wire(format!("{what}, request {other} back"), &back);
                node.check(case.drops(DropReason::PolicyIngress));
            }
            for other in [id.wrapping_sub(2), id.wrapping_add(2), !id] {
                let stray = packet::echo_reply(places.pod, places.web, other, 1);
                let case = Case::from_wire(format!("{what}, reply {other}"), &stray);
                node.check(case.drops(DropReason::PolicyIngress));
            }
        }
    }
}
