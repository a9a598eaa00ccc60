//! The slow path: first packets, and packets of flows that have to be looked at again.

use abi::{
    address::Leaf,
    flow::{kind, seen},
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Packet, Tables, Tuple,
    classify::Ends,
    flow::{
        self, Flow, Looks, Rewrite,
        entry::{Epochs, Target},
        table::{Found, refresh_partner},
    },
    hook::{Hook, Verdict, forward},
    parse::{self, Kind, Parsed, tcp},
    policy, reject,
    service::{self, Choice, Steering},
    tuple::protocol,
};

/// Handles a packet for which [`crate::run`] said [`Verdict::Miss`].
#[inline(always)]
pub fn decide<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    packet: &mut P,
    parsed: &Parsed<A>,
    tables: &T,
) -> Verdict {
    let context = match Context::new(hook, interface, tables) {
        Ok(context) => context,
        Err(verdict) => return verdict,
    };
    let result = match parsed.kind {
        Kind::LocalControl { router_advertisement: true } if hook == Hook::WorkloadIngress => {
            Err(DropReason::RouterAdvertisement)
        }
        Kind::LocalControl { .. } => Ok(Verdict::Pass(PassReason::LocalControl)),
        _ if parsed.tuple.destination.is_local_scope() => {
            Ok(Verdict::Pass(PassReason::LocalControl))
        }
        Kind::IcmpError(_) => related(packet, parsed, &context),
        Kind::LaterFragment => later_fragment(parsed, &context),
        Kind::Flow | Kind::Portless => flow(packet, parsed, &context),
    };
    result.unwrap_or_else(Verdict::Drop)
}

/// A packet with a flow, known or new.
#[inline(always)]
fn flow<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let known = match flow::find(context, &parsed.tuple) {
        Some(found) if look_again(context, &found, parsed)? => Some(found),
        Some(found) => {
            flow::retire_pair(context, &found, parsed.tuple.protocol);
            None
        }
        None => None,
    };
    let (found, reason) = match known {
        Some(found) => (found, PassReason::Established),
        None => match plan(parsed, context)? {
            Plan::Open(flow) => (flow::open(context, &parsed.tuple, &flow)?, PassReason::NewFlow),
            Plan::NotOurs => return Ok(Verdict::Pass(PassReason::NotOurs)),
            Plan::Reject => {
                reject::answer(packet, parsed)?;
                return Ok(Verdict::Transmit(PassReason::Rejected));
            }
        },
    };
    Ok(send_on(packet, parsed, context, &found, reason))
}

/// [`forward`], out of line.
#[inline(never)]
fn send_on<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
    reason: PassReason,
) -> Verdict {
    forward(packet, parsed, context, found, reason)
}

/// Judges a known flow under the tables in force and stamps it. `Ok(false)`: the flow is over
/// and the packet may open a new one. A flow that lost its permission is retired.
#[inline(never)]
fn look_again<A: Address, T: Tables>(
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
    parsed: &Parsed<A>,
) -> Result<bool, DropReason> {
    let Flow { rewrite, looks, epochs, target } = found.hit.flow();
    if !found.hit.is_current() {
        return Ok(false);
    }
    let opening = parsed.tuple.protocol == protocol::TCP
        && parsed.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN;
    if opening && (target.is_reply() || looks.state & (seen::FIN | seen::RST) != 0) {
        return Ok(false);
    }
    let translated = rewrite.tuple(parsed.tuple.protocol);
    // The tuple that policy judges: the client's own address, the backend's address.
    let judged = if target.is_reply() {
        Tuple {
            source: translated.destination,
            source_port: translated.destination_port,
            destination: parsed.tuple.source,
            destination_port: parsed.tuple.source_port,
            protocol: parsed.tuple.protocol,
        }
    } else {
        Tuple { source: parsed.tuple.source, source_port: parsed.tuple.source_port, ..translated }
    };
    if !target.is_reply()
        && target.backend != 0
        && !service::still_serves(
            context,
            target.backend,
            translated.destination,
            translated.destination_port,
        )
    {
        return Ok(false);
    }
    let ends = Ends::of(&judged, context).ok_or(DropReason::MissingMap)?;
    let sum = context
        .epoch(ends.source.endpoint(), ends.destination.endpoint())
        .ok_or(DropReason::MissingMap)?;
    if let Err(reason) = policy::judge(context, ends, &judged, false) {
        flow::retire_pair(context, found, parsed.tuple.protocol);
        return Err(reason);
    }
    let answered = if target.is_reply() { seen::ANSWERED } else { 0 };
    let fresh = Looks { seen: context.tables.now(), state: looks.state | answered, ..looks };
    found.hit.set_looks(looks, fresh);
    let current = direct(&ends, sum, target);
    found.hit.set_epochs(epochs, current);
    refresh_partner(
        context,
        &parsed.tuple,
        &Flow { rewrite, looks: fresh, epochs: current, target },
    );
    Ok(true)
}

/// The epochs of an entry, in its own direction.
#[inline(always)]
fn direct(ends: &Ends, sum: u32, target: Target) -> Epochs {
    let (source, destination) = (ends.source.endpoint(), ends.destination.endpoint());
    if target.is_reply() {
        Epochs { sum, source: destination, destination: source }
    } else {
        Epochs { sum, source, destination }
    }
}

