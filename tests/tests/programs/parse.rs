//! What is malformed is dropped for a reason of its own; what is merely unusual is understood.

use std::net::SocketAddr;

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, PacketBuilder},
    programs::{Case, Node, Places, Worlds},
};

/// From an outsider to a local workload.
fn to_web(places: &Places) -> PacketBuilder {
    let (from, to) = (SocketAddr::new(places.outsider, 4000), SocketAddr::new(places.web, 80));
    packet::tcp(from, to).syn()
}

/// Length of the network header.
fn header(places: &Places) -> usize {
    if places.web.is_ipv4() { 20 } else { 40 }
}

/// Says that the IP packet is `length` bytes long.
fn says(places: &Places, packet: PacketBuilder, length: usize) -> PacketBuilder {
    packet.ip_length((if places.web.is_ipv4() { length } else { length - 40 }) as u16)
}

fn check_drops(node: &Node, cases: &[(&str, PacketBuilder, DropReason)]) {
    for (what, packet, reason) in cases {
        node.check_all(Case::everywhere(*what, packet).map(|case| case.drops(*reason)));
    }
}

/// Puts tags on a frame.
type Tagged = fn(PacketBuilder) -> PacketBuilder;

#[test]
fn abuse_01_truncated_packets_are_dropped_where_they_end() {
    let node = Node::of(&Worlds::plain());
    for places in &Places::both() {
        let header = header(places);
        let packet = || to_web(places).payload(b"hello");
        let udp = packet::udp(SocketAddr::new(places.outsider, 1), SocketAddr::new(places.web, 2));
        let sctp =
            packet::sctp(SocketAddr::new(places.outsider, 1), SocketAddr::new(places.web, 2), 3);
        let ping = packet::echo_request(places.outsider, places.web, 1, 1);
        // Tagged, because test runs of tc programs refuse less than an IPv4 header as IP.
        check_drops(
            &node,
            &[
                ("half a tag", packet().vlan(5).truncate(16), DropReason::TruncatedEthernet),
                ("half an IP header", packet().vlan(5).truncate(18 + 12), DropReason::TruncatedIp),
                (
                    "a byte less",
                    packet().vlan(5).truncate(18 + header - 1),
                    DropReason::TruncatedIp,
                ),
                ("no transport", packet().truncate(14 + header), DropReason::MalformedIp),
                ("a byte cut", packet().truncate(14 + header + 24), DropReason::MalformedIp),
                ("ports only", says(places, to_web(places), header + 4), TRUNCATED),
                ("most of TCP", says(places, to_web(places), header + 19), TRUNCATED),
                ("most of UDP", says(places, udp, header + 7), TRUNCATED),
                ("most of SCTP", says(places, sctp, header + 11), TRUNCATED),
                ("most of ICMP", says(places, ping, header + 7), TRUNCATED),
            ],
        );
        node.check(Case::from_wire("all of it", &packet()).passes(PassReason::NewFlow));
    }
}

#[test]
fn abuse_02_lies_in_the_ip_header_are_dropped() {
    let node = Node::of(&Worlds::plain());
    for places in &Places::both() {
        let packet = || to_web(places);
        let (whole, header) = (header(places) + 20, header(places));
        let mut cases = vec![
            ("longer than the frame", says(places, packet(), whole + 1), DropReason::MalformedIp),
            (
                "of the other version",
                packet().ip_version(if header == 20 { 6 } else { 4 }),
                DropReason::MalformedIp,
            ),
            ("of no version", packet().ip_version(0), DropReason::MalformedIp),
        ];
        if header == 20 {
            cases.extend([
                ("a header of four words", packet().header_words(4), DropReason::MalformedIp),
                ("a header of no words", packet().header_words(0), DropReason::MalformedIp),
                ("shorter than its header", packet().ip_length(19), DropReason::MalformedIp),
                ("a header longer than all", packet().header_words(15), DropReason::MalformedIp),
            ]);
        }
        check_drops(&node, &cases);
        let padded = packet().pad_to(100);
        node.check(Case::from_wire("padding is none", &padded).passes(PassReason::NewFlow));
    }
}

#[test]
fn abuse_03_ports_are_read_after_options() {
    let node = Node::of(&Worlds::plain());
    let places = Places::v4();
    // As words 5 and 6, this would be the ports 22 and 22 of an option-blind reader.
    let options = [0x94, 4, 0, 0, 0, 22, 0, 22];
    let (from, to) = (SocketAddr::new(places.web, 4000), SocketAddr::new(places.vip, Places::HTTP));
    let backend = SocketAddr::new(places.pod, Places::HTTP_BACKEND);
    let with = |to| packet::tcp(from, to).syn().payload(b"x");
    for length in [4, 8] {
        let (before, after) = (with(to), with(backend));
        node.check(
            Case::from("web", "options", &before.ipv4_options(&options[..length]))
                .passes(if length == 4 { PassReason::NewFlow } else { PassReason::Established })
                .becomes(&after.ipv4_options(&options[..length])),
        );
    }
}

#[test]
fn abuse_13_tags_are_read_up_to_two() {
    let node = Node::of(&Worlds::plain());
    for places in &Places::both() {
        let (from, to) =
            (SocketAddr::new(places.web, 4000), SocketAddr::new(places.vip, Places::HTTP));
        let backend = SocketAddr::new(places.pod, Places::HTTP_BACKEND);
        let tags: [(&str, Tagged); 3] = [
            ("a tag", |packet| packet.vlan(7)),
            ("two tags", |packet| packet.vlan(7).vlan(8)),
            ("a service tag", |packet| packet.qinq(7, 8)),
        ];
        for (what, tagged) in tags {
            let known = what != "a tag";
            node.check(
                Case::from("web", what, &tagged(packet::tcp(from, to).syn()))
                    .passes(if known { PassReason::Established } else { PassReason::NewFlow })
                    .becomes(&tagged(packet::tcp(from, backend).syn())),
            );
        }
        let three = packet::tcp(from, to).syn().qinq(1, 2).vlan(3);
        check_drops(&node, &[("three tags", three, DropReason::TooManyVlanTags)]);
    }
}

#[test]
fn what_is_not_ip_passes() {
    let node = Node::of(&Worlds::plain());
    let places = Places::v4();
    for ether_type in [0x0806, 0x88cc, 0x8847, 0x0600] {
        let packet = to_web(&places).ether_type(ether_type);
        node.check_all(
            Case::everywhere("another protocol", &packet)
                .map(|case| case.passes(PassReason::NotIp)),
        );
    }
    let tagged = to_web(&places).ether_type(0x0806).vlan(9);
    node.check(Case::from_wire("ARP in a VLAN", &tagged).passes(PassReason::NotIp));
}

const TRUNCATED: DropReason = DropReason::TruncatedTransport;
