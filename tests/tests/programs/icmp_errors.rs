//! ICMP errors about flows that are translated: each side sees the addresses that it knows.

use std::net::{IpAddr, SocketAddr};

use abi::reason::{DropReason, PassReason};
use testbed::{
    packet::{self, Extension, IcmpError, PacketBuilder, verify_checksums},
    programs::{Case, Node, Places, Worlds},
};

const CLIENT: u16 = 4000;
const TOO_BIG: IcmpError = IcmpError::PacketTooBig(1300);
const RELATED: PassReason = PassReason::Related;

type Transport = fn(SocketAddr, SocketAddr) -> PacketBuilder;

/// A protocol: its packets, plain ones first, the length of its header, and the ports of the
/// service and its backend.
#[derive(Clone, Copy)]
struct Protocol {
    packets: &'static [(&'static str, Transport)],
    header: usize,
    port: u16,
    backend: u16,
}

const TCP: Protocol = Protocol {
    packets: &[
        ("TCP", |from, to| packet::tcp(from, to)),
        ("TCP behind options", |from, to| with_options(packet::tcp(from, to), from)),
    ],
    header: 20,
    port: Places::HTTP,
    backend: Places::HTTP_BACKEND,
};

const UDP: Protocol = Protocol {
    packets: &[
        ("UDP", packet::udp),
        ("UDP behind options", |from, to| with_options(packet::udp(from, to), from)),
        ("UDP without checksum", |from, to| packet::udp(from, to).zero_checksum()),
    ],
    header: 8,
    port: Places::DNS,
    backend: Places::DNS_BACKEND,
};

fn with_options(packet: PacketBuilder, from: SocketAddr) -> PacketBuilder {
    if from.is_ipv4() {
        packet.ipv4_options(&[1; 8])
    } else {
        packet.extension(Extension::DestinationOptions(vec![]))
    }
}

/// The three ends of a translated flow.
#[derive(Clone, Copy)]
struct Flow {
    protocol: Protocol,
    client: SocketAddr,
    service: SocketAddr,
    backend: SocketAddr,
}

impl Flow {
    fn each(client: fn(&Places) -> IpAddr) -> impl Iterator<Item = (Places, Self)> {
        Places::both().into_iter().flat_map(move |places| {
            [TCP, UDP].map(|protocol| {
                let flow = Self {
                    protocol,
                    client: SocketAddr::new(client(&places), CLIENT),
                    service: SocketAddr::new(places.vip, protocol.port),
                    backend: SocketAddr::new(places.pod, protocol.backend),
                };
                (places, flow)
            })
        })
    }

    /// Of outsiders with the services that keep their addresses, whose backends are here.
    fn each_kept() -> impl Iterator<Item = (Places, Self)> {
        Self::each(|places| places.outsider).map(|(places, flow)| {
            let service = SocketAddr::new(places.local_vip, flow.service.port());
            let backend = SocketAddr::new(places.shop, flow.backend.port());
            (places, Self { service, backend, ..flow })
        })
    }

    fn packet(&self, from: SocketAddr, to: SocketAddr) -> PacketBuilder {
        let [(_, packet), ..] = self.protocol.packets else { panic!("no packets") };
        packet(from, to)
    }

    /// The packet that opens the flow.
    fn first(&self) -> PacketBuilder {
        self.packet(self.client, self.service).syn()
    }

