//! From bytes to a tuple, once per program.
//!
//! Malformed input is an error with its own reason; what is merely not ours is a value.

use abi::reason::DropReason;

use crate::{
    Address, Packet, Tuple,
    address::{V4, V6},
    tuple::{Port, protocol},
};

/// Length of an Ethernet header without tags.
pub const ETHERNET: u32 = 14;
/// IPv6 extension headers walked before a chain counts as hostile.
const MAX_EXTENSIONS: usize = 4;

/// What follows the Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Ipv4(u32),
    Ipv6(u32),
    Other,
}

/// A network header that was checked.
#[derive(Debug, Clone, Copy)]
pub struct Network<A> {
    pub source: A,
    pub destination: A,
    pub protocol: u8,
    /// Offset of the transport header in the frame.
    pub transport: u32,
    /// Length of the IP packet in bytes, header included.
    pub length: u32,
    pub ttl: u8,
    pub fragment: Fragment,
    /// What the fragments of a datagram have in common, as it lies in memory.
    pub identification: u32,
}

/// How much of a network header is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Without IPv6 extension headers: what has any is of [`Kind::Extended`].
    Plain,
    /// With them.
    Full,
    /// With them, and without a look at lengths: an ICMP error quotes no more than the start.
    Quoted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    Whole,
    First,
    Later,
}

/// What kind of transport payload a packet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// TCP, UDP, SCTP with ports, or an echo exchange with its identifier: has a flow.
    Flow,
    /// A protocol without ports, or ICMP that is neither echo nor error: a flow by addresses.
    Portless,
    /// An ICMP error; the quoted packet begins [`QUOTE`] bytes into the transport header.
    IcmpError,
    /// Neighbour discovery and multicast listener reports.
    LocalControl,
    RouterAdvertisement,
    /// A fragment after the first: no transport header.
    LaterFragment,
    /// IPv6 extension headers come first, and were not walked.
    Extended,
}

/// Where an ICMP error quotes the packet it is about.
pub const QUOTE: u32 = 8;

/// A packet's tuple and where its parts are.
#[derive(Debug, Clone, Copy)]
pub struct Parsed<A> {
    pub tuple: Tuple<A>,
    pub kind: Kind,
    pub network: u32,
    pub transport: u32,
    pub length: u32,
    pub ttl: u8,
    /// TCP flags, zero for other protocols.
    pub tcp_flags: u8,
    pub first_fragment: bool,
    /// Of a fragment: see [`Network::identification`].
    pub identification: u32,
}

