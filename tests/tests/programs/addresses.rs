//! Who may use which address where.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, PacketBuilder},
    programs::{Case, Node, Places, Worlds, admit},
};

fn syn(from: IpAddr, to: IpAddr) -> PacketBuilder {
    packet::tcp(SocketAddr::new(from, 4000), SocketAddr::new(to, Places::HTTP)).syn()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_not_ours_passes_untouched() {
    let node = Node::of(&Worlds::with([admit("web", &[], &[], &[])]));
    for places in Places::both() {
        let packets = [
            ("between outsiders", syn(places.outsider, places.other_node)),
            ("to this node", syn(places.outsider, places.node)),
            ("to another node's pod", syn(places.outsider, places.pod)),
            (
                "datagram",
                packet::udp(SocketAddr::new(places.pod, 1), SocketAddr::new(places.node, 2)),
            ),
            ("ping", packet::echo_request(places.outsider, places.node, 7, 1)),
            ("unknown protocol", packet::ip(places.outsider, places.node, 47).payload([9; 30])),
            ("hop limit 1", syn(places.outsider, places.pod).ttl(1)),
        ];
        for (what, packet) in &packets {
            node.check(Case::from_wire(*what, packet).passes(PassReason::NotOurs));
            node.check(Case::to_wire(*what, packet).passes(PassReason::NotOurs));
        }
    }
}

#[test]
fn abuse_14_martians_are_dropped_before_translation() {
    let node = Node::of(&Worlds::plain());
    let martians = |v4: bool| -> Vec<IpAddr> {
        let texts: &[&str] = if v4 {
            &["127.0.0.1", "127.255.255.254", "224.0.0.1", "255.255.255.255", "0.0.0.0"]
        } else {
            &["::1", "::", "ff02::1"]
        };
        texts.iter().map(|text| address(text)).collect()
    };
    for places in Places::both() {
        for source in martians(places.web.is_ipv4()) {
            for destination in [places.web, places.vip, places.lonely_vip] {
                let packet = syn(source, destination);
                let what = format!("{source} to {destination}");
                node.check(Case::from_wire(&*what, &packet).drops(DropReason::Martian));
                node.check(Case::from("web", what, &packet).drops(DropReason::Martian));
            }
        }
        let loopback = address(if places.web.is_ipv4() { "127.0.0.1" } else { "::1" });
        let inside = syn(places.outsider, loopback);
        node.check(Case::from_wire("to loopback", &inside).drops(DropReason::Martian));
        let inside = syn(places.web, loopback);
        node.check(Case::from("web", "to loopback", &inside).drops(DropReason::Martian));
    }
}

#[test]
fn abuse_15_nobody_sends_with_anothers_address() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        for source in [places.shop, places.node, places.pod, places.outsider, places.vip] {
            for destination in [places.batch, places.outsider, places.vip, places.lonely_vip] {
                let packet = syn(source, destination);
                let what = format!("{source} to {destination}");
                node.check(Case::from("web", &*what, &packet).drops(DropReason::ForeignSource));
            }
        }
        for source in [places.web, places.shop, places.node] {
            for destination in [places.batch, places.vip] {
                let packet = syn(source, destination);
                let what = format!("{source} to {destination}");
                node.check(Case::from_wire(what, &packet).drops(DropReason::SpoofedSource));
            }
        }
        node.check(
            Case::from("web", "its own", &syn(places.web, places.batch))
                .passes(PassReason::NewFlow),
        );
    }
}

#[test]
fn abuse_15_a_known_flow_does_not_vouch_for_a_spoofed_source() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let packet = syn(places.web, places.shop);
        node.check(Case::from("web", "its own", &packet).passes(PassReason::NewFlow));
        // The flow is known now; another port and the wire are still no places to send it from.
        let ack = packet::tcp(SocketAddr::new(places.web, 4000), SocketAddr::new(places.shop, 80));
        for packet in [packet, ack] {
            node.check(Case::from("batch", "another's", &packet).drops(DropReason::ForeignSource));
            node.check(Case::from_wire("wire", &packet).drops(DropReason::SpoofedSource));
        }
    }
}

#[test]
fn a_workload_gets_what_is_addressed_to_it_only() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        for destination in [places.shop, places.pod, places.vip] {
            let packet = syn(places.node, destination);
            let case = Case::to("web", format!("{destination}"), &packet);
            node.check(case.drops(DropReason::ForeignDestination));
        }
        let packet = syn(places.node, places.web);
        node.check(Case::to("web", "its own", &packet).passes(PassReason::NewFlow));
    }
}
