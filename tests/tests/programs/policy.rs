//! Who may talk to whom, in both directions and both families alike.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, PacketBuilder},
    programs::{Case, Node, Places, Worlds, admit},
};

const CLIENT: u16 = 4000;

fn tcp(from: IpAddr, to: IpAddr, port: u16) -> PacketBuilder {
    packet::tcp(SocketAddr::new(from, CLIENT), SocketAddr::new(to, port)).syn()
}

fn udp(from: IpAddr, to: IpAddr, port: u16) -> PacketBuilder {
    packet::udp(SocketAddr::new(from, CLIENT), SocketAddr::new(to, port))
}

#[test]
fn abuse_10_both_families_are_denied_alike() {
    let node = Node::of(&Worlds::with([
        admit("web", &["pod", "batch"], &["pod", "batch"], &[80]),
        admit("batch", &["web"], &["web"], &[]),
    ]));
    let (egress, ingress) = (DropReason::PolicyEgress, DropReason::PolicyIngress);
    for Places { web, shop, batch, pod, outsider, node: host, .. } in Places::both() {
        let new = PassReason::NewFlow;
        node.check_all([
            Case::from("web", "peer, port", &tcp(web, pod, 80)).passes(new),
            Case::from("web", "peer, other port", &tcp(web, pod, 81)).drops(egress),
            Case::from("web", "peer, other protocol", &udp(web, pod, 80)).drops(egress),
            Case::from("web", "other peer", &tcp(web, shop, 80)).drops(egress),
            Case::from("web", "outside", &tcp(web, outsider, 80)).drops(egress),
            Case::from("web", "both allow", &tcp(web, batch, 80)).passes(new),
            Case::from("web", "ping", &packet::echo_request(web, pod, 1, 1)).drops(egress),
            Case::from("web", "its node", &udp(web, host, 53)).passes(new),
            Case::from("batch", "allowed out, not in", &tcp(batch, web, 81)).drops(ingress),
            Case::from("batch", "ping, not in", &packet::echo_request(batch, web, 1, 1))
                .drops(ingress),
            Case::from_wire("peer, port", &tcp(pod, web, 80)).passes(new),
            Case::from_wire("peer, other port", &tcp(pod, web, 79)).drops(ingress),
            Case::from_wire("other peer", &tcp(outsider, web, 80)).drops(ingress),
            Case::from_wire("other protocol", &udp(pod, web, 80)).drops(ingress),
            Case::from_wire("no ports", &packet::ip(pod, web, 47).payload([0; 8])).drops(ingress),
            Case::from_wire("not isolated", &udp(outsider, shop, 9)).passes(new),
        ]);
    }
}

/// Whatever way a packet took, its last hook judges it.
#[test]
fn abuse_10_the_hook_towards_a_workload_judges_too() {
    let node = Node::of(&Worlds::with([admit("web", &["pod"], &["pod"], &[80])]));
    let ingress = DropReason::PolicyIngress;
    for Places { web, shop, pod, outsider, node: host, .. } in Places::both() {
        node.check_all([
            Case::to("web", "other peer", &tcp(shop, web, 80)).drops(ingress),
            Case::to("web", "outside", &tcp(outsider, web, 80)).drops(ingress),
            Case::to("web", "peer, other port", &tcp(pod, web, 443)).drops(ingress),
            Case::to("web", "peer, port", &tcp(pod, web, 80)).passes(PassReason::NewFlow),
            Case::to("web", "its node", &tcp(host, web, 22)).passes(PassReason::NewFlow),
        ]);
    }
}

#[test]
fn replies_of_what_was_allowed_pass() {
    let node = Node::of(&Worlds::with([admit("web", &[], &["pod", "shop"], &[])]));
    for Places { web, shop, pod, node: host, .. } in Places::both() {
        let (client, server) = (SocketAddr::new(web, CLIENT), SocketAddr::new(pod, 443));
        let established = PassReason::Established;
        node.check_all([
            Case::from("web", "open", &packet::tcp(client, server).syn())
                .passes(PassReason::NewFlow),
            Case::from_wire("answer", &packet::tcp(server, client).syn_ack()).passes(established),
            Case::to("web", "answer", &packet::tcp(server, client).syn_ack()).passes(established),
            Case::from("web", "data", &packet::tcp(client, server).payload(b"x"))
                .passes(established),
            Case::from_wire("from another port", &tcp(pod, web, CLIENT))
                .drops(DropReason::PolicyIngress),
        ]);
        // Two workloads of this node: the reply of an isolated client's server.
        let server = SocketAddr::new(shop, 443);
        node.check_all([
            Case::from("web", "open", &packet::tcp(client, server).syn())
                .passes(PassReason::NewFlow),
            Case::to("shop", "open", &packet::tcp(client, server).syn()).passes(established),
            Case::from("shop", "answer", &packet::tcp(server, client).syn_ack())
                .passes(established),
            Case::to("web", "answer", &packet::tcp(server, client).syn_ack()).passes(established),
            Case::from("shop", "a new one", &tcp(shop, web, 80)).drops(DropReason::PolicyIngress),
        ]);
        // A node's own request opens the way for its workload's answer.
        let (client, server) = (SocketAddr::new(host, CLIENT), SocketAddr::new(web, 443));
        node.check_all([
            Case::to("web", "probe", &packet::tcp(client, server).syn())
                .passes(PassReason::NewFlow),
            Case::from("web", "answer", &packet::tcp(server, client).syn_ack()).passes(established),
        ]);
    }
}

#[test]
fn policy_sees_the_backend_behind_a_service() {
    let by_backend = admit("web", &[], &["pod"], &[Places::HTTP_BACKEND]);
    let by_frontend = admit("web", &[], &["pod"], &[Places::HTTP]);
    let mut node = Node::of(&Worlds::with([by_backend]));
    for Places { web, vip, pod, .. } in Places::both() {
        let backend = tcp(web, pod, Places::HTTP_BACKEND);
        let case = Case::from("web", "the backend's port", &tcp(web, vip, Places::HTTP));
        node.check(case.passes(PassReason::NewFlow).becomes(&backend));
    }
    node.commit(&Worlds::with([by_frontend]));
    for Places { web, vip, .. } in Places::both() {
        let packet = packet::tcp(SocketAddr::new(web, 5000), SocketAddr::new(vip, Places::HTTP));
        let case = Case::from("web", "the service's port", &packet.syn());
        node.check(case.drops(DropReason::PolicyEgress));
    }
}