pub mod tcp {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Reads the Ethernet header and up to two VLAN tags (802.1Q, 802.1ad).
#[inline(always)]
pub fn link<P: Packet>(packet: &P) -> Result<Link, DropReason> {
    let ethertype = |offset| packet.load::<u16>(offset).map(u16::from_be);
    let mut offset = ETHERNET;
    let mut kind = ethertype(12).ok_or(DropReason::TruncatedEthernet)?;
    for _ in 0..2 {
        if !is_vlan(kind) {
            break;
        }
        kind = ethertype(offset + 2).ok_or(DropReason::TruncatedEthernet)?;
        offset += 4;
    }
    match kind {
        0x0800 => Ok(Link::Ipv4(offset)),
        0x86dd => Ok(Link::Ipv6(offset)),
        _ if is_vlan(kind) => Err(DropReason::TooManyVlanTags),
        _ => Ok(Link::Other),
    }
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    ethertype == 0x8100 || ethertype == 0x88a8
}

/// Reads network and transport headers.
#[inline(always)]
pub fn packet<A: Address, P: Packet>(
    packet: &P,
    offset: u32,
    reading: Reading,
) -> Result<Parsed<A>, DropReason> {
    let header = A::parse(packet, offset, reading)?;
    let mut parsed = Parsed {
        network: offset,
        transport: header.transport,
        length: header.length,
        ttl: header.ttl,
        first_fragment: header.fragment == Fragment::First,
        identification: header.identification,
        ..Parsed::of(Tuple {
            source: header.source,
            destination: header.destination,
            source_port: Port::default(),
            destination_port: Port::default(),
            protocol: header.protocol,
        })
    };
    if header.fragment == Fragment::Later {
        parsed.kind = Kind::LaterFragment;
        return Ok(parsed);
    }
    if A::V6 && reading == Reading::Plain && is_extension(header.protocol) {
        parsed.kind = Kind::Extended;
        return Ok(parsed);
    }
    let transport = header.transport;
    let fits = |length: u32| {
        if transport + length <= offset + header.length { Ok(()) } else { Err(TRUNCATED) }
    };
    match header.protocol {
        protocol::TCP => {
            fits(20)?;
            parsed.read_ports(packet)?;
            parsed.tcp_flags = packet.load(transport + 13).ok_or(TRUNCATED)?;
        }
        protocol::UDP => {
            fits(8)?;
            parsed.read_ports(packet)?;
        }
        protocol::SCTP => {
            fits(12)?;
            parsed.read_ports(packet)?;
        }
        protocol::ICMP if !A::V6 => {
            fits(8)?;
            match packet.load::<u8>(transport).ok_or(TRUNCATED)? {
                8 => parsed.read_echo(packet, true)?,
                0 => parsed.read_echo(packet, false)?,
                3 | 11 | 12 => parsed.kind = Kind::IcmpError,
                _ => {}
            }
        }
        protocol::ICMP6 if A::V6 => {
            fits(8)?;
            match packet.load::<u8>(transport).ok_or(TRUNCATED)? {
                128 => parsed.read_echo(packet, true)?,
                129 => parsed.read_echo(packet, false)?,
                1..=4 => parsed.kind = Kind::IcmpError,
                // RFC 4890: multicast listener discovery and neighbour discovery.
                134 => parsed.kind = Kind::RouterAdvertisement,
                130..=137 | 143 => parsed.kind = Kind::LocalControl,
                _ => {}
            }
        }
        _ => {}
    }
    Ok(parsed)
}

const TRUNCATED: DropReason = DropReason::TruncatedTransport;

impl<A> Parsed<A> {
    /// Nothing but addresses and protocol.
    #[inline(always)]
    pub(crate) fn of(tuple: Tuple<A>) -> Self {
        Self {
            tuple,
            kind: Kind::Portless,
            network: 0,
            transport: 0,
            length: 0,
            ttl: 0,
            tcp_flags: 0,
            first_fragment: false,
            identification: 0,
        }
    }

    #[inline(always)]
    fn read_ports<P: Packet>(&mut self, packet: &P) -> Result<(), DropReason> {
        let [source, destination] = packet.load_array(self.transport).ok_or(TRUNCATED)?;
        (self.tuple.source_port, self.tuple.destination_port) = (Port(source), Port(destination));
        self.kind = Kind::Flow;
        Ok(())
    }

    #[inline(always)]
    fn read_echo<P: Packet>(&mut self, packet: &P, request: bool) -> Result<(), DropReason> {
        let identifier = Port(packet.load(self.transport + 4).ok_or(TRUNCATED)?);
        (self.tuple.source_port, self.tuple.destination_port) =
            if request { (identifier, identifier.echo()) } else { (identifier.echo(), identifier) };
        self.kind = Kind::Flow;
        Ok(())
    }
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<A> {
    pub tuple: Tuple<A>,
    /// Offset of its transport header in the frame.
    pub transport: u32,
}

/// Reads the packet that an ICMP error quotes at `offset` (RFC 792, RFC 4443).
#[inline(always)]
pub fn quoted<A: Address, P: Packet>(packet: &P, offset: u32) -> Option<Quoted<A>> {
    let header = A::parse(packet, offset, Reading::Quoted).ok()?;
    if header.fragment == Fragment::Later {
        return None;
    }
    let transport = header.transport;
    let (source_port, destination_port) = match header.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            let [source, destination] = packet.load_array(transport)?;
            (Port(source), Port(destination))
        }
        protocol::ICMP | protocol::ICMP6 if matches!(packet.load::<u8>(transport)?, 8 | 128) => {
            let identifier = Port(packet.load(transport + 4)?);
            (identifier, identifier.echo())
        }
        _ => return None,
    };
    let tuple = Tuple {
        source: header.source,
        destination: header.destination,
        source_port,
        destination_port,
        protocol: header.protocol,
    };
    Some(Quoted { tuple, transport })
}