    /// Errors as they come and as they go on: `from` whom, `to` whom and about packets `sent` from
    /// where to where, each before and after. One for every packet and every length of quote.
    fn errors(
        &self,
        from: [IpAddr; 2],
        to: [IpAddr; 2],
        sent: [(SocketAddr, SocketAddr); 2],
    ) -> Vec<(String, [PacketBuilder; 2])> {
        // All that there is, the header and eight bytes, and the header and ports.
        let quotes = [usize::MAX, 8, 4];
        let packets = self.protocol.packets.iter();
        let rows = packets.flat_map(|packet| quotes.map(|quote| (packet, quote)));
        rows.map(|((name, packet), quote)| {
            let pair = [0, 1].map(|side| {
                let (source, destination) = sent[side];
                let packet = packet(source, destination);
                let transport = packet.build_ip().len() - self.protocol.header;
                // An odd length: the sum has an odd end.
                let packet = packet.payload([b'x'; 33]).build_ip();
                let end = transport.saturating_add(quote).min(packet.len());
                packet::icmp_error(from[side], to[side], TOO_BIG, &packet[..end])
            });
            (format!("{name} of {}, {quote} bytes quoted", self.client), pair)
        })
        .collect()
    }
}

#[test]
fn abuse_11_a_workload_hears_of_the_service_that_it_talked_to() {
    let node = Node::of(&Worlds::plain());
    for (places, flow) in Flow::each(|places| places.web) {
        let Flow { client, service, backend, .. } = flow;
        let opened = Case::from("web", "open", &flow.first());
        node.send(&opened.passes(PassReason::NewFlow));
        // A router keeps its address; the backend is the service.
        for (from, seen) in [(places.other_node, places.other_node), (places.pod, places.vip)] {
            let sent = [(client, backend), (client, service)];
            for (what, [error, heard]) in flow.errors([from, seen], [places.web; 2], sent) {
                node.check_all([
                    Case::from_wire(&*what, &error).passes(RELATED),
                    Case::to("web", &*what, &error).passes(RELATED).becomes(&heard),
                ]);
            }
        }
    }
}

#[test]
fn abuse_11_a_backend_hears_of_its_own_packets() {
    let node = Node::of(&Worlds::plain());
    for (places, flow) in Flow::each(|places| places.web) {
        let Flow { client, service, backend, .. } = flow;
        let opened = Case::from("web", "open", &flow.first());
        node.send(&opened.passes(PassReason::NewFlow));
        let sent = [(service, client), (backend, client)];
        let to = [places.vip, places.pod];
        for (what, [error, heard]) in flow.errors([places.web; 2], to, sent) {
            node.check_all([
                Case::from("web", &*what, &error).passes(RELATED).becomes(&heard),
                Case::to_wire(&*what, &heard).passes(RELATED),
            ]);
        }
    }
}

#[test]
fn abuse_11_an_outsider_and_its_backend_hear_of_what_they_know() {
    let node = Node::of(&Worlds::plain());
    for (places, flow) in Flow::each_kept() {
        let Flow { client, service, backend, .. } = flow;
        node.send(&Case::from_wire("open", &flow.first()).passes(PassReason::NewFlow));
        for (from, seen) in [(places.node, places.node), (places.shop, places.local_vip)] {
            let sent = [(client, backend), (client, service)];
            for (what, [error, heard]) in flow.errors([from, seen], [places.outsider; 2], sent) {
                let tagged = [&error, &heard].map(|it| it.clone().vlan(5));
                node.check_all([
                    Case::to_wire(&*what, &error).passes(RELATED).becomes(&heard),
                    Case::to_wire(&*what, &tagged[0]).passes(RELATED).becomes(&tagged[1]),
                ]);
            }
        }
        let sent = [(service, client), (backend, client)];
        let to = [places.local_vip, places.shop];
        let router = places.other_node;
        for from in [places.outsider, router] {
            for (what, [error, heard]) in flow.errors([from; 2], to, sent) {
                let tagged = [&error, &heard].map(|it| it.clone().qinq(5, 6).pad_to(200));
                node.check_all([
                    Case::from_wire(&*what, &error).passes(RELATED).becomes(&heard),
                    Case::from_wire(&*what, &tagged[0]).passes(RELATED).becomes(&tagged[1]),
                    Case::to_wire(&*what, &heard).passes(RELATED),
                ]);
            }
        }
    }
}

