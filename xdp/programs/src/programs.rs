//! The programs themselves.

use abi::{
    reason::{DropReason, PassReason},
    tail::{
        JUDGED_MARK, UPLINK_EGRESS_MISS4, UPLINK_EGRESS_MISS6, UPLINK_HANDOVER_MISS4,
        UPLINK_HANDOVER_MISS6, UPLINK_INGRESS_MISS4, UPLINK_INGRESS_MISS6, WORKLOAD_EGRESS_MISS4,
        WORKLOAD_EGRESS_MISS6, WORKLOAD_INGRESS_MISS4, WORKLOAD_INGRESS_MISS6,
    },
};
use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use datapath::{Address, Family, Hook, Packet, V4, V6, Verdict};

use crate::{
    maps,
    packet::{self, TcFrame, XdpFrame},
    tables::KernelTables,
    verdict,
};

#[xdp]
pub fn uplink_ingress(context: XdpContext) -> u32 {
    let mut frame = XdpFrame(&context);
    let interface = context.ingress_ifindex() as u32;
    let (verdict, family) =
        datapath::fast(Hook::UplinkIngress, interface, &mut frame, &KernelTables);
    let slot = slot(family, [UPLINK_INGRESS_MISS4, UPLINK_INGRESS_MISS6]);
    verdict::xdp(&context, verdict, slot)
}

#[xdp]
pub fn uplink_ingress_miss4(context: XdpContext) -> u32 {
    xdp_miss::<V4>(&context, UPLINK_INGRESS_MISS4)
}

#[xdp]
pub fn uplink_ingress_miss6(context: XdpContext) -> u32 {
    xdp_miss::<V6>(&context, UPLINK_INGRESS_MISS6)
}

#[classifier]
pub fn uplink_egress(context: TcContext) -> i32 {
    if let Some(action) = judged(&context) {
        return action;
    }
    tc_fast(&context, Hook::UplinkEgress, [UPLINK_EGRESS_MISS4, UPLINK_EGRESS_MISS6])
}

#[classifier]
pub fn uplink_egress_miss4(context: TcContext) -> i32 {
    tc_miss::<V4>(&context, Hook::UplinkEgress)
}

#[classifier]
pub fn uplink_egress_miss6(context: TcContext) -> i32 {
    tc_miss::<V6>(&context, Hook::UplinkEgress)
}

/// Most of what comes in has nothing to do with this hook: it sends on what XDP could not.
#[classifier]
pub fn uplink_handover(context: TcContext) -> i32 {
    if !packet::is_handed_over(&context) {
        return verdict::TCX_NEXT;
    }
    tc_fast(&context, Hook::UplinkHandover, [UPLINK_HANDOVER_MISS4, UPLINK_HANDOVER_MISS6])
}

#[classifier]
pub fn uplink_handover_miss4(context: TcContext) -> i32 {
    tc_miss::<V4>(&context, Hook::UplinkHandover)
}

#[classifier]
pub fn uplink_handover_miss6(context: TcContext) -> i32 {
    tc_miss::<V6>(&context, Hook::UplinkHandover)
}

#[classifier]
pub fn workload_ingress(context: TcContext) -> i32 {
    tc_fast(&context, Hook::WorkloadIngress, [WORKLOAD_INGRESS_MISS4, WORKLOAD_INGRESS_MISS6])
}

#[classifier]
pub fn workload_ingress_miss4(context: TcContext) -> i32 {
    tc_miss::<V4>(&context, Hook::WorkloadIngress)
}

#[classifier]
pub fn workload_ingress_miss6(context: TcContext) -> i32 {
    tc_miss::<V6>(&context, Hook::WorkloadIngress)
}

#[classifier]
pub fn workload_egress(context: TcContext) -> i32 {
    if let Some(action) = judged(&context) {
        return action;
    }
    tc_fast(&context, Hook::WorkloadEgress, [WORKLOAD_EGRESS_MISS4, WORKLOAD_EGRESS_MISS6])
}

#[classifier]
pub fn workload_egress_miss4(context: TcContext) -> i32 {
    tc_miss::<V4>(&context, Hook::WorkloadEgress)
}

#[classifier]
pub fn workload_egress_miss6(context: TcContext) -> i32 {
    tc_miss::<V6>(&context, Hook::WorkloadEgress)
}

/// The slot of the slow path for a family.
#[inline(always)]
fn slot(family: Option<Family>, [miss4, miss6]: [u32; 2]) -> Option<u32> {
    family.map(|family| match family {
        Family::V4 => miss4,
        Family::V6 => miss6,
    })
}

#[inline(always)]
fn slow<A: Address, P: Packet>(hook: Hook, interface: u32, frame: &mut P) -> Verdict {
    let Some(work) = maps::work::<A>() else { return Verdict::Drop(DropReason::MissingMap) };
    datapath::slow(hook, interface, frame, work, &KernelTables)
}

/// `again` is the slot of this very program, for what came through a tunnel.
#[inline(always)]
fn xdp_miss<A: Address>(context: &XdpContext, again: u32) -> u32 {
    let interface = context.ingress_ifindex() as u32;
    let verdict = slow::<A, _>(Hook::UplinkIngress, interface, &mut XdpFrame(context));
    verdict::xdp(context, verdict, Some(again))
}

#[inline(always)]
fn tc_fast(context: &TcContext, hook: Hook, slots: [u32; 2]) -> i32 {
    let mut frame = TcFrame::new(context, packet::HEADERS);
    let interface = packet::interface(context);
    let (verdict, family) = datapath::fast(hook, interface, &mut frame, &KernelTables);
    verdict::tc(context, verdict, slot(family, slots))
}

#[inline(always)]
fn tc_miss<A: Address>(context: &TcContext, hook: Hook) -> i32 {
    let mut frame = TcFrame::new(context, packet::REACH);
    let verdict = slow::<A, _>(hook, packet::interface(context), &mut frame);
    verdict::tc(context, verdict, None)
}

/// A packet that another of our tc hooks sent here.
#[inline(always)]
fn judged(context: &TcContext) -> Option<i32> {
    if packet::mark(context) != JUDGED_MARK {
        return None;
    }
    context.skb.set_mark(0);
    verdict::count(PassReason::AlreadyJudged as u32);
    Some(verdict::TCX_NEXT)
}
