//! Fragments: what follows the first goes where the first went.
//!
//! Only a first fragment shows ports. Once it was judged, an entry of the flow table under the
//! datagram's addresses and identification says so to the rest (RFC 791, 2.3; RFC 8200, 4.5). Its
//! protocol is [`protocol::FRAGMENT`], so it ages like what has no ports.

use abi::reason::{DropReason, PassReason};

use crate::{
    Address, Context, Packet, Tables, Tuple, Verdict, Work,
    flow::{
        Rewrite,
        entry::Target,
        table::{self, Found},
    },
    parse::Parsed,
    relay, rewrite, tunnel,
    tuple::{Port, protocol},
    word16,
};

/// The key of a datagram's fragments between two addresses.
#[inline(always)]
fn datagram<A: Address>(source: A, destination: A, identification: u32) -> Tuple<A> {
    let [low, high, ..] = word16::unpack(identification as u64);
    Tuple {
        source,
        destination,
        source_port: Port(low),
        destination_port: Port(high),
        protocol: protocol::FRAGMENT,
    }
}

/// The entry of a later fragment's datagram.
#[inline(always)]
pub fn find<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    parsed: &Parsed<A>,
) -> Option<Found<'t, A, T>> {
    let Tuple { source, destination, .. } = parsed.tuple;
    crate::flow::find(context, &datagram(source, destination, parsed.identification))
}

/// Lets the rest of a datagram follow its first fragment, of the flow in `work.flow`: as it comes,
/// and as it is once its addresses are translated.
#[inline(never)]
pub fn track<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<(), DropReason> {
    let Tuple { source, destination, .. } = work.parsed.tuple;
    let identification = work.parsed.identification;
    // A datagram's fragments come soon or never, and anybody may send more of them.
    work.entry = work.flow;
    work.entry.looks.state = 0;
    table::replace(context, work, &datagram(source, destination, identification))?;
    let Rewrite { source, destination, .. } = work.flow.rewrite;
    if !work.flow.target.is_translated() || work.flow.target.is_reply() {
        return Ok(());
    }
    work.entry.target = Target { kind: 0, ..work.flow.target };
    table::replace(context, work, &datagram(source, destination, identification))
}

/// Sends a later fragment after the first, unless [`is_relayed`].
#[inline(always)]
pub fn forward<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
) -> Verdict {
    let target = found.target();
    let rewrite = found.rewrite();
    if !found.is_current() {
        return Verdict::Drop(DropReason::FlowRace);
    }
    if context.hook.translates(target)
        && !rewrite::translate_addresses(packet, parsed.network, &rewrite)
    {
        return Verdict::Drop(DropReason::Rewrite);
    }
    if !context.hook.turns_around(target) {
        return Verdict::Pass(PassReason::Fragment);
    }
    match rewrite::turn_around(packet) {
        Ok(()) => Verdict::Transmit(PassReason::Fragment),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Whether later fragments of a flow are for [`relay`].
#[inline(always)]
pub fn is_relayed<A: Address, T: Tables>(
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
) -> bool {
    context.hook.is_inbound() && relay::is_relayed(found.target().kind)
}

/// [`forward`], of `work.flow`, which the kernel does not route.
#[inline(never)]
pub fn relay<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Verdict {
    relay::find_hop(packet, work, context);
    let Work { parsed, flow, hop, .. } = &*work;
    let overhead = tunnel::overhead::<A>(flow.target.kind);
    // Of a datagram's fragments only the first is answered (RFC 1122, 3.2.2).
    if relay::is_undeliverable(hop, packet, parsed, overhead) {
        return Verdict::Drop(DropReason::Undeliverable);
    }
    if relay::is_for_tc(context, hop) {
        return Verdict::Handover(PassReason::Fragment);
    }
    if tunnel::is_tunnelled(flow.target.kind) {
        if let Err(reason) = tunnel::wrap(packet, parsed, &flow.rewrite, context) {
            return Verdict::Drop(reason);
        }
    } else if !rewrite::translate_addresses(packet, parsed.network, &flow.rewrite) {
        return Verdict::Drop(DropReason::Rewrite);
    }
    relay::send(packet, parsed, context, hop, PassReason::Fragment)
}