#[test]
fn abuse_11_a_local_backend_and_its_client_hear_of_what_they_know() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let client = SocketAddr::new(places.web, CLIENT);
        let service = SocketAddr::new(places.local_vip, Places::HTTP);
        let backend = SocketAddr::new(places.shop, Places::HTTP_BACKEND);
        let about = |from, to, (source, destination)| {
            let quoted = packet::tcp(source, destination).payload(b"odd").build_ip();
            packet::icmp_error(from, to, TOO_BIG, &quoted)
        };
        let opened = Case::from("web", "open", &packet::tcp(client, service).syn());
        node.send(&opened.passes(PassReason::NewFlow));
        let of_backend = about(places.shop, places.web, (client, backend));
        let of_client = about(places.web, places.shop, (backend, client));
        node.check_all([
            Case::from("shop", "of the backend", &of_backend).passes(RELATED),
            Case::to("web", "of the backend", &of_backend).passes(RELATED).becomes(&about(
                places.local_vip,
                places.web,
                (client, service),
            )),
            Case::from("web", "of the client", &about(places.web, service.ip(), (service, client)))
                .passes(RELATED)
                .becomes(&of_client),
            Case::to("shop", "of the client", &of_client).passes(RELATED),
        ]);
        // To itself, it is client and backend.
        let client = SocketAddr::new(places.shop, CLIENT);
        let seen = SocketAddr::new(places.local_vip, CLIENT);
        let opened = Case::from("shop", "open", &packet::tcp(client, service).syn());
        node.send(&opened.transmits(PassReason::NewFlow));
        for [received, sent] in
            [[(seen, backend), (client, service)], [(service, client), (backend, seen)]]
        {
            let error = about(places.shop, places.local_vip, received);
            let heard = about(places.local_vip, places.shop, sent)
                .ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
            node.check(Case::from("shop", "to itself", &error).transmits(RELATED).becomes(&heard));
        }
    }
}

#[test]
fn abuse_11_errors_that_are_for_others_or_about_nothing_are_dropped() {
    let node = Node::of(&Worlds::plain());
    for (places, flow) in Flow::each(|places| places.web) {
        let Flow { client, service, backend, .. } = flow;
        let packet = |from, to| flow.packet(from, to);
        let opened = Case::from("web", "open", &flow.first());
        node.send(&opened.passes(PassReason::NewFlow));
        let router = places.other_node;
        let about = |to, sent: PacketBuilder| {
            packet::icmp_error(router, to, TOO_BIG, &sent.payload([0; 40]).build_ip())
        };
        let elsewhere = SocketAddr::new(places.pod, 1);
        let rows = [
            ("for another workload", about(places.shop, packet(client, backend))),
            ("as the client sees it", about(places.vip, packet(client, service))),
            ("of another port", about(places.web, packet(client, elsewhere))),
            ("of a later fragment", about(places.web, packet(client, backend).fragment(8, false))),
        ];
        for (what, error) in rows {
            node.check(Case::from_wire(what, &error).drops(DropReason::UnrelatedIcmpError));
        }
    }
}

#[test]
fn abuse_21_a_wrong_checksum_of_an_error_stays_wrong() {
    let node = Node::of(&Worlds::plain());
    for (places, flow) in Flow::each(|places| places.web) {
        let Flow { client, backend, .. } = flow;
        let packet = |from, to| flow.packet(from, to);
        let opened = Case::from("web", "open", &flow.first());
        node.send(&opened.passes(PassReason::NewFlow));
        let error = |sent: PacketBuilder| {
            packet::icmp_error(places.pod, places.web, TOO_BIG, &sent.build_ip())
        };
        let wrong = [
            error(packet(client, backend)).wrong_checksum(),
            error(packet(client, backend).wrong_checksum()),
        ];
        for error in wrong {
            let out = node.send(&Case::to("web", "wrong", &error).passes(RELATED));
            assert!(verify_checksums(&out).is_err(), "{client}: became right");
        }
    }
}
