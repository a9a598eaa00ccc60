//! What becomes of flows: closed ones, retransmissions, and the world changing under them.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, PacketBuilder, source_port},
    programs::{Case, Node, Places, Worlds, admit, backend, service},
};
use zonegate::model::{AddressSet, Backend, Prefix, Protocol, Resource};

const CLIENT: u16 = 4000;
const ESTABLISHED: PassReason = PassReason::Established;

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// The service that is `http` in the plain world, on these backends.
fn http(backends: Vec<Backend>) -> [Resource; 2] {
    let vips = Places::both().map(|it| it.vip);
    service("http", &vips, Protocol::Tcp, Places::HTTP, backends)
}

/// One backend per family and port.
fn on_pod(ports: &[u16]) -> Vec<Backend> {
    let of = |port: &u16| Places::both().map(|it| backend(it.pod, *port));
    ports.iter().flat_map(of).collect()
}

#[test]
fn abuse_25_a_syn_on_a_closed_flow_is_judged_again() {
    let mut node = Node::of(&Worlds::with(http(on_pod(&[1]))));
    for places in Places::both() {
        node.commit(&Worlds::with(http(on_pod(&[1]))));
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::HTTP));
        let old = at(places.pod, 1);
        let from_web = |what: &str, packet: PacketBuilder, becomes: PacketBuilder| {
            Case::from("web", what, &packet).passes(ESTABLISHED).becomes(&becomes)
        };
        node.check_all([
            from_web("open", packet::tcp(client, vip).syn(), packet::tcp(client, old).syn())
                .passes(PassReason::NewFlow),
            Case::from_wire("answer", &packet::tcp(old, client).syn_ack()).passes(ESTABLISHED),
            from_web("data", packet::tcp(client, vip), packet::tcp(client, old)),
            from_web("end", packet::tcp(client, vip).fin_ack(), packet::tcp(client, old).fin_ack()),
            from_web("the last ACK", packet::tcp(client, vip), packet::tcp(client, old)),
            from_web("again", packet::tcp(client, vip).syn(), packet::tcp(client, old).syn())
                .passes(PassReason::NewFlow),
            from_web("reset", packet::tcp(client, vip).rst(), packet::tcp(client, old).rst()),
        ]);
        // A policy that came meanwhile counts for the next connection on the same ports.
        let world = http(on_pod(&[1])).into_iter().chain([admit("web", &[], &["shop"], &[])]);
        node.commit(&Worlds::with(world));
        let again = Case::from("web", "denied by now", &packet::tcp(client, vip).syn());
        node.check(again.drops(DropReason::PolicyEgress));
    }
}

#[test]
fn abuse_25_a_syn_against_the_direction_of_a_flow_is_a_new_one() {
    let node = Node::of(&Worlds::with([admit("web", &[], &["pod"], &[])]));
    for places in Places::both() {
        let (client, server) = (at(places.web, CLIENT), at(places.pod, 443));
        node.check_all([
            Case::from("web", "open", &packet::tcp(client, server).syn())
                .passes(PassReason::NewFlow),
            Case::from_wire("a SYN back", &packet::tcp(server, client).syn())
                .drops(DropReason::PolicyIngress),
        ]);
    }
}

#[test]
fn abuse_26_a_retransmitted_syn_keeps_its_backend() {
    let ports: Vec<u16> = (1000..1020).collect();
    let mut node = Node::of(&Worlds::with(http(on_pod(&ports))));
    for places in Places::both() {
        node.commit(&Worlds::with(http(on_pod(&ports))));
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::HTTP));
        let syn = packet::tcp(client, vip).syn();
        let first = node.send(&Case::from("web", "SYN", &syn).passes(PassReason::NewFlow));
        // Nineteen more join before the answer comes, and choices change.
        let more: Vec<u16> = (1000..1040).collect();
        node.commit(&Worlds::with(http(on_pod(&more))));
        for _ in 0..3 {
            let again = node.send(&Case::from("web", "again", &syn).passes(ESTABLISHED));
            packet::assert_packet_eq(&first, &again);
        }
    }
}

#[test]
fn a_new_policy_cuts_live_flows_of_both_directions() {
    for udp in [false, true] {
        let mut node = Node::of(&Worlds::plain());
        for places in Places::both() {
            node.commit(&Worlds::plain());
            let packet = |from, to| if udp { packet::udp(from, to) } else { packet::tcp(from, to) };
            let first = |packet: PacketBuilder| if udp { packet } else { packet.syn() };
            let (client, server) = (at(places.web, CLIENT), at(places.shop, 443));
            let (there, back) = (packet(client, server), packet(server, client));
            node.check_all([
                Case::from("web", "open", &first(there.clone())).passes(PassReason::NewFlow),
                Case::from("shop", "answer", &back).passes(ESTABLISHED),
                Case::to("web", "answer", &back).passes(ESTABLISHED),
            ]);
            // Another workload's policy leaves it alone.
            node.commit(&Worlds::with([admit("batch", &[], &[], &[])]));
            node.check(Case::from("web", "on", &there).passes(ESTABLISHED));
            node.commit(&Worlds::with([admit("shop", &["batch"], &["batch"], &[])]));
            node.check_all([
                Case::from("shop", "back", &back).drops(DropReason::PolicyIngress),
                Case::from("web", "there", &there).drops(DropReason::PolicyIngress),
                Case::from("shop", "back again", &back).drops(DropReason::PolicyEgress),
            ]);
            node.commit(&Worlds::plain());
            node.check(Case::from("web", "allowed again", &there).passes(PassReason::NewFlow));
        }
    }
}

