//! Builds frames: right in every field unless a method says otherwise.

use std::net::{IpAddr, SocketAddr};

use super::{
    network::{Addresses, Extension, Network},
    numbers::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN},
    transport::{IcmpError, TcpFlags, Transport},
};

/// A TCP segment; an ACK unless flags are set.
pub fn tcp(source: SocketAddr, destination: SocketAddr) -> PacketBuilder {
    let transport = Transport::tcp(source.port(), destination.port());
    PacketBuilder::new(source.ip(), destination.ip(), transport)
}

/// A UDP datagram.
pub fn udp(source: SocketAddr, destination: SocketAddr) -> PacketBuilder {
    let transport = Transport::udp(source.port(), destination.port());
    PacketBuilder::new(source.ip(), destination.ip(), transport)
}

/// An SCTP packet; its chunks are the payload.
pub fn sctp(source: SocketAddr, destination: SocketAddr, verification_tag: u32) -> PacketBuilder {
    let transport = Transport::sctp(source.port(), destination.port(), verification_tag);
    PacketBuilder::new(source.ip(), destination.ip(), transport)
}

/// A ping of the addresses' family.
pub fn echo_request(source: IpAddr, destination: IpAddr, id: u16, sequence: u16) -> PacketBuilder {
    let kind = if source.is_ipv4() { 8 } else { 128 };
    PacketBuilder::new(source, destination, Transport::icmp(kind, 0, echo_words(id, sequence)))
}

/// The answer to a ping.
pub fn echo_reply(source: IpAddr, destination: IpAddr, id: u16, sequence: u16) -> PacketBuilder {
    let kind = if source.is_ipv4() { 0 } else { 129 };
    PacketBuilder::new(source, destination, Transport::icmp(kind, 0, echo_words(id, sequence)))
}

/// An ICMP or ICMPv6 error about `embedded`, an IP packet or the first bytes of one
/// ([`PacketBuilder::build_ip`], [`super::without_ethernet`]).
pub fn icmp_error(
    source: IpAddr,
    destination: IpAddr,
    error: IcmpError,
    embedded: &[u8],
) -> PacketBuilder {
    let (kind, code, rest) = error.wire(source.is_ipv4());
    PacketBuilder::new(source, destination, Transport::icmp(kind, code, rest)).payload(embedded)
}

/// An IP packet of any protocol; everything above IP is the payload.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8) -> PacketBuilder {
    PacketBuilder::new(source, destination, Transport::raw(protocol))
}

/// A frame in the making; each method changes one thing and the rest follows, checksums included.
#[derive(Debug, Clone)]
pub struct PacketBuilder {
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    /// TPID and tag, outermost first.
    tags: Vec<(u16, u16)>,
    ether_type: u16,
    network: Network,
    transport: Transport,
    payload: Vec<u8>,
    truncate: Option<usize>,
    pad_to: usize,
}

