//! The slow path: packets of flows that have to be looked at again, whatever is not plain, and first
//! packets that take more than [`crate::first`] does.

use abi::{
    address::Leaf,
    flow::seen,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Packet, Tables, Tuple,
    classify::{Ends, check_addresses},
    flow::{
        Flow, Looks, Rewrite,
        entry::Target,
        table::{self, Found},
    },
    fragment, handshake,
    hook::{Hook, Verdict, forward, is_judged, needs_a_look, note_end},
    icmp, masquerade, neighbour,
    parse::{Kind, Parsed, tcp},
    plan::{self, Plan, direct, plan, shape},
    policy::{self, Shape},
    reject::{self, Problem},
    relay, rewrite, service, tunnel,
    tuple::protocol,
    work::{Stage, Work},
};

/// Handles a packet that the fast path left alone.
#[inline(always)]
pub fn decide<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    packet: &mut P,
    work: &mut Work<A>,
    tables: &T,
) -> Verdict {
    let context = match Context::new(hook, interface, tables) {
        Ok(context) => context,
        Err(no_side) => return no_side.verdict(),
    };
    // Whatever leaves by the uplink was looked at where it came in.
    if hook == Hook::UplinkEgress {
        if work.parsed.kind == Kind::IcmpError {
            return icmp::leave(packet, work, &context).unwrap_or_else(Verdict::Drop);
        }
        note_answer(work, &context);
        return send_on(packet, work, &context, PassReason::Established)
            .unwrap_or(Verdict::Pass(PassReason::NotOurs));
    }
    if hook == Hook::UplinkIngress && tunnel::is_wrapper(&work.parsed) {
        match tunnel::unwrap(packet, work, &context) {
            Ok(false) => {}
            Ok(true) => return Verdict::Miss,
            Err(reason) => return Verdict::Drop(reason),
        }
    }
    let result = match work.parsed.kind {
        _ if is_out_of_place(work) => Err(DropReason::Tunnelled),
        Kind::RouterAdvertisement if hook == Hook::WorkloadIngress => {
            Err(DropReason::RouterAdvertisement)
        }
        Kind::LocalControl | Kind::RouterAdvertisement => {
            Ok(Verdict::Pass(PassReason::LocalControl))
        }
        _ if work.parsed.tuple.destination.is_local_scope() => {
            Ok(Verdict::Pass(PassReason::LocalControl))
        }
        Kind::IcmpError => icmp::judge(packet, work, &context),
        Kind::LaterFragment => later_fragment(packet, work, &context),
        Kind::Flow | Kind::Portless | Kind::Extended => flow(packet, work, &context),
    };
    result.unwrap_or_else(Verdict::Drop)
}

/// Whether the packet came through a tunnel, and is nothing that we send through any.
#[inline(always)]
fn is_out_of_place<A: Address>(work: &Work<A>) -> bool {
    let sent = matches!(
        work.parsed.kind,
        Kind::Flow | Kind::Extended | Kind::LaterFragment | Kind::IcmpError
    );
    work.arrival.is_through_tunnel() && (!sent || work.parsed.tuple.destination.is_local_scope())
}

/// A packet with a flow, known or new.
#[inline(always)]
fn flow<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    if context.hook == Hook::WorkloadEgress && was_translated_earlier(context, work)? {
        return Ok(Verdict::Pass(PassReason::Established));
    }
    let known = work.stage == Stage::LOOK && look_again(packet, context, work)?;
    if !known && work.stage != Stage::PLANNED {
        if work.stage == Stage::LOOK {
            work.ends = Ends::of(&work.parsed.tuple, context).ok_or(DropReason::MissingMap)?;
        }
        match plan_apart(work, context)? {
            Plan::Open => {}
            Plan::Pass(reason) => return Ok(Verdict::Pass(reason)),
            Plan::Reject => {
                reject::answer(packet, work)?;
                return Ok(Verdict::Transmit(PassReason::Rejected));
            }
        }
    }
    let reason = if known {
        PassReason::Established
    } else {
        open(context, work)?;
        PassReason::NewFlow
    };
    if work.parsed.first_fragment {
        if rewrite::needs_whole(&work.parsed, &work.flow.rewrite) {
            return Err(DropReason::SctpFragment);
        }
        fragment::track(context, work)?;
    }
    if relay::is_relayed(work.flow.target.kind) {
        return relay(packet, work, context, reason);
    }
    send_on(packet, work, context, reason).ok_or(DropReason::FlowRace)
}

/// Takes the flow further if this is an answer that was awaited: what the node's own processes
/// answer comes by no other hook.
#[inline(never)]
fn note_answer<A: Address, T: Tables>(work: &mut Work<A>, context: &Context<'_, T>) {
    let Some(found) = table::locate(context, &work.parsed.tuple) else { return };
    work.flow = found.flow();
    let Flow { looks, target, .. } = work.flow;
    if !found.is_current() || !target.is_reply() || !handshake::is_awaited(looks) {
        return;
    }
    take_further(context, work, &found);
    table::refresh_partner(context, work);
    found.set_looks(looks, work.flow.looks);
}

