//! Changes to a frame: translation, link addresses, hop limit.

use abi::{next_hop::NextHop, reason::DropReason};

use crate::{
    Address, Field, Packet, Tuple, checksum, crc32c, flow::Rewrite, parse::Parsed, tuple::protocol,
};

/// Writes the translated addresses and ports and brings the checksums along (RFC 1624).
#[inline(always)]
pub fn translate<A: Address, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<A>,
    to: &Rewrite<A>,
) -> Result<(), DropReason> {
    if parsed.tuple.protocol == protocol::SCTP {
        let done = translate_addresses(packet, parsed.network, to);
        return if done { translate_sctp(packet, parsed, to) } else { Err(DropReason::Rewrite) };
    }
    let checksum = parsed.transport + checksum_offset(parsed.tuple.protocol)?;
    let udp = parsed.tuple.protocol == protocol::UDP;
    let done = translate_addresses(packet, parsed.network, to)
        && write_ports(packet, parsed.transport, to)
        && packet.update_checksum(checksum, to.address_delta, Field::Addresses, udp)
        && packet.update_checksum(checksum, to.port_delta, Field::Ports, udp);
    if done { Ok(()) } else { Err(DropReason::Rewrite) }
}

/// Whether the packet is the start of an SCTP packet whose checksum has to change: it depends on a
/// length that only the last fragment tells.
#[inline(always)]
pub fn needs_whole<A: Address>(parsed: &Parsed<A>, to: &Rewrite<A>) -> bool {
    let Tuple { source_port, destination_port, protocol, .. } = parsed.tuple;
    parsed.first_fragment
        && protocol == protocol::SCTP
        && (source_port, destination_port) != (to.source_port, to.destination_port)
}

/// Writes the ports and brings the CRC-32C along, which does not cover addresses (RFC 9260, 6.8).
/// Where the device is to compute it, what the field says does not matter.
#[inline(never)]
fn translate_sctp<A: Address, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<A>,
    to: &Rewrite<A>,
) -> Result<(), DropReason> {
    if needs_whole(parsed, to) {
        return Err(DropReason::SctpFragment);
    }
    let length = parsed.length + parsed.network - parsed.transport;
    let before: u32 = packet.load(parsed.transport).ok_or(DropReason::Rewrite)?;
    let crc: u32 = packet.load(parsed.transport + 8).ok_or(DropReason::Rewrite)?;
    if !write_ports(packet, parsed.transport, to) {
        return Err(DropReason::Rewrite);
    }
    let after: u32 = packet.load(parsed.transport).ok_or(DropReason::Rewrite)?;
    let crc = crc32c::update(u32::from_le(crc), u32::from_le(before ^ after), length);
    if packet.store(parsed.transport + 8, crc.to_le()) { Ok(()) } else { Err(DropReason::Rewrite) }
}

/// Where the checksum is in the headers of TCP and UDP.
#[inline(always)]
pub const fn checksum_offset(protocol: u8) -> Result<u32, DropReason> {
    match protocol {
        protocol::TCP => Ok(16),
        protocol::UDP => Ok(6),
        _ => Err(DropReason::Rewrite),
    }
}

/// Writes the translated addresses alone: of a later fragment there is nothing else.
#[inline(always)]
pub fn translate_addresses<A: Address, P: Packet>(
    packet: &mut P,
    network: u32,
    to: &Rewrite<A>,
) -> bool {
    A::store_pair(packet, network, to.source, to.destination)
        && (A::V6 || update_header(packet, network + 10, to.address_delta))
}

#[inline(always)]
fn write_ports<A: Address, P: Packet>(packet: &mut P, transport: u32, to: &Rewrite<A>) -> bool {
    packet.store_array(transport, [to.source_port.0, to.destination_port.0])
}

/// Adds `delta` to what the IPv4 header checksum at `offset` covers.
#[inline(always)]
fn update_header<P: Packet>(packet: &mut P, offset: u32, delta: u16) -> bool {
    let Some(field) = packet.load::<u16>(offset) else { return false };
    packet.store(offset, checksum::update(field, delta))
}

/// Addresses the frame to a next hop and takes one from the hop limit.
#[inline(always)]
pub fn address_frame<A: Address, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<A>,
    hop: &NextHop,
) -> Result<(), DropReason> {
    let [a, b, c, d, e, f, _, _] = hop.destination;
    let [g, h, i, j, k, l, _, _] = hop.source;
    let addresses = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes);
    if packet.store_array(0, addresses) {
        decrement_ttl::<A, P>(packet, parsed.network)
    } else {
        Err(DropReason::Rewrite)
    }
}

/// Takes one from the hop limit.
#[inline(always)]
pub fn decrement_ttl<A: Address, P: Packet>(
    packet: &mut P,
    network: u32,
) -> Result<(), DropReason> {
    if lower_ttl::<A, P>(packet, network) { Ok(()) } else { Err(DropReason::Rewrite) }
}

#[inline(always)]
fn lower_ttl<A: Address, P: Packet>(packet: &mut P, network: u32) -> bool {
    if A::V6 {
        let Some(ttl) = packet.load::<u8>(network + 7) else { return false };
        return packet.store(network + 7, ttl.wrapping_sub(1));
    }
    let Some(ttl) = packet.load::<u8>(network + 8) else { return false };
    let lower = ttl.wrapping_sub(1);
    let delta = checksum::delta(checksum::bytes(ttl, 0), checksum::bytes(lower, 0));
    packet.store(network + 8, lower) && update_header(packet, network + 10, delta)
}

/// Sends the frame back where it came from, on the link.
#[inline(always)]
pub fn turn_around<P: Packet>(packet: &mut P) -> Result<(), DropReason> {
    let Some([a, b, c, d, e, f]) = packet.load_array::<u16, 6>(0) else {
        return Err(DropReason::Rewrite);
    };
    if packet.store_array(0, [d, e, f, a, b, c]) { Ok(()) } else { Err(DropReason::Rewrite) }
}
