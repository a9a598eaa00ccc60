//! The way of most first packets, in a program of its own. What is called on the slow path is done in
//! place here: on processors that have to guard returns, a call costs as much as ten lookups.

use abi::reason::{DropReason, PassReason};

use crate::{
    Address, Context, Hook, Packet, Tables, Verdict,
    flow::table,
    hook::forward,
    parse::Kind,
    plan::{self, Plan, plan},
    relay, tunnel,
    work::{Stage, Work},
};

/// What handles the packets that take more: [`crate::slow`]. (A trait, since the kernel refuses what
/// functions as parameters leave in the BTF.)
pub trait SlowPath<A, P> {
    fn go_on(&self, packet: &mut P, work: &mut Work<A>) -> Verdict;
}

/// Opens the flow of a packet that has none, and sends it on; where there is more to do, `slow` does
/// it. (A verdict that says so would have a part that nothing fills, which the kernel's verifier does
/// not accept.)
#[inline(always)]
pub fn begin<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    packet: &mut P,
    work: &mut Work<A>,
    tables: &T,
    slow: impl SlowPath<A, P>,
) -> Verdict {
    let context = match Context::new(hook, interface, tables) {
        Ok(context) => context,
        Err(no_side) => return no_side.verdict(),
    };
    if !matches!(work.parsed.kind, Kind::Flow | Kind::Portless)
        || work.parsed.tuple.destination.is_local_scope()
        || (hook == Hook::UplinkIngress && tunnel::is_wrapper(&work.parsed))
    {
        return slow.go_on(packet, work);
    }
    match plan(work, &context) {
        Ok(Plan::Open) => {}
        Ok(Plan::Pass(reason)) => return Verdict::Pass(reason),
        Ok(Plan::Reject) => return slow.go_on(packet, work),
        Err(reason) => return Verdict::Drop(reason),
    }
    if relay::is_relayed(work.flow.target.kind) || work.parsed.first_fragment {
        work.stage = Stage::PLANNED;
        return slow.go_on(packet, work);
    }
    match table::open_in_place(&context, work) {
        Ok(found) => {
            plan::note(&context, work);
            forward(packet, &work.parsed, &context, &found, PassReason::NewFlow)
        }
        Err(DropReason::FlowConflict) => {
            work.stage = Stage::PLANNED;
            slow.go_on(packet, work)
        }
        Err(reason) => Verdict::Drop(reason),
    }
}
