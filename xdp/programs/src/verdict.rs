//! From verdicts to return codes: the one place that acts on a decision, and counts it.

use core::ptr;

use abi::{
    reason::{DropReason, PassReason},
    tail::JUDGED_MARK,
};
use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    helpers::{bpf_redirect, bpf_redirect_neigh},
    programs::{TcContext, XdpContext},
};
use datapath::Verdict;

use crate::{
    maps,
    packet::{self, XdpFrame},
};

/// "Go on with the next program" (tcx), which for clsact is "no decision".
pub const TCX_NEXT: i32 = -1;

/// Acts on a verdict at an XDP hook; `slot` is the tail call of a miss.
#[inline(always)]
pub fn xdp(context: &XdpContext, verdict: Verdict, slot: Option<u32>) -> u32 {
    match verdict {
        Verdict::Pass(reason) => {
            count(reason as u32);
            xdp_action::XDP_PASS
        }
        Verdict::Transmit(reason) => {
            count(reason as u32);
            count(PassReason::Forwarded as u32);
            xdp_action::XDP_TX
        }
        Verdict::Redirect(interface, reason) => {
            count(reason as u32);
            count(PassReason::Forwarded as u32);
            // SAFETY: the helper has no preconditions.
            unsafe { bpf_redirect(interface, 0) as u32 }
        }
        // Counted where it is done.
        Verdict::Handover(_) if XdpFrame(context).hand_over() => xdp_action::XDP_PASS,
        Verdict::Handover(_) | Verdict::Resolve(..) => {
            count(DropReason::Handover as u32);
            xdp_action::XDP_DROP
        }
        Verdict::Drop(reason) => {
            count(reason as u32);
            #[cfg(feature = "log")]
            aya_log_ebpf::info!(context, "dropped for reason {}", reason as u32);
            xdp_action::XDP_DROP
        }
        Verdict::Miss => {
            if let Some(slot) = slot {
                xdp_go_on(context, slot);
            }
            count(DropReason::MissingProgram as u32);
            xdp_action::XDP_DROP
        }
    }
}

/// Acts on a verdict at a tc hook; `slot` is the tail call of a miss.
#[inline(always)]
pub fn tc(context: &TcContext, verdict: Verdict, slot: Option<u32>) -> i32 {
    match verdict {
        Verdict::Pass(reason) => {
            count(reason as u32);
            TCX_NEXT
        }
        Verdict::Transmit(reason) => send(context, packet::interface(context), reason),
        Verdict::Redirect(interface, reason) => send(context, interface, reason),
        Verdict::Resolve(interface, reason) => {
            leave(context, reason);
            // SAFETY: without parameters the helper looks the packet's own destination up.
            unsafe { bpf_redirect_neigh(interface, ptr::null_mut(), 0, 0) as i32 }
        }
        // No tc hook says so.
        Verdict::Handover(_) => {
            count(DropReason::Handover as u32);
            TC_ACT_SHOT
        }
        Verdict::Drop(reason) => {
            count(reason as u32);
            #[cfg(feature = "log")]
            aya_log_ebpf::info!(context, "dropped for reason {}", reason as u32);
            TC_ACT_SHOT
        }
        Verdict::Miss => {
            if let Some(slot) = slot {
                tc_go_on(context, slot);
            }
            count(DropReason::MissingProgram as u32);
            TC_ACT_SHOT
        }
    }
}

/// Goes on in another program; gives a verdict where that is missing.
#[inline(always)]
pub fn xdp_go_on(context: &XdpContext, slot: u32) -> Verdict {
    // SAFETY: the target has the same program type and context.
    unsafe { maps::TAIL_XDP.tail_call(context, slot) };
    Verdict::Drop(DropReason::MissingProgram)
}

/// [`xdp_go_on`], at tc hooks.
#[inline(always)]
pub fn tc_go_on(context: &TcContext, slot: u32) -> Verdict {
    // SAFETY: the target has the same program type and context.
    unsafe { maps::TAIL_TC.tail_call(context, slot) };
    Verdict::Drop(DropReason::MissingProgram)
}

#[inline(always)]
fn send(context: &TcContext, interface: u32, reason: PassReason) -> i32 {
    leave(context, reason);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(interface, 0) as i32 }
}

/// For a packet that goes to another interface's hook.
#[inline(always)]
fn leave(context: &TcContext, reason: PassReason) {
    count(reason as u32);
    count(PassReason::Forwarded as u32);
    context.skb.set_mark(JUDGED_MARK);
}

#[inline(always)]
pub fn count(reason: u32) {
    if let Some(counter) = maps::COUNTERS_MAP.get_ptr_mut(reason) {
        // SAFETY: the element is this processor's own.
        unsafe { *counter += 1 };
    }
}