/// A client may come to a backend from the same port by two addresses, one after the other.
#[test]
fn abuse_30_flows_by_two_addresses_to_one_backend_are_told_apart() {
    let others = Places::both().map(|it| it.lonely_vip);
    let other = service("lonely-http", &others, Protocol::Tcp, Places::HTTP, on_pod(&[1]));
    let node = Node::of(&Worlds::with(http(on_pod(&[1])).into_iter().chain(other)));
    for places in Places::both() {
        let (client, backend) = (at(places.web, CLIENT), at(places.pod, 1));
        let [first, second] = [places.vip, places.lonely_vip].map(|it| at(it, Places::HTTP));
        let syn = |vip| Case::from("web", "SYN", &packet::tcp(client, vip).syn());
        let onward = packet::tcp(client, backend).syn();
        let end = packet::tcp(backend, client).fin_ack();
        node.check_all([
            syn(first).passes(PassReason::NewFlow).becomes(&onward),
            // A connection that is closed gives its port up.
            Case::from_wire("closed", &end).passes(ESTABLISHED),
            syn(second).passes(PassReason::NewFlow).becomes(&onward),
        ]);
        let out = node.send(&syn(first).passes(PassReason::NewFlow));
        let elsewhere = at(places.web, source_port(&out));
        assert!(elsewhere.port() >= 61_000, "{elsewhere}");
        for (to, seen) in [(client, second), (elsewhere, first)] {
            let answer = packet::tcp(backend, to).syn_ack();
            node.check_all([
                Case::from_wire("answer", &answer).passes(ESTABLISHED),
                Case::to("web", "answer", &answer)
                    .passes(ESTABLISHED)
                    .becomes(&packet::tcp(seen, client).syn_ack()),
            ]);
        }
    }
}

/// What was translated where it came in is known at the backend's port, also when only one
/// direction, or none, was looked at since the tables changed.
#[test]
fn a_flow_through_a_service_goes_on_when_policy_changes_until_it_is_denied() {
    let mut node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let (vip, backend) =
            (at(places.local_vip, Places::HTTP), at(places.shop, Places::HTTP_BACKEND));
        for workload in [true, false] {
            node.commit(&Worlds::plain());
            let client = at(if workload { places.web } else { places.outsider }, CLIENT);
            let entered = |packet: &PacketBuilder| match workload {
                true => Case::from("web", "from a workload", packet),
                false => Case::from_wire("from the wire", packet),
            };
            let (data, there) = (packet::tcp(client, vip), packet::tcp(client, backend));
            let (syn, onward) = (data.clone().syn(), there.clone().syn());
            node.check_all([
                entered(&syn).passes(PassReason::NewFlow).becomes(&onward),
                Case::to("shop", "SYN", &onward).passes(ESTABLISHED),
            ]);
            let set = AddressSet {
                name: "client".to_owned(),
                prefixes: vec![Prefix::host(client.ip())],
                except: Vec::new(),
            };
            let client_at = |port| {
                let policy = admit("shop", &["client"], &[], &[port]);
                Worlds::with([Resource::AddressSet(set.clone()), policy])
            };
            node.commit(&client_at(Places::HTTP_BACKEND));
            node.check_all([
                entered(&data).passes(ESTABLISHED).becomes(&there),
                Case::to("shop", "data", &there).passes(ESTABLISHED),
            ]);
            // The tables change between the two hooks.
            node.commit(&Worlds::plain());
            node.check(Case::to("shop", "on its way", &there).passes(ESTABLISHED));
            node.commit(&client_at(1));
            node.check_all([
                Case::to("shop", "denied", &there).drops(DropReason::PolicyIngress),
                entered(&data).drops(DropReason::PolicyIngress),
            ]);
        }
    }
}

#[test]
fn abuse_28_the_flows_of_a_removed_backend_are_cut() {
    let mut node = Node::of(&Worlds::with(http(on_pod(&[1]))));
    for places in Places::both() {
        node.commit(&Worlds::with(http(on_pod(&[1]))));
        let (client, vip) = (at(places.web, CLIENT), at(places.vip, Places::HTTP));
        let (old, new) = (at(places.pod, 1), at(places.pod, 2));
        let data = packet::tcp(client, vip).payload(b"data").sequence(7).acknowledgement(9);
        let to =
            |backend| packet::tcp(client, backend).payload(b"data").sequence(7).acknowledgement(9);
        let open = Case::from("web", "open", &packet::tcp(client, vip).syn());
        node.check(open.passes(PassReason::NewFlow).becomes(&packet::tcp(client, old).syn()));
        node.commit(&Worlds::with(http(on_pod(&[1, 2]))));
        node.check(Case::from("web", "kept", &data).passes(ESTABLISHED).becomes(&to(old)));
        // The connection ends; the next one goes to the new backend, or nowhere.
        let reset = packet::tcp(vip, client).rst().sequence(9).window(0).dont_fragment();
        let reset = reset.ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        let cut =
            |what| Case::from("web", what, &data).transmits(PassReason::Rejected).becomes(&reset);
        node.commit(&Worlds::with(http(on_pod(&[2]))));
        let again = Case::from("web", "again", &packet::tcp(client, vip).syn());
        node.check_all([
            cut("moved"),
            again.passes(PassReason::NewFlow).becomes(&packet::tcp(client, new).syn()),
        ]);
        node.commit(&Worlds::with(http(vec![])));
        node.check(cut("nobody"));
    }
}
