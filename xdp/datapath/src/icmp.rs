//! ICMP errors go the way of the answers to the packet that they quote, and are translated like
//! those: addresses outside, the whole tuple inside (RFC 5508, section 4).
//!
//! A router keeps its own address, so that `traceroute` sees it; an error of the backend itself
//! comes from the service, like all that it says.

use abi::{
    address::Leaf,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Hook, Packet, Tables, Tuple, Verdict, Work, checksum,
    classify::{Ends, check_addresses},
    flow::{Rewrite, table},
    packet::Field,
    parse::{self, QUOTE},
    relay, rewrite, tunnel,
    tuple::protocol,
};

/// An ICMP error passes if it is about a flow that is known (RFC 5927, ABUSE: never by address
/// alone), or is none of our business.
#[inline(always)]
pub fn judge<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let concern = concern(work, context)?;
    if concern == Concern::None {
        return Ok(Verdict::Pass(PassReason::NotOurs));
    }
    match follow(packet, work, context) {
        Err(DropReason::UnrelatedIcmpError) if concern == Concern::Perhaps => {
            Ok(Verdict::Pass(PassReason::NotOurs))
        }
        verdict => verdict,
    }
}

/// Sends a translated error on, to whom `work.flow` leads. Nobody is told what becomes of an error
/// (RFC 1122, 3.2.2).
#[inline(always)]
fn relay<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    relay::find_hop(packet, work, context);
    let kind = work.flow.target.kind;
    let overhead = tunnel::overhead::<A>(kind);
    if relay::is_undeliverable(&work.hop, packet, &work.parsed, overhead) {
        return Err(DropReason::Undeliverable);
    }
    // The node that translates translates errors too.
    if tunnel::is_tunnelled(kind) {
        tunnel::wrap(packet, &work.parsed, &work.flow.rewrite, context)?;
    }
    Ok(relay::send(packet, &work.parsed, context, &work.hop, PassReason::Related))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    None,
    /// For this node: what it masquerades and its node ports are ours, its own connections are not.
    Perhaps,
    /// From a workload or for one, or for a service.
    Ours,
}

/// What leaves by the uplink: whatever had to be judged has been, so an error that is about no
/// flow is somebody else's.
#[inline(always)]
pub fn leave<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    match follow(packet, work, context) {
        Err(DropReason::UnrelatedIcmpError) => Ok(Verdict::Pass(PassReason::NotOurs)),
        verdict => verdict,
    }
}

/// Whether the error is for us to judge. One in fragments is dropped: no sender makes any (RFC 1812,
/// 4.3.2.3; RFC 4443, 2.4), and nothing would lead the rest after the first.
#[inline(never)]
fn concern<A: Address, T: Tables>(
    work: &Work<A>,
    context: &Context<'_, T>,
) -> Result<Concern, DropReason> {
    let Work { parsed, arrival, .. } = work;
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    let is_ours = ends.destination.has(Leaf::FRONTEND) || ends.destination.has(Leaf::THIS_NODE);
    let is_ours = is_ours || ends.is_local() || arrival.is_through_tunnel();
    if !is_ours {
        return Ok(Concern::None);
    }
    if !ends.is_local() && ends.destination.has(Leaf::THIS_NODE) {
        let fragment = parsed.first_fragment;
        return Ok(if fragment { Concern::None } else { Concern::Perhaps });
    }
    check_addresses(&parsed.tuple, ends, context)?;
    if parsed.first_fragment { Err(DropReason::Fragment) } else { Ok(Concern::Ours) }
}

/// Finds the flow of the quoted packet, and translates the error where the flow's packets of the
/// error's direction are.
#[inline(always)]
fn follow<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let transport = read_quote(packet, work).ok_or(DropReason::UnrelatedIcmpError)?;
    if !find(context, work)? {
        return Ok(Verdict::Pass(PassReason::Related));
    }
    let target = work.flow.target;
    let relayed = relay::is_relayed(target.kind) && context.hook.is_inbound();
    // The tc hook can send errors anywhere.
    if relayed && context.hook == Hook::UplinkIngress {
        return Ok(Verdict::Handover(PassReason::Related));
    }
    if context.hook.translates(target) && !tunnel::is_tunnelled(target.kind) {
        translate(packet, work, transport)?;
    }
    if relayed {
        return relay(packet, work, context);
    }
    if !context.hook.turns_around(target) {
        return Ok(Verdict::Pass(PassReason::Related));
    }
    rewrite::turn_around(packet)?;
    Ok(Verdict::Transmit(PassReason::Related))
}

