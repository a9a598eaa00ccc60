//! The programs themselves.
//!
//! At each hook one begins, which handles packets of known flows, and others go on: the slow path of
//! each family, and where connections begin one that is quick for those.

use abi::{
    reason::{DropReason, PassReason},
    tail::{
        JUDGED_MARK, UPLINK_EGRESS_MISS4, UPLINK_EGRESS_MISS6, UPLINK_HANDOVER_MISS4,
        UPLINK_HANDOVER_MISS6, UPLINK_INGRESS_FIRST4, UPLINK_INGRESS_FIRST6, UPLINK_INGRESS_MISS4,
        UPLINK_INGRESS_MISS6, WORKLOAD_EGRESS_MISS4, WORKLOAD_EGRESS_MISS6,
        WORKLOAD_INGRESS_FIRST4, WORKLOAD_INGRESS_FIRST6, WORKLOAD_INGRESS_MISS4,
        WORKLOAD_INGRESS_MISS6,
    },
};
use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use datapath::{Address, Fast, Hook, Miss, Packet, SlowPath, V4, V6, Verdict, Work};

use crate::{
    maps,
    packet::{self, TcFrame, XdpFrame},
    tables::KernelTables,
    verdict,
};

/// Where a hook's packets of a family go on.
struct Slots {
    first: u32,
    miss: u32,
}

impl Slots {
    /// Of a hook where connections hardly begin.
    const fn slow(miss: u32) -> Self {
        Self { first: miss, miss }
    }

    /// Leaves a packet to the next program.
    #[inline(always)]
    fn leave<A: Address>(&self, miss: Miss) -> (Verdict, Option<u32>) {
        let Some(work) = maps::work::<A>() else {
            return (NO_WORK, None);
        };
        work.begin(miss);
        let slot = match miss {
            Miss::New(_) => self.first,
            Miss::Look => self.miss,
        };
        (Verdict::Miss, Some(slot))
    }
}

/// The verdict of a hook's first program, and where a miss goes on.
#[inline(always)]
fn fast<P: Packet>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    [slots4, slots6]: [Slots; 2],
) -> (Verdict, Option<u32>) {
    match datapath::fast(hook, interface, frame, &KernelTables) {
        Fast::Done(verdict) => (verdict, None),
        Fast::Missed4(miss) => slots4.leave::<V4>(miss),
        Fast::Missed6(miss) => slots6.leave::<V6>(miss),
    }
}

#[xdp]
pub fn uplink_ingress(context: XdpContext) -> u32 {
    const SLOTS: [Slots; 2] = [
        Slots { first: UPLINK_INGRESS_FIRST4, miss: UPLINK_INGRESS_MISS4 },
        Slots { first: UPLINK_INGRESS_FIRST6, miss: UPLINK_INGRESS_MISS6 },
    ];
    let (mut frame, interface) = (XdpFrame(&context), context.ingress_ifindex() as u32);
    let (verdict, slot) = fast(Hook::UplinkIngress, interface, &mut frame, SLOTS);
    verdict::xdp(&context, verdict, slot)
}

#[xdp]
pub fn uplink_ingress_first4(context: XdpContext) -> u32 {
    xdp_first::<V4>(&context, UPLINK_INGRESS_MISS4)
}

#[xdp]
pub fn uplink_ingress_first6(context: XdpContext) -> u32 {
    xdp_first::<V6>(&context, UPLINK_INGRESS_MISS6)
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
    const SLOTS: [Slots; 2] = [Slots::slow(UPLINK_EGRESS_MISS4), Slots::slow(UPLINK_EGRESS_MISS6)];
    tc_fast(&context, Hook::UplinkEgress, SLOTS)
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
    const SLOTS: [Slots; 2] =
        [Slots::slow(UPLINK_HANDOVER_MISS4), Slots::slow(UPLINK_HANDOVER_MISS6)];
    tc_fast(&context, Hook::UplinkHandover, SLOTS)
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
    const SLOTS: [Slots; 2] = [
        Slots { first: WORKLOAD_INGRESS_FIRST4, miss: WORKLOAD_INGRESS_MISS4 },
        Slots { first: WORKLOAD_INGRESS_FIRST6, miss: WORKLOAD_INGRESS_MISS6 },
    ];
    tc_fast(&context, Hook::WorkloadIngress, SLOTS)
}

