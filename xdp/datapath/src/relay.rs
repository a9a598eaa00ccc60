//! Packets that are sent on without the kernel's routing, because one of their addresses became,
//! or was, this node's own: the kernel refuses to forward what seems to come from itself. The same
//! goes for the outer header of what is sent through a tunnel.
//!
//! XDP sends what goes back to its own wire, or to another NIC that takes its frames. The rest it hands
//! over to the NIC's tc hook, which can reach workloads and have neighbours resolved.

use abi::{
    flow::kind,
    next_hop::NextHop,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Hook, Packet, Tables, Verdict, Work, hook::usable_hop, parse::Parsed,
    rewrite, tunnel, tuple::protocol,
};

/// Fills `work.hop` for the packet of `work.flow`: with what the flow names, or the kernel's route.
///
/// Where the neighbour is not known yet, the kernel repeats the length that it is asked about
/// rather than give the MTU: so it is asked about what will leave.
#[inline(never)]
pub fn find_hop<A: Address, P: Packet, T: Tables>(
    packet: &P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) {
    let Work { parsed, flow, .. } = work;
    work.hop = if let Some(hop) = usable_hop(context, flow.looks.next_hop, packet, parsed) {
        *hop
    } else {
        let length = wire_length(packet, parsed) + tunnel::overhead::<A>(flow.target.kind);
        packet.route(&flow.rewrite, parsed.tuple.protocol, length)
    };
}

/// Whether the packet, which grows by `overhead` bytes, cannot go this way, of which its sender
/// should hear.
#[inline(always)]
pub fn is_undeliverable<A, P: Packet>(
    hop: &NextHop,
    packet: &P,
    parsed: &Parsed<A>,
    overhead: u32,
) -> bool {
    parsed.ttl <= 1 || (hop.interface != 0 && wire_length(packet, parsed) + overhead > hop.mtu)
}

/// Whether frames can be sent from this hook to a usable hop.
#[inline(always)]
pub fn is_in_reach<T>(context: &Context<'_, T>, hop: &NextHop) -> bool {
    context.hook != Hook::UplinkIngress || hop.interface == context.interface || hop.takes_frames()
}

/// Whether the NIC's tc hook has to send on what XDP cannot.
#[inline(always)]
pub fn is_for_tc<T>(context: &Context<'_, T>, hop: &NextHop) -> bool {
    context.hook == Hook::UplinkIngress && !(hop.is_usable() && is_in_reach(context, hop))
}

/// Sends a translated packet out.
#[inline(always)]
pub fn send<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
    hop: &NextHop,
    reason: PassReason,
) -> Verdict {
    if hop.interface == 0 {
        return Verdict::Drop(DropReason::NoRoute);
    }
    let addressed = if hop.is_usable() {
        rewrite::address_frame(packet, parsed, hop)
    } else {
        rewrite::decrement_ttl::<A, P>(packet, parsed.network)
    };
    match addressed {
        Err(reason) => Verdict::Drop(reason),
        Ok(()) if !hop.is_usable() => Verdict::Resolve(hop.interface, reason),
        Ok(()) if hop.interface == context.interface => Verdict::Transmit(reason),
        Ok(()) => Verdict::Redirect(hop.interface, reason),
    }
}

/// Whether a flow's packets go this way.
#[inline(always)]
pub const fn is_relayed(kind: u8) -> bool {
    kind & (kind::SNAT | kind::HAIRPIN) == kind::SNAT || tunnel::is_tunnelled(kind)
}

/// The largest IP packet that the frame puts on a wire. It has to be exact: a sender of full
/// segments that is told of less than it keeps to already never gets another one through.
#[inline(always)]
fn wire_length<A, P: Packet>(packet: &P, parsed: &Parsed<A>) -> u32 {
    let Some(segment) = packet.segment() else { return parsed.length };
    let header = match parsed.tuple.protocol {
        protocol::TCP => {
            let words: u8 = packet.load(parsed.transport + 12).unwrap_or(u8::MAX);
            (words >> 4) as u32 * 4
        }
        // RFC 768.
        _ => 8,
    };
    parsed.transport - parsed.network + header + segment
}