/// What becomes of a first packet.
enum Plan<A> {
    Open(Flow<A>),
    NotOurs,
    Reject,
}

/// Steers and judges the first packet of a flow. Out of line, as the functions it calls are: the
/// kernel gives a program and all it calls 512 bytes of stack.
#[inline(never)]
fn plan<A: Address, T: Tables>(
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<Plan<A>, DropReason> {
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    check_addresses(&parsed.tuple, ends, context)?;
    let untranslated = Choice {
        tuple: parsed.tuple,
        target: Target { backend: 0, service: 0, kind: 0 },
        next_hop: 0,
    };
    let choice = if context.hook == Hook::WorkloadEgress {
        untranslated
    } else {
        match service::steer(context, ends, &parsed.tuple) {
            Steering::To(choice) => choice,
            Steering::Drop(reason) => return Err(reason),
            Steering::Reject => return Ok(Plan::Reject),
            Steering::None if ends.is_local() => untranslated,
            Steering::None => return Ok(Plan::NotOurs),
        }
    };
    let translated = choice.target.is_translated();
    if translated && parsed.first_fragment {
        return Err(DropReason::Fragment);
    }
    let destination = choice.tuple.destination;
    let ends = if translated {
        Ends { destination: destination.leaf(context).ok_or(DropReason::MissingMap)?, ..ends }
    } else {
        ends
    };
    let sum = context
        .epoch(ends.source.endpoint(), ends.destination.endpoint())
        .ok_or(DropReason::MissingMap)?;
    policy::judge(context, ends, &choice.tuple, false)?;
    Ok(Plan::Open(new_flow(&parsed.tuple, choice, ends, sum, context.tables.now())))
}

/// A workload that reaches itself through a service sees the service's address as the client:
/// an answer to its own address would never leave it.
#[inline(always)]
fn new_flow<A: Address>(
    tuple: &Tuple<A>,
    choice: Choice<A>,
    ends: Ends,
    sum: u32,
    now: u32,
) -> Flow<A> {
    let Choice { tuple: mut translated, mut target, next_hop } = choice;
    if target.is_translated()
        && ends.source.endpoint() != 0
        && ends.source.endpoint() == ends.destination.endpoint()
    {
        translated.source = tuple.destination;
        target.kind |= kind::SNAT;
    }
    Flow {
        rewrite: Rewrite::between(tuple, &translated),
        looks: Looks { seen: now, next_hop, state: 0 },
        epochs: direct(&ends, sum, target),
        target,
    }
}

/// Whether these addresses may show up at this hook: outsiders do not use the node's, and a
/// workload's port carries the workload's own and no other.
#[inline(always)]
fn check_addresses<A: Address, T: Tables>(
    tuple: &Tuple<A>,
    ends: Ends,
    context: &Context<'_, T>,
) -> Result<(), DropReason> {
    if tuple.source.is_martian_source() || tuple.destination.is_loopback() {
        return Err(DropReason::Martian);
    }
    let is_at_port = |leaf: Leaf| {
        let port = context.tables.port(leaf.endpoint()).ok_or(DropReason::MissingMap)?;
        Ok(leaf.endpoint() != 0 && port.interface == context.interface)
    };
    match context.hook {
        Hook::UplinkIngress if ends.source.endpoint() != 0 || ends.source.has(Leaf::THIS_NODE) => {
            Err(DropReason::SpoofedSource)
        }
        Hook::WorkloadIngress if !is_at_port(ends.source)? => Err(DropReason::ForeignSource),
        Hook::WorkloadEgress if !is_at_port(ends.destination)? => {
            Err(DropReason::ForeignDestination)
        }
        _ => Ok(()),
    }
}

/// An ICMP error passes if it is about a flow that is known (RFC 5927, ABUSE: never by address
/// alone), or is none of our business.
#[inline(never)]
fn related<A: Address, P: Packet, T: Tables>(
    packet: &P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    if !ends.is_local() && !ends.destination.has(Leaf::FRONTEND) {
        return Ok(Verdict::Pass(PassReason::NotOurs));
    }
    check_addresses(&parsed.tuple, ends, context)?;
    let Kind::IcmpError(quote) = parsed.kind else {
        return Err(DropReason::UnrelatedIcmpError);
    };
    let quoted = parse::quoted::<A, P>(packet, quote).ok_or(DropReason::UnrelatedIcmpError)?;
    if flow::find(context, &quoted).is_some() || flow::find(context, &quoted.reversed()).is_some() {
        Ok(Verdict::Pass(PassReason::Related))
    } else {
        Err(DropReason::UnrelatedIcmpError)
    }
}

/// A fragment without ports passes where every port would.
#[inline(never)]
fn later_fragment<A: Address, T: Tables>(
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, DropReason> {
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    check_addresses(&parsed.tuple, ends, context)?;
    if ends.destination.has(Leaf::SERVICE_ONLY) {
        return Err(DropReason::Fragment);
    }
    if !ends.is_local() {
        return Ok(Verdict::Pass(PassReason::NotOurs));
    }
    policy::judge(context, ends, &parsed.tuple, true).map_err(|_| DropReason::Fragment)?;
    Ok(Verdict::Pass(PassReason::Fragment))
}