#[classifier]
pub fn workload_ingress_first4(context: TcContext) -> i32 {
    tc_first::<V4>(&context, Hook::WorkloadIngress, WORKLOAD_INGRESS_MISS4)
}

#[classifier]
pub fn workload_ingress_first6(context: TcContext) -> i32 {
    tc_first::<V6>(&context, Hook::WorkloadIngress, WORKLOAD_INGRESS_MISS6)
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
    const SLOTS: [Slots; 2] =
        [Slots::slow(WORKLOAD_EGRESS_MISS4), Slots::slow(WORKLOAD_EGRESS_MISS6)];
    tc_fast(&context, Hook::WorkloadEgress, SLOTS)
}

#[classifier]
pub fn workload_egress_miss4(context: TcContext) -> i32 {
    tc_miss::<V4>(&context, Hook::WorkloadEgress)
}

#[classifier]
pub fn workload_egress_miss6(context: TcContext) -> i32 {
    tc_miss::<V6>(&context, Hook::WorkloadEgress)
}

/// The slow path behind a slot.
struct XdpSlow<'c> {
    context: &'c XdpContext,
    slot: u32,
}

impl<A, P> SlowPath<A, P> for XdpSlow<'_> {
    #[inline(always)]
    fn go_on(&self, _packet: &mut P, _work: &mut Work<A>) -> Verdict {
        verdict::xdp_go_on(self.context, self.slot)
    }
}

/// The same at tc hooks.
struct TcSlow<'c> {
    context: &'c TcContext,
    slot: u32,
}

impl<A, P> SlowPath<A, P> for TcSlow<'_> {
    #[inline(always)]
    fn go_on(&self, _packet: &mut P, _work: &mut Work<A>) -> Verdict {
        verdict::tc_go_on(self.context, self.slot)
    }
}

const NO_WORK: Verdict = Verdict::Drop(DropReason::MissingMap);

#[inline(always)]
fn xdp_first<A: Address>(context: &XdpContext, miss: u32) -> u32 {
    let (mut frame, interface) = (XdpFrame(context), context.ingress_ifindex() as u32);
    let slow = XdpSlow { context, slot: miss };
    let verdict = match maps::work::<A>() {
        Some(work) => {
            datapath::first(Hook::UplinkIngress, interface, &mut frame, work, &KernelTables, slow)
        }
        None => NO_WORK,
    };
    verdict::xdp(context, verdict, None)
}

/// `again` is the slot of this very program, for what came through a tunnel.
#[inline(always)]
fn xdp_miss<A: Address>(context: &XdpContext, again: u32) -> u32 {
    let (mut frame, interface) = (XdpFrame(context), context.ingress_ifindex() as u32);
    let verdict = match maps::work::<A>() {
        Some(work) => {
            datapath::slow(Hook::UplinkIngress, interface, &mut frame, work, &KernelTables)
        }
        None => NO_WORK,
    };
    verdict::xdp(context, verdict, Some(again))
}

#[inline(always)]
fn tc_fast(context: &TcContext, hook: Hook, slots: [Slots; 2]) -> i32 {
    let mut frame = TcFrame::new(context, packet::HEADERS);
    let interface = packet::interface(context);
    let (verdict, slot) = fast(hook, interface, &mut frame, slots);
    verdict::tc(context, verdict, slot)
}

#[inline(always)]
fn tc_first<A: Address>(context: &TcContext, hook: Hook, miss: u32) -> i32 {
    let mut frame = TcFrame::new(context, packet::HEADERS);
    let interface = packet::interface(context);
    let slow = TcSlow { context, slot: miss };
    let verdict = match maps::work::<A>() {
        Some(work) => datapath::first(hook, interface, &mut frame, work, &KernelTables, slow),
        None => NO_WORK,
    };
    verdict::tc(context, verdict, None)
}

#[inline(always)]
fn tc_miss<A: Address>(context: &TcContext, hook: Hook) -> i32 {
    let mut frame = TcFrame::new(context, packet::REACH);
    let interface = packet::interface(context);
    let verdict = match maps::work::<A>() {
        Some(work) => datapath::slow(hook, interface, &mut frame, work, &KernelTables),
        None => NO_WORK,
    };
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
