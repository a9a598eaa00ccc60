//! Answers to packets that cannot be served: TCP RST and ICMP errors.

use abi::reason::DropReason;

use crate::{
    Address, Packet, Tuple, Work, checksum,
    parse::{Parsed, tcp},
    rewrite,
    tuple::protocol,
};

/// What an ICMP error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// Type and code.
    v4: [u8; 2],
    v6: [u8; 2],
    /// The largest IP packet that would fit, in bytes.
    mtu: u16,
}

impl Problem {
    const PORT_UNREACHABLE: Self = Self { v4: [3, 3], v6: [1, 4], mtu: 0 };
    pub const HOP_LIMIT: Self = Self { v4: [11, 0], v6: [3, 0], mtu: 0 };

    #[inline(always)]
    pub const fn too_large(mtu: u16) -> Self {
        Self { v4: [3, 4], v6: [2, 0], mtu }
    }
}

/// Turns the packet to a service that nobody serves into the answer to it, addressed to its sender
/// on the link too.
#[inline(always)]
pub fn answer<A: Address, P: Packet>(packet: &mut P, work: &mut Work<A>) -> Result<(), DropReason> {
    let parsed = &work.parsed;
    let done = if parsed.tuple.protocol == protocol::TCP {
        if parsed.tcp_flags & tcp::RST != 0 {
            return Err(DropReason::Reject);
        }
        reset(packet, parsed)
    } else {
        error(packet, work, Problem::PORT_UNREACHABLE)
    };
    if done.is_some() { rewrite::turn_around(packet) } else { Err(DropReason::Reject) }
}

/// Turns the packet into the ICMP error about it.
#[inline(always)]
pub fn report<A: Address, P: Packet>(
    packet: &mut P,
    work: &mut Work<A>,
    problem: Problem,
) -> Result<(), DropReason> {
    match error(packet, work, problem) {
        Some(()) => rewrite::turn_around(packet),
        None => Err(DropReason::Undeliverable),
    }
}

/// RFC 9293, 3.5.2: the sequence number is the one acknowledged, or else everything received is
/// acknowledged.
#[inline(never)]
fn reset<A: Address, P: Packet>(packet: &mut P, parsed: &Parsed<A>) -> Option<()> {
    let sequence: u32 = packet.load(parsed.transport + 4)?;
    let acknowledgement: u32 = packet.load(parsed.transport + 8)?;
    let offset: u8 = packet.load(parsed.transport + 12)?;
    let payload = parsed
        .length
        .checked_sub(parsed.transport - parsed.network)?
        .checked_sub((offset as u32 >> 4) * 4)?;
    let flag = |flag: u8| (parsed.tcp_flags & flag != 0) as u32;
    let (sequence, acknowledgement, flags) = if flag(tcp::ACK) == 1 {
        (acknowledgement, 0, tcp::RST)
    } else {
        let received = payload + flag(tcp::SYN) + flag(tcp::FIN);
        (0, u32::from_be(sequence).wrapping_add(received).to_be(), tcp::RST | tcp::ACK)
    };
    let start = write_network(packet, parsed, protocol::TCP, 20)?;
    let (from, to) = (parsed.tuple.destination_port.0, parsed.tuple.source_port.0);
    let control = u16::from_ne_bytes([0x50, flags]);
    let sum = pseudo_sum(parsed, protocol::TCP, 20)
        + from as u32
        + to as u32
        + checksum::halves(sequence)
        + checksum::halves(acknowledgement)
        + control as u32;
    let done = packet.store(start, from)
        && packet.store(start + 2, to)
        && packet.store(start + 4, sequence)
        && packet.store(start + 8, acknowledgement)
        && packet.store(start + 12, control)
        && packet.store(start + 14, 0_u16)
        && packet.store(start + 16, checksum::finish(sum))
        && packet.store(start + 18, 0_u16);
    done.then_some(())
}

