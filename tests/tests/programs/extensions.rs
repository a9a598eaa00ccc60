//! IPv6 extension headers, and the messages that keep a link working.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, Extension, PacketBuilder},
    programs::{Case, Node, Places, Worlds, admit},
};

const ICMPV6: u8 = 58;

fn with(packet: PacketBuilder, extensions: &[Extension]) -> PacketBuilder {
    extensions.iter().cloned().fold(packet, PacketBuilder::extension)
}

#[test]
fn abuse_07_extension_headers_are_walked_and_counted() {
    let node = Node::of(&Worlds::plain());
    let places = Places::v6();
    let (from, to) = (SocketAddr::new(places.web, 4000), SocketAddr::new(places.vip, Places::HTTP));
    let backend = SocketAddr::new(places.pod, Places::HTTP_BACKEND);
    let options = || Extension::DestinationOptions(vec![1, 12]);
    let chains = [
        vec![options()],
        vec![Extension::HopByHop(vec![5, 2]), options()],
        vec![options(), Extension::Routing(0, 0, Vec::new())],
        // RFC 4302: the length of an authentication header counts words of 32 bits, less two.
        vec![Extension::Raw(51, [vec![0, 4], vec![0; 22]].concat()), options()],
        vec![options(), options(), options(), options()],
    ];
    for (n, chain) in chains.iter().enumerate() {
        node.check(
            Case::from("web", format!("{chain:?}"), &with(packet::tcp(from, to).syn(), chain))
                .passes(if n == 0 { PassReason::NewFlow } else { PassReason::Established })
                .becomes(&with(packet::tcp(from, backend).syn(), chain)),
        );
    }
    let five = vec![options(); 5];
    let long = Extension::Raw(60, vec![0, 40, 0, 0, 0, 0, 0, 0]);
    let wrong = [
        ("five", five, DropReason::ExtensionChain),
        ("longer than the packet", vec![long], DropReason::MalformedIp),
    ];
    for (what, chain, reason) in wrong {
        let packet = with(packet::tcp(from, to).syn(), &chain);
        node.check_all(Case::everywhere(what, &packet).map(|case| case.drops(reason)));
    }
    let cut = with(packet::tcp(from, to).syn(), &[options()]).ip_length(1).truncate(14 + 41);
    node.check(Case::from("web", "a byte of one", &cut).drops(DropReason::TruncatedIp));
}

#[test]
fn abuse_07_policy_sees_the_port_behind_extensions() {
    let node = Node::of(&Worlds::with([admit("web", &["pod"], &["pod"], &[80])]));
    let places = Places::v6();
    for (port, verdict) in [(80, None), (81, Some(DropReason::PolicyIngress))] {
        let (from, to) = (SocketAddr::new(places.pod, 4000), SocketAddr::new(places.web, port));
        let packet = with(packet::tcp(from, to).syn(), &[Extension::HopByHop(vec![80, 0])]);
        let case = Case::from_wire(format!("port {port}"), &packet);
        node.check(match verdict {
            Some(reason) => case.drops(reason),
            None => case.passes(PassReason::NewFlow),
        });
    }
}

/// A message of this type; nothing but its type matters to a hook.
fn message(from: &str, to: &str, kind: u8) -> PacketBuilder {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let body = [&[kind, 0, 0, 0][..], &[0; 20]].concat();
    packet::ip(from, to, ICMPV6).ttl(255).payload(body)
}

#[test]
fn abuse_08_neighbour_discovery_passes_under_deny_all() {
    let node = Node::of(&Worlds::with([admit("web", &[], &[], &[])]));
    // Solicitations, advertisements, redirects, listener reports and done.
    for kind in [133, 135, 136, 137, 130, 131, 132, 143] {
        for (from, to) in
            [("fe80::1", "ff02::1:ff00:b"), ("fd00:1::b", "fe80::1"), ("::", "ff02::16")]
        {
            let [wire_in, wire_out, from_web, to_web] =
                Case::everywhere(format!("type {kind}"), &message(from, to, kind));
            node.check_all(
                [wire_in, from_web, to_web].map(|it| it.passes(PassReason::LocalControl)),
            );
            node.check(wire_out.passes(PassReason::NotOurs));
        }
    }
    // What only looks like it is judged.
    let ping = packet::echo_request(Places::v6().web, Places::v6().pod, 1, 1);
    node.check(Case::from("web", "a ping", &ping).drops(DropReason::PolicyEgress));
}

#[test]
fn abuse_09_a_workload_advertises_no_router() {
    let node = Node::of(&Worlds::plain());
    for (from, to) in [("fe80::b", "ff02::1"), ("fd00:1::b", "fd00:1::c"), ("fe80::1", "fe80::c")] {
        let advertisement = message(from, to, 134);
        let hidden = advertisement.clone().extension(Extension::DestinationOptions(vec![]));
        for packet in [advertisement, hidden] {
            let [wire_in, _, from_web, to_web] = Case::everywhere(to, &packet);
            node.check(from_web.drops(DropReason::RouterAdvertisement));
            node.check_all([wire_in, to_web].map(|it| it.passes(PassReason::LocalControl)));
        }
    }
}
