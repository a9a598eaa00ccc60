//! First packets: where their flow leads, whether it may, and the entries that say so.

use abi::{
    address::Leaf,
    control::Midstream,
    flow::{kind, seen},
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Hook, Tables, Work, affinity,
    classify::{Ends, check_addresses},
    flow::{
        Flow, Looks, Rewrite,
        entry::{Epochs, Target},
    },
    handshake,
    parse::{Parsed, tcp},
    policy::{self, Shape},
    service::{self, Choice, Steering},
    tunnel,
    tuple::protocol,
};

/// What becomes of a first packet.
pub enum Plan {
    /// `work.flow` is to be opened.
    Open,
    Pass(PassReason),
    Reject,
}

/// Steers and judges the first packet of a flow.
#[inline(always)]
pub fn plan<A: Address, T: Tables, const IN_PLACE: bool>(
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<Plan, DropReason> {
    let mut ends = work.ends;
    check_addresses(&work.parsed.tuple, ends, context)?;
    work.judged = work.parsed.tuple;
    let target = Target { backend: 0, service: 0, kind: 0 };
    let mut choice = Choice { target, next_hop: 0, snat: false };
    let tunnelled = work.arrival.is_through_tunnel();
    let is_frontend = context.hook != Hook::WorkloadEgress && ends.destination.has(Leaf::FRONTEND);
    if tunnelled || is_frontend {
        let steering = if tunnelled {
            tunnel::steer(context, work, &mut choice)
        } else {
            service::steer::<A, T, IN_PLACE>(context, ends, &mut work.judged, &mut choice)
        };
        match steering {
            Steering::Chosen => {
                ends = ends.toward(&work.judged, context).ok_or(DropReason::MissingMap)?;
            }
            Steering::Drop(reason) => return Err(reason),
            Steering::Reject => return Ok(Plan::Reject),
            Steering::None => {}
        }
    }
    if !ends.is_local() && !choice.target.is_translated() {
        return Ok(Plan::Pass(PassReason::NotOurs));
    }
    let sum = context
        .epoch(ends.source.endpoint(), ends.destination.endpoint())
        .ok_or(DropReason::MissingMap)?;
    let shape = shape(choice.target);
    if IN_PLACE {
        policy::judge_in_place(context, ends, &work.judged, shape)?;
    } else {
        policy::judge(context, ends, &work.judged, shape)?;
    }
    if is_midstream(&work.parsed) {
        if choice.target.is_translated() {
            return midstream(context.control.midstream);
        }
        let back = Ends { source: ends.destination, destination: ends.source };
        policy::judge(context, back, &work.judged.reversed(), shape)?;
    }
    new_flow(context, work, &choice, &ends, sum)?;
    Ok(Plan::Open)
}

/// Which backend an older connection is with is not known.
#[inline(always)]
fn midstream(answer: u32) -> Result<Plan, DropReason> {
    match answer {
        Midstream::RESET => Ok(Plan::Reject),
        Midstream::PASS => Ok(Plan::Pass(PassReason::Midstream)),
        _ => Err(DropReason::Midstream),
    }
}

#[inline(always)]
pub fn shape(target: Target) -> Shape {
    if target.is_translated() { Shape::Translated } else { Shape::Direct }
}

/// Whether this belongs to a connection that is older than its flow. Which end opened it is not
/// known, so both must be allowed to have: else the answers of a connection that was cut would
/// open it again from the other side.
#[inline(always)]
fn is_midstream<A>(parsed: &Parsed<A>) -> bool {
    parsed.tuple.protocol == protocol::TCP && parsed.tcp_flags & (tcp::SYN | tcp::ACK) != tcp::SYN
}

/// A workload that reaches itself through a service sees the service's address as the client:
/// an answer to its own address would never leave it. The node's own processes see the client: their
/// answers come by here in any case, and the kernel takes nothing that seems to come from itself.
#[inline(always)]
fn new_flow<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
    choice: &Choice,
    ends: &Ends,
    sum: u32,
) -> Result<(), DropReason> {
    let Choice { mut target, next_hop, snat } = *choice;
    let hairpin = target.is_translated()
        && ends.source.endpoint() != 0
        && ends.source.endpoint() == ends.destination.endpoint();
    let mut translated = work.judged;
    if hairpin {
        translated.source = work.parsed.tuple.destination;
        target.kind |= kind::SNAT | kind::HAIRPIN;
    } else if snat && !ends.destination.has(Leaf::THIS_NODE) {
        let node = context.node().ok_or(DropReason::MissingMap)?;
        translated.source = A::masquerade(node).ok_or(DropReason::MasqueradeAddress)?;
        target.kind |= kind::SNAT;
    }
    work.flow = Flow {
        rewrite: Rewrite::between(&work.parsed.tuple, &translated),
        // Answers through a tunnel do not come by; what is awaited is the client's next packet.
        looks: Looks {
            seen: context.tables.now(),
            next_hop,
            state: if tunnel::is_tunnelled(target.kind) { seen::AWAITED } else { 0 },
        },
        epochs: direct(ends, sum, target),
        target,
    };
    Ok(())
}

/// Notes of a flow that was opened what is to be known beside its entries.
#[inline(always)]
pub fn note<A: Address, T: Tables>(context: &Context<'_, T>, work: &Work<A>) {
    let target = work.flow.target;
    if target.backend != 0 && affinity::is_kept(context, target.service) {
        affinity::remember(context, &work.parsed.tuple.source, target);
    }
    if handshake::is_timed(context, work) {
        handshake::begin(context, work);
    }
}

/// The epochs of an entry, in its own direction.
#[inline(always)]
pub fn direct(ends: &Ends, sum: u32, target: Target) -> Epochs {
    let (source, destination) = (ends.source.endpoint(), ends.destination.endpoint());
    if target.is_reply() {
        Epochs { sum, source: destination, destination: source }
    } else {
        Epochs { sum, source, destination }
    }
}
