//! The programs themselves.

use abi::{
    reason::{DropReason, PassReason},
    tail::{
        JUDGED_MARK, UPLINK_INGRESS_MISS4, UPLINK_INGRESS_MISS6, WORKLOAD_EGRESS_MISS4,
        WORKLOAD_EGRESS_MISS6, WORKLOAD_INGRESS_MISS4, WORKLOAD_INGRESS_MISS6,
    },
};
use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use datapath::{
    Address, Hook, Packet, V4, V6, Verdict,
    parse::{self, Link, Parsed},
};

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
    let (verdict, slot) = fast(
        Hook::UplinkIngress,
        interface,
        &mut frame,
        [UPLINK_INGRESS_MISS4, UPLINK_INGRESS_MISS6],
    );
    verdict::xdp(&context, verdict, slot)
}

#[xdp]
pub fn uplink_ingress_miss4(context: XdpContext) -> u32 {
    xdp_miss::<V4>(&context)
}

#[xdp]
pub fn uplink_ingress_miss6(context: XdpContext) -> u32 {
    xdp_miss::<V6>(&context)
}

#[classifier]
pub fn uplink_egress(context: TcContext) -> i32 {
    if let Some(action) = judged(&context) {
        return action;
    }
    tc_fast(&context, Hook::UplinkEgress, [0, 0])
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

/// Parses a frame and handles it if its flow is known; also gives the slot of the slow path.
#[inline(always)]
fn fast<P: Packet>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    [miss4, miss6]: [u32; 2],
) -> (Verdict, Option<u32>) {
    match parse::link(frame) {
        Ok(Link::Ipv4(offset)) => (known::<V4, P>(hook, interface, frame, offset), Some(miss4)),
        Ok(Link::Ipv6(offset)) => (known::<V6, P>(hook, interface, frame, offset), Some(miss6)),
        Ok(Link::Other) => (Verdict::Pass(PassReason::NotIp), None),
        Err(reason) => (Verdict::Drop(reason), None),
    }
}

#[inline(always)]
fn known<A: Address, P: Packet>(hook: Hook, interface: u32, frame: &mut P, offset: u32) -> Verdict {
    match parse::packet::<A, P>(frame, offset) {
        Ok(parsed) => datapath::run(hook, interface, frame, &parsed, &KernelTables),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// The slow path on a frame.
#[inline(always)]
fn slow<A: Address, P: Packet>(hook: Hook, interface: u32, frame: &mut P) -> Verdict {
    let Some(work) = maps::work::<A>() else { return Verdict::Drop(DropReason::MissingMap) };
    match parse_again(frame, &mut work.parsed) {
        Ok(true) => datapath::decide(hook, interface, frame, work, &KernelTables),
        Ok(false) => Verdict::Pass(PassReason::NotIp),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Parsing again costs less than handing the result over.
#[inline(never)]
fn parse_again<A: Address, P: Packet>(
    frame: &P,
    parsed: &mut Parsed<A>,
) -> Result<bool, DropReason> {
    *parsed = match parse::link(frame)? {
        Link::Ipv4(offset) if !A::V6 => parse::packet(frame, offset)?,
        Link::Ipv6(offset) if A::V6 => parse::packet(frame, offset)?,
        _ => return Ok(false),
    };
    Ok(true)
}

#[inline(always)]
fn xdp_miss<A: Address>(context: &XdpContext) -> u32 {
    let interface = context.ingress_ifindex() as u32;
    let verdict = slow::<A, _>(Hook::UplinkIngress, interface, &mut XdpFrame(context));
    verdict::xdp(context, verdict, None)
}

#[inline(always)]
fn tc_fast(context: &TcContext, hook: Hook, slots: [u32; 2]) -> i32 {
    let mut frame = TcFrame::new(context);
    let (verdict, slot) = fast(hook, packet::interface(context), &mut frame, slots);
    verdict::tc(context, verdict, slot)
}

#[inline(always)]
fn tc_miss<A: Address>(context: &TcContext, hook: Hook) -> i32 {
    let mut frame = TcFrame::new(context);
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