/// Reads an IPv4 header (RFC 791), options included in its length.
#[inline(always)]
pub fn ipv4<P: Packet>(
    packet: &P,
    offset: u32,
    reading: Reading,
) -> Result<Network<V4>, DropReason> {
    const TRUNCATED: DropReason = DropReason::TruncatedIp;
    let words: [u32; 5] = packet.load_array(offset).ok_or(TRUNCATED)?;
    let [first, second, third, source, destination] = words;
    let [version, _, length @ ..] = first.to_ne_bytes();
    let length = u16::from_be_bytes(length) as u32;
    let [identification @ .., flags, offset_low] = second.to_ne_bytes();
    let identification = u16::from_ne_bytes(identification);
    let fragment = u16::from_be_bytes([flags, offset_low]);
    let [ttl, protocol, ..] = third.to_ne_bytes();
    let (source, destination) = (V4(source), V4(destination));
    let header_length = (version as u32 & 0xf) * 4;
    if version >> 4 != 4 || header_length < 20 || length < header_length {
        return Err(DropReason::MalformedIp);
    }
    if reading != Reading::Quoted && offset + length > packet.len() {
        return Err(DropReason::MalformedIp);
    }
    Ok(Network {
        source,
        destination,
        protocol,
        transport: offset + header_length,
        length,
        ttl,
        fragment: match (fragment & 0x1fff, fragment & 0x2000) {
            (0, 0) => Fragment::Whole,
            (0, _) => Fragment::First,
            _ => Fragment::Later,
        },
        identification: identification as u32,
    })
}

/// Reads an IPv6 header (RFC 8200) and walks its extension headers.
#[inline(always)]
pub fn ipv6<P: Packet>(
    packet: &P,
    offset: u32,
    reading: Reading,
) -> Result<Network<V6>, DropReason> {
    const TRUNCATED: DropReason = DropReason::TruncatedIp;
    let words: [u64; 5] = packet.load_array(offset).ok_or(TRUNCATED)?;
    let [first, a, b, c, d] = words;
    let (source, destination) = (V6([a, b]), V6([c, d]));
    let [version, _, _, _, payload @ .., next, ttl] = first.to_ne_bytes();
    let payload = u16::from_be_bytes(payload);
    let length = 40 + payload as u32;
    if version >> 4 != 6 || (reading != Reading::Quoted && offset + length > packet.len()) {
        return Err(DropReason::MalformedIp);
    }
    let mut header = Network {
        source,
        destination,
        protocol: next,
        transport: offset + 40,
        length,
        ttl,
        fragment: Fragment::Whole,
        identification: 0,
    };
    if reading == Reading::Plain {
        return Ok(header);
    }
    for _ in 0..MAX_EXTENSIONS {
        if header.fragment == Fragment::Later || !is_extension(header.protocol) {
            return Ok(header);
        }
        let next = packet.load(header.transport).ok_or(TRUNCATED)?;
        let extension: u8 = packet.load(header.transport + 1).ok_or(TRUNCATED)?;
        let size = match header.protocol {
            protocol::FRAGMENT => {
                let field = u16::from_be(packet.load(header.transport + 2).ok_or(TRUNCATED)?);
                // After the field before it: a check that implies an earlier one makes the compiler
                // drop that, and the verifier does not follow.
                header.identification = packet.load(header.transport + 4).ok_or(TRUNCATED)?;
                header.fragment = match (field & 0xfff8, field & 1) {
                    (0, 0) => Fragment::Whole,
                    (0, _) => Fragment::First,
                    _ => Fragment::Later,
                };
                8
            }
            // RFC 4302: in units of four bytes, minus two.
            AUTHENTICATION => (extension as u32 + 2) * 4,
            _ => (extension as u32 + 1) * 8,
        };
        header.protocol = next;
        header.transport += size;
        if header.transport > offset + length {
            return Err(DropReason::MalformedIp);
        }
    }
    if is_extension(header.protocol) { Err(DropReason::ExtensionChain) } else { Ok(header) }
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | protocol::FRAGMENT | AUTHENTICATION | DESTINATION)
}