/// Has `work.flow` be as it is once its packet was looked at; the entry is still as it was.
#[inline(always)]
fn take_further<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
    found: &Found<'_, A, T>,
) {
    let Flow { looks, target, .. } = work.flow;
    if target.is_reply() && handshake::is_awaited(looks) {
        handshake::end(context, found, &work.parsed);
    }
    work.flow.looks.seen = context.tables.now();
    work.flow.looks.state = handshake::advance(&work.parsed, target, looks.state);
}

#[inline(never)]
fn plan_apart<A: Address, T: Tables>(
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Plan, DropReason> {
    plan::<A, T, false>(work, context)
}

/// Inserts the pair of `work.flow`. What is translated takes another source port where the answers
/// would be those of another flow: its client's own, or one of this node's.
#[inline(never)]
fn open<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<(), DropReason> {
    let Target { kind, .. } = work.flow.target;
    if relay::is_relayed(kind) {
        masquerade::take_port(context, work)?;
    }
    match table::open(context, work) {
        Ok(()) => {}
        Err(DropReason::FlowConflict) if work.flow.target.is_translated() => {
            masquerade::take_port(context, work)?;
            table::open(context, work)?;
        }
        Err(reason) => return Err(reason),
    }
    plan::note(context, work);
    Ok(())
}

/// Sends on a packet that the kernel does not route, of the flow in `work.flow`.
#[inline(never)]
fn relay<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
    reason: PassReason,
) -> Result<Verdict, DropReason> {
    if !context.hook.is_inbound() {
        return Ok(Verdict::Pass(reason));
    }
    relay::find_hop(packet, work, context);
    let kind = work.flow.target.kind;
    let overhead = tunnel::overhead::<A>(kind);
    if relay::is_undeliverable(&work.hop, packet, &work.parsed, overhead) {
        return report(packet, work, overhead);
    }
    if relay::is_for_tc(context, &work.hop) {
        return Ok(Verdict::Handover(reason));
    }
    if tunnel::is_tunnelled(kind) {
        tunnel::wrap(packet, &work.parsed, &work.flow.rewrite, context)?;
    } else {
        translate(packet, work)?;
    }
    note(context, work)?;
    Ok(relay::send(packet, &work.parsed, context, &work.hop, reason))
}

#[inline(never)]
fn translate<A: Address, P: Packet>(packet: &mut P, work: &Work<A>) -> Result<(), DropReason> {
    rewrite::translate(packet, &work.parsed, &work.flow.rewrite)
}

/// Records the packet in its flow's entry.
#[inline(never)]
fn note<A: Address, T: Tables>(context: &Context<'_, T>, work: &Work<A>) -> Result<(), DropReason> {
    let found = table::locate(context, &work.parsed.tuple).ok_or(DropReason::FlowRace)?;
    note_end(&found, found.looks(), &work.parsed);
    table::account(&found, work.parsed.length);
    Ok(())
}

/// Tells the sender why its packet, which the kernel does not route, goes no further.
#[inline(always)]
fn report<A: Address, P: Packet>(
    packet: &mut P,
    work: &mut Work<A>,
    overhead: u32,
) -> Result<Verdict, DropReason> {
    let Work { parsed, hop, .. } = work;
    let problem = if parsed.ttl <= 1 {
        Problem::HOP_LIMIT
    } else {
        // RFC 791, 3.1: what may be fragmented is not reported.
        let may_fragment = !A::V6 && packet.load(parsed.network + 6).is_none_or(may_fragment);
        if may_fragment {
            return Err(DropReason::Undeliverable);
        }
        Problem::too_large(hop.mtu.saturating_sub(overhead) as u16)
    };
    reject::report(packet, work, problem)?;
    Ok(Verdict::Transmit(PassReason::Answered))
}

/// Whether "don't fragment" is clear in the second word of an IPv4 header, as it lies in memory.
#[inline(always)]
fn may_fragment(field: u16) -> bool {
    u16::from_be(field) & 0x4000 == 0
}

/// Like [`hook::is_translated_earlier`], of packets with extension headers as well, and of flows
/// that were judged under other tables: the hook that translates looks at its own direction only.
/// A flow that lost its permission is retired.
///
/// [`hook::is_translated_earlier`]: crate::hook::is_translated_earlier
#[inline(never)]
fn was_translated_earlier<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<bool, DropReason> {
    let tuple = work.parsed.tuple;
    let Some(found) = table::locate(context, &tuple.reversed()) else { return Ok(false) };
    work.flow = found.flow();
    let Flow { epochs, target, .. } = work.flow;
    if !found.is_current() || !target.is_reply() || !target.is_translated() {
        return Ok(false);
    }
    let ends = Ends::of(&tuple, context).ok_or(DropReason::MissingMap)?;
    check_addresses(&tuple, ends, context)?;
    let sum = context
        .epoch(ends.source.endpoint(), ends.destination.endpoint())
        .ok_or(DropReason::MissingMap)?;
    if let Err(reason) = policy::judge(context, ends, &tuple, Shape::Translated) {
        table::retire_pair(context, &found, &work.flow, tuple.protocol);
        return Err(reason);
    }
    found.set_epochs(epochs, direct(&ends, sum, target));
    Ok(true)
}