impl PacketBuilder {
    fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Self {
        Self {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            tags: Vec::new(),
            ether_type: if source.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 },
            network: Network::new(Addresses::new(source, destination)),
            transport,
            payload: Vec::new(),
            truncate: None,
            pad_to: 0,
        }
    }

    /// Sets the link addresses.
    #[must_use]
    pub fn ethernet(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        (self.source_mac, self.destination_mac) = (source, destination);
        self
    }

    /// Overrides the type field that stands before the IP header.
    #[must_use]
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.ether_type = ether_type;
        self
    }

    /// Adds an 802.1Q tag inside those already there.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.tags.push((ETHERTYPE_VLAN, id));
        self
    }

    /// Adds an 802.1ad service tag and an 802.1Q tag inside it.
    #[must_use]
    pub fn qinq(mut self, outer: u16, inner: u16) -> Self {
        self.tags.push((ETHERTYPE_QINQ, outer));
        self.vlan(inner)
    }

    /// Sets the time to live or hop limit; 64 by default.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.network.ttl = ttl;
        self
    }

    /// Sets the type of service or traffic class.
    #[must_use]
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.network.traffic_class = class;
        self
    }

    /// Sets the identification, of a fragment header as well.
    #[must_use]
    pub fn identification(mut self, id: u32) -> Self {
        self.network.identification = id;
        self
    }

    /// Sets DF, in IPv4.
    #[must_use]
    pub fn dont_fragment(mut self) -> Self {
        self.network.dont_fragment = true;
        self
    }

    /// Adds IPv4 options, padded with zeros to whole words.
    #[must_use]
    pub fn ipv4_options(mut self, options: &[u8]) -> Self {
        self.network.options = options.to_vec();
        self.network.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Appends an IPv6 extension header.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.network.extensions.push(extension);
        self
    }

    /// Says that this is a fragment; in IPv6 by a fragment header after the extensions so far.
    ///
    /// The rest stays as it is: see [`Self::build_fragments`] to cut a packet up.
    #[must_use]
    pub fn fragment(mut self, offset_bytes: u16, more: bool) -> Self {
        assert_eq!(offset_bytes % 8, 0, "fragment offsets count in units of 8 bytes");
        self.network.fragment = Some((offset_bytes, more));
        self
    }

    /// Lies about the length: IPv4's total length or IPv6's payload length.
    #[must_use]
    pub fn ip_length(mut self, length: u16) -> Self {
        self.network.length = Some(length);
        self
    }

    /// Lies about the IPv4 header's length, in words of 32 bits.
    #[must_use]
    pub fn header_words(mut self, words: u8) -> Self {
        self.network.header_words = Some(words);
        self
    }

    /// Lies about the IP version.
    #[must_use]
    pub fn ip_version(mut self, version: u8) -> Self {
        self.network.version = Some(version);
        self
    }

    #[must_use]
    pub fn wrong_ip_checksum(mut self) -> Self {
        self.network.wrong_checksum = true;
        self
    }

    /// Sets the TCP flags.
    #[must_use]
    pub fn flags(mut self, flags: TcpFlags) -> Self {
        self.transport.flags = flags;
        self
    }

    #[must_use]
    pub fn syn(self) -> Self {
        self.flags(TcpFlags::SYN)
    }

    #[must_use]
    pub fn syn_ack(self) -> Self {
        self.flags(TcpFlags::SYN | TcpFlags::ACK)
    }

    #[must_use]
    pub fn fin_ack(self) -> Self {
        self.flags(TcpFlags::FIN | TcpFlags::ACK)
    }

    #[must_use]
    pub fn rst(self) -> Self {
        self.flags(TcpFlags::RST)
    }

    #[must_use]
    pub fn sequence(mut self, sequence: u32) -> Self {
        self.transport.sequence = sequence;
        self
    }

    #[must_use]
    pub fn acknowledgement(mut self, acknowledgement: u32) -> Self {
        self.transport.acknowledgement = acknowledgement;
        self
    }

    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.transport.window = window;
        self
    }

    /// Adds TCP options, padded with zeros to whole words.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        self.transport.options = options.to_vec();
        self.transport.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Lies about the TCP header's length, in words of 32 bits.
    #[must_use]
    pub fn data_offset(mut self, words: u8) -> Self {
        self.transport.data_offset = Some(words);
        self
    }

    /// Lies about the UDP length.
    #[must_use]
    pub fn udp_length(mut self, length: u16) -> Self {
        self.transport.length = Some(length);
        self
    }

    /// Sends no transport checksum: legal for UDP over IPv4 alone.
    #[must_use]
    pub fn zero_checksum(mut self) -> Self {
        self.transport.checksum = Some(0);
        self
    }

    /// Makes the transport checksum wrong by one bit.
    #[must_use]
    pub fn wrong_checksum(mut self) -> Self {
        self.transport.wrong_checksum = true;
        self
    }

    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// Cuts the finished frame off after so many bytes; no length or checksum follows.
    #[must_use]
    pub fn truncate(mut self, length: usize) -> Self {
        self.truncate = Some(length);
        self
    }

    /// Appends zeros to the finished frame up to a length, as switches pad to 60 bytes.
    #[must_use]
    pub fn pad_to(mut self, length: usize) -> Self {
        self.pad_to = length;
        self
    }

    /// The whole frame.
    pub fn build(&self) -> Vec<u8> {
        self.frame(self.build_ip())
    }

    /// The frame from its IP header on.
    pub fn build_ip(&self) -> Vec<u8> {
        self.network.wrap(self.transport.protocol(self.network.addresses), &self.body())
    }

    /// The packet cut into fragments that carry at most `size` bytes above IP each.
    pub fn build_fragments(&self, size: usize) -> Vec<Vec<u8>> {
        assert!(size > 0 && size.is_multiple_of(8), "fragments are multiples of 8 bytes");
        let body = self.body();
        let protocol = self.transport.protocol(self.network.addresses);
        let pieces = body.chunks(size).enumerate();
        pieces
            .map(|(n, piece)| {
                let start = n * size;
                let mut network = self.network.clone();
                network.fragment = Some((start as u16, start + piece.len() < body.len()));
                self.frame(network.wrap(protocol, piece))
            })
            .collect()
    }

    fn body(&self) -> Vec<u8> {
        self.transport.write(self.network.addresses, &self.payload)
    }

    fn frame(&self, packet: Vec<u8>) -> Vec<u8> {
        let mut frame = Vec::with_capacity(packet.len() + 22);
        frame.extend(self.destination_mac);
        frame.extend(self.source_mac);
        for (tpid, tag) in &self.tags {
            frame.extend(tpid.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(self.ether_type.to_be_bytes());
        frame.extend(packet);
        frame.resize(frame.len().max(self.pad_to), 0);
        frame.truncate(self.truncate.unwrap_or(usize::MAX));
        frame
    }
}

fn echo_words(id: u16, sequence: u16) -> [u8; 4] {
    ((u32::from(id) << 16) | u32::from(sequence)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder as Reference, SlicedPacket};

    use super::*;
    use crate::packet::{numbers, verify_checksums};

    fn v4() -> (SocketAddr, SocketAddr) {
        ("10.1.0.11:40000".parse().unwrap(), "10.96.0.1:80".parse().unwrap())
    }

    fn v6() -> (SocketAddr, SocketAddr) {
        ("[fd00:1::b]:40000".parse().unwrap(), "[fd00:96::1]:80".parse().unwrap())
    }

    #[test]
    fn udp_over_ipv4_has_the_bytes_that_etherparse_writes() {
        let (source, destination) = v4();
        let reference = Reference::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 1, 0, 11], [10, 96, 0, 1], 64)
            .udp(40000, 80);
        let mut expected = Vec::new();
        reference.write(&mut expected, b"odd").unwrap();
        // etherparse sets DF by default.
        let built = udp(source, destination).dont_fragment().payload(b"odd").build();
        assert_eq!(built, expected);
    }

    #[test]
    fn tcp_over_ipv6_has_the_bytes_that_etherparse_writes() {
        let (source, destination) = v6();
        let (IpAddr::V6(from), IpAddr::V6(to)) = (source.ip(), destination.ip()) else {
            panic!("not IPv6")
        };
        let reference = Reference::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv6(from.octets(), to.octets(), 64)
            .tcp(40000, 80, 7, 1024)
            .syn()
            .ack(9);
        let mut expected = Vec::new();
        reference.write(&mut expected, b"odd").unwrap();
        let built = tcp(source, destination).syn_ack().sequence(7).acknowledgement(9).window(1024);
        assert_eq!(built.payload(b"odd").build(), expected);
    }

    #[test]
    fn all_that_is_built_right_parses_and_verifies() {
        let embedded = udp(v4().1, v4().0).payload([7; 64]).build_ip();
        let embedded_v6 = tcp(v6().1, v6().0).build_ip();
        let cases = |(source, destination): (SocketAddr, SocketAddr)| {
            let (from, to) = (source.ip(), destination.ip());
            let inner = if from.is_ipv4() { &embedded } else { &embedded_v6 };
            [
                ("tcp", tcp(source, destination).tcp_options(&[2, 4, 5, 0xb4]).syn()),
                ("udp", udp(source, destination).payload([1, 2, 3])),
                ("sctp", sctp(source, destination, 5).payload([1, 0, 0, 4])),
                ("ping", echo_request(from, to, 1, 2).payload(b"ping")),
                ("pong", echo_reply(from, to, 1, 2).payload(b"ping")),
                ("unreachable", icmp_error(from, to, IcmpError::PortUnreachable, inner)),
                ("too big", icmp_error(from, to, IcmpError::PacketTooBig(1400), inner)),
                ("late", icmp_error(from, to, IcmpError::TimeExceeded, inner)),
                ("tags", udp(source, destination).qinq(10, 20)),
                ("padded", udp(source, destination).pad_to(60)),
                ("other protocol", ip(from, to, 47).payload([0; 8])),
            ]
        };
        for (what, packet) in cases(v4()).into_iter().chain(cases(v6())) {
            let frame = packet.build();
            SlicedPacket::from_ethernet(&frame).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(verify_checksums(&frame), Ok(()), "{what}");
        }
    }

    #[test]
    fn extensions_chain_to_the_transport() {
        let (source, destination) = v6();
        let frame = udp(source, destination)
            .extension(Extension::HopByHop(vec![1, 2, 0, 0]))
            .extension(Extension::DestinationOptions(Vec::new()))
            .build();
        assert_eq!(frame[14 + 6], numbers::HOP_BY_HOP);
        assert_eq!(frame[14 + 40], numbers::DESTINATION_OPTIONS);
        assert_eq!(frame[14 + 48], numbers::UDP);
        SlicedPacket::from_ethernet(&frame).unwrap();
        assert_eq!(verify_checksums(&frame), Ok(()));
    }

    #[test]
    fn fragments_add_up_to_the_packet() {
        for (source, destination) in [v4(), v6()] {
            let packet = udp(source, destination).identification(7).payload([9; 100]);
            let fragments = packet.build_fragments(48);
            assert_eq!(fragments.len(), 3);
            let header = if source.is_ipv4() { 34 } else { 62 };
            let whole: Vec<u8> = fragments.iter().flat_map(|f| f[header..].to_vec()).collect();
            assert_eq!(whole, packet.body());
        }
    }
}
