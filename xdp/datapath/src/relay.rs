//! Packets that are sent on without the kernel's routing, because one of their addresses became,
//! or was, this node's own: the kernel refuses to forward what seems to come from itself. The same
//! goes for the outer header of what is sent through a tunnel.
//!
//! XDP sends what goes back to its own wire. The rest it hands over to the NIC's tc hook, which can
//! reach workloads and have neighbours resolved.

use abi::{
    flow::kind,
    next_hop::NextHop,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Hook, Packet, Tables, Verdict, Work, flow::Rewrite, hook::usable_hop,
    parse::Parsed, rewrite, tunnel,
};

/// The next hop of a packet that becomes `to`: what the flow names by `id`, or the kernel's route.
#[inline(always)]
pub fn hop<A: Address, P: Packet, T: Tables>(
    context: &Context<'_, T>,
    id: u32,
    packet: &P,
    parsed: &Parsed<A>,
    to: &Rewrite<A>,
) -> NextHop {
    if let Some(hop) = usable_hop(context, id, packet, parsed) {
        *hop
    } else {
        packet.route(to, parsed.tuple.protocol, wire_length(packet, parsed))
    }
}

/// Fills `work.hop` for the packet of `work.flow`.
#[inline(never)]
pub fn find_hop<A: Address, P: Packet, T: Tables>(
    packet: &P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) {
    let Work { parsed, flow, .. } = work;
    work.hop = hop(context, flow.looks.next_hop, packet, parsed, &flow.rewrite);
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

/// Whether the NIC's tc hook has to send on what XDP cannot.
#[inline(always)]
pub fn is_for_tc<T>(context: &Context<'_, T>, hop: &NextHop) -> bool {
    context.hook == Hook::UplinkIngress && !(hop.is_usable() && hop.interface == context.interface)
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

#[inline(always)]
fn wire_length<A, P: Packet>(packet: &P, parsed: &Parsed<A>) -> u32 {
    packet.wire_length(parsed.length, parsed.transport - parsed.network)
}
