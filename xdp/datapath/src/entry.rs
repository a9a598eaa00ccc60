//! The way of a packet through a hook: first the fast path, then, on a miss, the slow one.
//!
//! In the kernel the two are programs joined by a tail call, and what the first has found out lies in
//! a map for the second; on the host one follows the other.

use abi::reason::PassReason;

use crate::{
    Address, Hook, Packet, Tables, V4, V6, Verdict, Work,
    decide::decide,
    first::{SlowPath, begin},
    hook::{Miss, run},
    parse::{self, Link, Parsed, Reading},
    work::Stage,
};

/// What the fast path says of a packet.
#[derive(Debug, Clone, Copy)]
pub enum Fast {
    Done(Verdict),
    Missed4(Miss),
    Missed6(Miss),
}

/// Parses a frame and handles it if it is plain and its flow is known.
#[inline(always)]
pub fn fast<P: Packet, T: Tables>(hook: Hook, interface: u32, frame: &mut P, tables: &T) -> Fast {
    match parse::link(frame) {
        Ok(Link::Ipv4(offset)) => match known::<V4, P, T>(hook, interface, frame, offset, tables) {
            Ok(verdict) => Fast::Done(verdict),
            Err(miss) => Fast::Missed4(miss),
        },
        Ok(Link::Ipv6(offset)) => match known::<V6, P, T>(hook, interface, frame, offset, tables) {
            Ok(verdict) => Fast::Done(verdict),
            Err(miss) => Fast::Missed6(miss),
        },
        Ok(Link::Other) => Fast::Done(Verdict::Pass(PassReason::NotIp)),
        Err(reason) => Fast::Done(Verdict::Drop(reason)),
    }
}

#[inline(always)]
fn known<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    offset: u32,
    tables: &T,
) -> Result<Verdict, Miss> {
    // Extension headers are rare, and walking them doubles the fast path for the verifier. The
    // way out to the wire has no slow path to leave them to.
    let reading = if hook == Hook::UplinkEgress { Reading::Full } else { Reading::Plain };
    match parse::packet::<A, P>(frame, offset, reading) {
        Ok(parsed) => run(hook, interface, frame, &parsed, tables),
        Err(reason) => Ok(Verdict::Drop(reason)),
    }
}

/// Handles a frame of which [`fast`] has said [`Miss::New`], once [`Work::begin`] has taken that over.
/// Where it takes more, `slow` goes on.
#[inline(always)]
pub fn first<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    work: &mut Work<A>,
    tables: &T,
    slow: impl SlowPath<A, P>,
) -> Verdict {
    match parse_again(frame, &mut work.parsed, Reading::Plain) {
        Ok(()) => begin(hook, interface, frame, work, tables, slow),
        Err(verdict) => verdict,
    }
}

/// Handles a frame that [`fast`] has missed, once [`Work::begin`] has taken that over. It may say
/// [`Verdict::Miss`] once: a packet was taken out of another, and is to be handled in its place.
#[inline(always)]
pub fn slow<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    work: &mut Work<A>,
    tables: &T,
) -> Verdict {
    if work.arrival.advance() {
        work.stage = Stage::LOOK;
    }
    match parse_apart(frame, &mut work.parsed) {
        Ok(()) => decide(hook, interface, frame, work, tables),
        Err(verdict) => verdict,
    }
}

/// Parsing again costs less than having the fast path keep all that it has read.
#[inline(always)]
fn parse_again<A: Address, P: Packet>(
    frame: &P,
    parsed: &mut Parsed<A>,
    reading: Reading,
) -> Result<(), Verdict> {
    let read = match parse::link(frame) {
        Ok(Link::Ipv4(offset)) if !A::V6 => parse::packet(frame, offset, reading),
        Ok(Link::Ipv6(offset)) if A::V6 => parse::packet(frame, offset, reading),
        Ok(_) => return Err(Verdict::Pass(PassReason::NotIp)),
        Err(reason) => Err(reason),
    };
    *parsed = read.map_err(Verdict::Drop)?;
    Ok(())
}

#[inline(never)]
fn parse_apart<A: Address, P: Packet>(frame: &P, parsed: &mut Parsed<A>) -> Result<(), Verdict> {
    parse_again(frame, parsed, Reading::Full)
}