/// Fills `work.judged` with the tuple of the quoted packet, if this is an error for its sender;
/// gives where the quoted transport header is.
#[inline(never)]
fn read_quote<A: Address, P: Packet>(packet: &P, work: &mut Work<A>) -> Option<u32> {
    let quoted = parse::quoted::<A, P>(packet, work.parsed.transport + QUOTE)?;
    work.judged = quoted.tuple;
    let is_there = quoted.transport + 4 <= work.parsed.network + work.parsed.length;
    (is_there && work.parsed.tuple.destination == quoted.tuple.source).then_some(quoted.transport)
}

/// Fills `work.flow` with the flow of the error's own direction. `Ok(false)`: only the quoted
/// packet's direction is known under these addresses, since the error's is translated elsewhere.
#[inline(never)]
fn find<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<bool, DropReason> {
    if let Some(found) = table::locate(context, &work.judged.reversed()) {
        work.flow = found.flow();
        return if found.is_current() { Ok(true) } else { Err(DropReason::FlowRace) };
    }
    match table::locate(context, &work.judged) {
        Some(_) => Ok(false),
        None => Err(DropReason::UnrelatedIcmpError),
    }
}

/// Translates the error and what it quotes by `work.flow`, whose key is the reverse of the quoted
/// tuple. The quoted transport header is at `transport`.
#[inline(never)]
fn translate<A: Address, P: Packet>(
    packet: &mut P,
    work: &mut Work<A>,
    transport: u32,
) -> Result<(), DropReason> {
    let (network, icmp) = (work.parsed.network, work.parsed.transport);
    let mut sum = translate_quoted_transport(packet, work, transport)? as u32;
    // The IPv4 header's checksum takes back what its addresses add; ICMP has no pseudo header.
    let outside = outside(work);
    if A::V6 {
        sum += work.flow.rewrite.address_delta as u32 + outside as u32;
    }
    let done = translate_header(packet, network, &work.entry.rewrite)
        && packet.update_checksum(icmp + 2, checksum::fold(sum), Field::Ports, false);
    quoted_header(work);
    if done && translate_header(packet, icmp + QUOTE, &work.entry.rewrite) {
        Ok(())
    } else {
        Err(DropReason::Rewrite)
    }
}

/// Has `work.entry` say what becomes of the error's own addresses; gives what that adds to their
/// sum.
#[inline(never)]
fn outside<A: Address>(work: &mut Work<A>) -> u16 {
    let Tuple { source, destination, .. } = work.parsed.tuple;
    let to = &mut work.entry.rewrite;
    *to = work.flow.rewrite;
    if source != work.judged.destination {
        to.source = source;
    }
    let sums = |source: A, destination: A| source.sum() + destination.sum();
    to.address_delta = checksum::delta(sums(source, destination), sums(to.source, to.destination));
    to.address_delta
}

/// Has `work.entry` say what becomes of the quoted addresses.
#[inline(never)]
fn quoted_header<A: Address>(work: &mut Work<A>) {
    let Rewrite { source, destination, .. } = work.flow.rewrite;
    work.entry.rewrite = Rewrite { source: destination, destination: source, ..work.flow.rewrite };
}

/// [`rewrite::translate_addresses`], out of line.
#[inline(never)]
fn translate_header<A: Address, P: Packet>(packet: &mut P, network: u32, to: &Rewrite<A>) -> bool {
    rewrite::translate_addresses(packet, network, to)
}

/// Translates the quoted ports, and the quoted checksum if the quote reaches that far; gives what
/// that adds to the sum of the whole.
#[inline(never)]
fn translate_quoted_transport<A: Address, P: Packet>(
    packet: &mut P,
    work: &Work<A>,
    transport: u32,
) -> Result<u16, DropReason> {
    let Work { parsed, judged, flow, .. } = work;
    let Rewrite { source_port, destination_port, address_delta, port_delta, .. } = flow.rewrite;
    let udp = judged.protocol == protocol::UDP;
    let end = parsed.network + parsed.length;
    let at = match judged.protocol {
        // A quoted CRC-32C stays: nobody has all that it is about.
        protocol::SCTP => end,
        protocol => transport + rewrite::checksum_offset(protocol)?,
    };
    if !(packet.store(transport, destination_port.0) && packet.store(transport + 2, source_port.0))
    {
        return Err(DropReason::Rewrite);
    }
    if at + 2 > end {
        return Ok(port_delta);
    }
    let both = checksum::fold(address_delta as u32 + port_delta as u32);
    let before: u16 = packet.load(at).ok_or(DropReason::Rewrite)?;
    if !packet.update_checksum(at, both, Field::Ports, udp) {
        return Err(DropReason::Rewrite);
    }
    let after: u16 = packet.load(at).ok_or(DropReason::Rewrite)?;
    let change = checksum::delta(before as u32, after as u32);
    Ok(checksum::fold(port_delta as u32 + change as u32))
}