/// RFC 792, RFC 1191, section 4, and RFC 4443, section 3: quotes the network header and eight bytes.
#[inline(never)]
fn error<A: Address, P: Packet>(
    packet: &mut P,
    work: &mut Work<A>,
    problem: Problem,
) -> Option<()> {
    let parsed = &work.parsed;
    let header = if A::V6 { 40 } else { 20 };
    // What stands between a longer header and the transport is not quoted: the quote has to
    // begin with a header whose length is right.
    if parsed.transport != parsed.network + header {
        return None;
    }
    let mut sum = read_quote(packet, work);
    if sum == NO_QUOTE {
        return None;
    }
    let parsed = &work.parsed;
    let number = if A::V6 { protocol::ICMP6 } else { protocol::ICMP };
    let length = 8 + header + 8;
    let start = write_network(packet, parsed, number, length)?;
    let kind = u16::from_ne_bytes(if A::V6 { problem.v6 } else { problem.v4 });
    let mtu = problem.mtu.to_be();
    sum += kind as u32 + mtu as u32;
    if A::V6 {
        sum += pseudo_sum(parsed, number, length);
    }
    let done = packet.store(start, kind)
        && packet.store(start + 2, checksum::finish(sum))
        && packet.store(start + 4, 0_u16)
        && packet.store(start + 6, mtu)
        && write_quote(packet, work, start + 8);
    done.then_some(())
}

/// The sum of a quote that could not be read: no sum is that large.
const NO_QUOTE: u32 = u32::MAX;

/// Words of a quote: the network header without options, and eight bytes.
#[inline(always)]
const fn quoted_words<A: Address>() -> usize {
    if A::V6 { 12 } else { 7 }
}

/// Fills `work.quote`, and gives its sum.
#[inline(never)]
fn read_quote<A: Address, P: Packet>(packet: &P, work: &mut Work<A>) -> u32 {
    let mut sum = 0;
    for (index, word) in work.quote.iter_mut().enumerate().take(quoted_words::<A>()) {
        let Some(read) = packet.load(work.parsed.network + index as u32 * 4) else {
            return NO_QUOTE;
        };
        *word = read;
        sum += checksum::halves(read);
    }
    sum
}

#[inline(never)]
fn write_quote<A: Address, P: Packet>(packet: &mut P, work: &Work<A>, start: u32) -> bool {
    let mut words = work.quote.iter().enumerate().take(quoted_words::<A>());
    words.all(|(index, word)| packet.store(start + index as u32 * 4, *word))
}

/// Resizes the frame and writes the network header of an answer with `payload` bytes; returns
/// where its transport header begins.
#[inline(always)]
fn write_network<A: Address, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<A>,
    protocol: u8,
    payload: u32,
) -> Option<u32> {
    let network = parsed.network;
    let header = if A::V6 { 40 } else { 20 };
    if !packet.resize(network + header + payload) {
        return None;
    }
    let Tuple { source, destination, .. } = parsed.tuple;
    let lives = u16::from_ne_bytes(if A::V6 { [protocol, 64] } else { [64, protocol] });
    let done = if A::V6 {
        packet.store(network, u32::from_ne_bytes([0x60, 0, 0, 0]))
            && packet.store(network + 4, (payload as u16).to_be())
            && packet.store(network + 6, lives)
    } else {
        // Don't fragment, identification zero (RFC 6864).
        let version = u16::from_ne_bytes([0x45, 0]);
        let length = ((header + payload) as u16).to_be();
        let flags = u32::from_ne_bytes([0, 0, 0x40, 0]);
        let sum = version as u32
            + length as u32
            + checksum::halves(flags)
            + lives as u32
            + source.sum()
            + destination.sum();
        packet.store(network, version)
            && packet.store(network + 2, length)
            && packet.store(network + 4, flags)
            && packet.store(network + 8, lives)
            && packet.store(network + 10, checksum::finish(sum))
    };
    (done && A::store_pair(packet, network, destination, source)).then_some(network + header)
}

/// The sum of the pseudo header (RFC 9293, RFC 8200).
#[inline(always)]
fn pseudo_sum<A: Address>(parsed: &Parsed<A>, protocol: u8, length: u32) -> u32 {
    parsed.tuple.source.sum()
        + parsed.tuple.destination.sum()
        + checksum::bytes(0, protocol)
        + (length as u16).to_be() as u32
}