/// Finds the entry, and does what the fast path does with it.
#[inline(never)]
fn send_on<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &Work<A>,
    context: &Context<'_, T>,
    reason: PassReason,
) -> Option<Verdict> {
    let found = table::locate(context, &work.parsed.tuple)?;
    Some(forward(packet, &work.parsed, context, &found, reason))
}

/// Judges a known flow under the tables in force and stamps it, unless it is here only because the
/// kernel does not route it, or came through a tunnel. `Ok(false)`: there is none, or it is over, and
/// the packet may open a new one. A flow that lost its permission is retired.
#[inline(never)]
fn look_again<A: Address, P: Packet, T: Tables>(
    packet: &P,
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<bool, DropReason> {
    let tuple = &work.parsed.tuple;
    let Some(found) = table::locate(context, tuple) else { return Ok(false) };
    work.flow = found.flow();
    if !found.is_current() {
        return Ok(false);
    }
    let Flow { rewrite, looks, epochs, target } = &work.flow;
    let is_diverted = tunnel::is_diverted(&work.arrival, rewrite, *target);
    let is_here_anyway = relay::is_relayed(target.kind) || work.arrival.is_through_tunnel();
    // What XDP hands over it has looked at.
    if is_here_anyway
        && !is_diverted
        && (context.hook == Hook::UplinkHandover
            || !needs_a_look(context, &found, *looks, &work.parsed))
    {
        return Ok(true);
    }
    let ends = Ends::of(tuple, context).ok_or(DropReason::MissingMap)?;
    check_addresses(tuple, ends, context)?;
    if is_reopened(&work.parsed, *looks, *target)
        || is_diverted
        || !backend_serves(context, rewrite, *target, tuple.protocol)
    {
        table::retire_pair(context, &found, &work.flow, tuple.protocol);
        return Ok(false);
    }
    work.judged = if target.is_reply() {
        Tuple {
            source: rewrite.destination,
            source_port: rewrite.destination_port,
            destination: tuple.source,
            destination_port: tuple.source_port,
            protocol: tuple.protocol,
        }
    } else {
        Tuple {
            destination: rewrite.destination,
            destination_port: rewrite.destination_port,
            ..*tuple
        }
    };
    let ends = Ends::of(&work.judged, context).ok_or(DropReason::MissingMap)?;
    let sum = context
        .epoch(ends.source.endpoint(), ends.destination.endpoint())
        .ok_or(DropReason::MissingMap)?;
    if let Err(reason) = policy::judge(context, ends, &work.judged, shape(*target)) {
        table::retire_pair(context, &found, &work.flow, tuple.protocol);
        return Err(reason);
    }
    let before = *looks;
    let current = direct(&ends, sum, *target);
    found.set_epochs(*epochs, current);
    work.flow.epochs = current;
    take_further(context, work, &found);
    let other = table::refresh_partner(context, work);
    if neighbour::is_reply_from_wire(context, work) {
        work.flow.looks.next_hop = neighbour::find(packet, work, context, other);
    }
    found.set_looks(before, work.flow.looks);
    Ok(true)
}

/// Whether a SYN opens a connection on a flow that is closed, or against a flow's direction.
#[inline(always)]
fn is_reopened<A>(parsed: &Parsed<A>, looks: Looks, target: Target) -> bool {
    parsed.tuple.protocol == protocol::TCP
        && parsed.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
        && (target.is_reply() || looks.state & (seen::FIN | seen::RST) != 0)
}

/// Whether the forward direction's backend, if it has one, still takes it. Replies of a backend
/// that is gone are still translated.
#[inline(always)]
fn backend_serves<A: Address, T: Tables>(
    context: &Context<'_, T>,
    rewrite: &Rewrite<A>,
    target: Target,
    protocol: u8,
) -> bool {
    let Rewrite { destination, destination_port, .. } = *rewrite;
    target.is_reply()
        || target.backend == 0
        || service::still_serves(context, target.backend, destination, destination_port, protocol)
}

/// A later fragment goes where the first went. Before that was seen, it passes where every port
/// would.
#[inline(never)]
fn later_fragment<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let parsed = &work.parsed;
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    check_addresses(&parsed.tuple, ends, context)?;
    if let Some(found) = fragment::find(context, parsed)
        && is_judged(context, &found)
    {
        if !fragment::is_relayed(context, &found) {
            return Ok(fragment::forward(packet, parsed, context, &found));
        }
        work.flow = found.flow();
        if !found.is_current() {
            return Err(DropReason::FlowRace);
        }
        return Ok(fragment::relay(packet, work, context));
    }
    if ends.destination.has(Leaf::SERVICE_ONLY) || work.arrival.is_through_tunnel() {
        return Err(DropReason::Fragment);
    }
    if !ends.is_local() {
        return Ok(Verdict::Pass(PassReason::NotOurs));
    }
    policy::judge(context, ends, &parsed.tuple, Shape::Portless)
        .map_err(|_| DropReason::Fragment)?;
    Ok(Verdict::Pass(PassReason::Fragment))
}
