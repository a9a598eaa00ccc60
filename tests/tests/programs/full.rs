//! Flow tables without room, and floods that try to take it.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet,
    programs::{Case, Node, Places, Worlds, admit},
};

const FULL: DropReason = DropReason::FlowTableFull;
const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

#[test]
fn abuse_24_without_room_new_flows_are_dropped_and_known_ones_go_on() {
    for places in Places::both() {
        let node = Node::of(&Worlds::plain());
        let (client, server) = (at(places.web, 4001), at(places.pod, 443));
        let (there, back) = (packet::udp(client, server), packet::udp(server, client));
        node.check_all([
            Case::from("web", "open", &there).passes(NEW),
            Case::from_wire("answer", &back).passes(ESTABLISHED),
        ]);
        node.claim_flow_tables();
        let other = at(places.pod, 444);
        for case in [
            Case::from("web", "known", &there).passes(ESTABLISHED),
            Case::from_wire("known, back", &back).passes(ESTABLISHED),
            Case::from("web", "new", &packet::udp(client, other)).drops(FULL),
            Case::from_wire("new", &packet::udp(other, client)).drops(FULL),
            Case::from("web", "to a service", &packet::udp(client, at(places.vip, Places::DNS)))
                .drops(FULL),
            Case::from("web", "still known", &there).passes(ESTABLISHED),
        ] {
            node.check_in_kernel(&case);
        }
    }
}

#[test]
fn abuse_05_without_room_for_their_datagram_fragments_are_dropped() {
    for places in Places::both() {
        let node = Node::of(&Worlds::with([admit("web", &["pod"], &[], &[80])]));
        let (client, web) = (at(places.pod, 4000), at(places.web, 80));
        node.check(Case::from_wire("open", &packet::tcp(client, web).syn()).passes(NEW));
        node.claim_flow_tables();
        let start = packet::tcp(client, web).payload([1; 28]).fragment(0, true);
        let rest = packet::ip(client.ip(), web.ip(), 6).payload([1; 24]).fragment(48, false);
        node.check_in_kernel(&Case::from_wire("first", &start).drops(FULL));
        node.check_in_kernel(&Case::from_wire("rest", &rest).drops(DropReason::Fragment));
    }
}

/// Backends answer whoever a SYN says that it comes from: that makes no connection yet.
#[test]
fn abuse_23_a_flood_of_new_flows_leaves_confirmed_ones_and_lets_others_in() {
    for answered in [false, true] {
        let node = Node::of(&Worlds::plain());
        for places in Places::both() {
            let (client, shop) = (at(places.pod, 4000), at(places.shop, 443));
            let flow = |client| {
                [
                    Case::from_wire("open", &packet::tcp(client, shop).syn()).passes(NEW),
                    Case::from("shop", "answer", &packet::tcp(shop, client).syn_ack())
                        .passes(ESTABLISHED),
                    Case::from_wire("go on", &packet::tcp(client, shop)).passes(ESTABLISHED),
                ]
            };
            node.check_all(flow(client));
            // Four times as many as there are entries.
            for port in 0..4096 {
                let stranger = at(places.outsider, 10_000 + port);
                let syn = packet::tcp(stranger, shop).syn();
                node.check(Case::from_wire("flood", &syn).passes(NEW));
                if answered {
                    let answer = packet::tcp(shop, stranger).syn_ack();
                    let case = Case::from("shop", "to nobody", &answer).passes(ESTABLISHED);
                    // On the host all of it comes at one time, and the entries of a pair that share a
                    // bucket may replace each other.
                    node.check_in_kernel(&case);
                }
            }
            node.check_all([
                Case::from_wire("still there", &packet::tcp(client, shop)).passes(ESTABLISHED),
                Case::from("shop", "and back", &packet::tcp(shop, client)).passes(ESTABLISHED),
            ]);
            node.check_all(flow(at(places.pod, 4001)));
        }
    }
}
