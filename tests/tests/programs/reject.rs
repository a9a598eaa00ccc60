//! What clients of a service without backends are told.

use std::net::SocketAddr;

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, IcmpError, PacketBuilder, TcpFlags},
    programs::{Case, Node, Places, Worlds},
};

/// From a workload and from outside, of either family: how a case begins, and the client.
fn clients() -> impl Iterator<Item = (Places, SocketAddr, fn(&str, &PacketBuilder) -> Case)> {
    Places::both().into_iter().flat_map(|places| {
        let outside: fn(&str, &PacketBuilder) -> Case =
            |what, packet| Case::from_wire(what, packet);
        let inside: fn(&str, &PacketBuilder) -> Case =
            |what, packet| Case::from("web", what, packet);
        [(places, places.outsider, outside), (places, places.web, inside)]
            .map(|(places, client, case)| (places, SocketAddr::new(client, 4000), case))
    })
}

/// An answer as the node writes it, sent back on the link.
fn answer(packet: PacketBuilder) -> PacketBuilder {
    packet.dont_fragment().ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
}

#[test]
fn connections_are_reset() {
    const SEQUENCE: u32 = 0xffff_fff0;
    let node = Node::of(&Worlds::plain());
    for (places, client, case) in clients() {
        let vip = SocketAddr::new(places.lonely_vip, Places::HTTP);
        let sent = || packet::tcp(client, vip).sequence(SEQUENCE).acknowledgement(77);
        let flags = |flags| sent().flags(flags);
        // RFC 9293, 3.5.2: without ACK, all that came is acknowledged; with it, its number is
        // the answer's own.
        let acknowledging = |length: u32| {
            let reset = packet::tcp(vip, client).flags(TcpFlags::RST | TcpFlags::ACK).window(0);
            answer(reset.acknowledgement(SEQUENCE.wrapping_add(length)))
        };
        let numbered = || answer(packet::tcp(vip, client).rst().sequence(77).window(0));
        let long = [b'x'; 1000];
        let rows = [
            ("SYN", flags(TcpFlags::SYN), acknowledging(1)),
            ("SYN and data", flags(TcpFlags::SYN).payload(b"hello"), acknowledging(6)),
            ("SYN and much data", flags(TcpFlags::SYN).payload(long), acknowledging(1001)),
            ("options", flags(TcpFlags::SYN).tcp_options(&[2, 4, 5, 0xb4]), acknowledging(1)),
            ("SYN and FIN", flags(TcpFlags::SYN | TcpFlags::FIN), acknowledging(2)),
            ("FIN and data", flags(TcpFlags::FIN).payload(b"hello"), acknowledging(6)),
            ("no flags", flags(TcpFlags(0)), acknowledging(0)),
            ("ACK", flags(TcpFlags::ACK), numbered()),
            ("ACK and data", flags(TcpFlags::ACK).payload(b"hello"), numbered()),
            ("FIN and ACK", flags(TcpFlags::FIN | TcpFlags::ACK), numbered()),
            ("padded", flags(TcpFlags::SYN).pad_to(64), acknowledging(1)),
            ("any hop limit", flags(TcpFlags::SYN).ttl(1), acknowledging(1)),
            ("a tag", flags(TcpFlags::SYN).vlan(5), acknowledging(1).vlan(5)),
            ("tags", flags(TcpFlags::SYN).qinq(5, 6), acknowledging(1).qinq(5, 6)),
        ];
        for (what, packet, reset) in rows {
            node.check(case(what, &packet).transmits(PassReason::Rejected).becomes(&reset));
        }
        // Answers to answers would never end.
        for packet in [flags(TcpFlags::RST), flags(TcpFlags::RST | TcpFlags::ACK)] {
            node.check(case("RST", &packet).drops(DropReason::Reject));
        }
        let wrong = flags(TcpFlags::SYN).data_offset(15);
        node.check(case("a header beyond the end", &wrong).drops(DropReason::Reject));
        if places.web.is_ipv4() {
            let options = flags(TcpFlags::SYN).ipv4_options(&[1, 1, 1, 1]);
            let reset = acknowledging(1);
            node.check(
                case("IP options", &options).transmits(PassReason::Rejected).becomes(&reset),
            );
        }
    }
}

#[test]
fn datagrams_are_answered_by_port_unreachable() {
    let node = Node::of(&Worlds::plain());
    for (places, client, case) in clients() {
        let vip = SocketAddr::new(places.lonely_vip, Places::DNS);
        let quoted = if client.is_ipv4() { 28 } else { 48 };
        // Shorter than the answer by any number of bytes, as long, and longer.
        for length in (0..50).chain([500, 1400]) {
            let sent = || packet::udp(client, vip).payload(vec![b'x'; length]);
            let packet = sent().build_ip();
            let error = IcmpError::PortUnreachable;
            let icmp =
                || answer(packet::icmp_error(vip.ip(), client.ip(), error, &packet[..quoted]));
            let what = format!("{length} bytes");
            let rows = [
                (sent(), icmp()),
                (sent().vlan(5), icmp().vlan(5)),
                (sent().qinq(5, 6), icmp().qinq(5, 6)),
                (sent().pad_to(60), icmp()),
            ];
            for (packet, error) in rows {
                node.check(case(&what, &packet).transmits(PassReason::Rejected).becomes(&error));
            }
        }
        if client.is_ipv4() {
            // The quote would have to hold them all.
            let options = packet::udp(client, vip).ipv4_options(&[1, 1, 1, 1]);
            node.check(case("IP options", &options).drops(DropReason::Reject));
        }
    }
}
