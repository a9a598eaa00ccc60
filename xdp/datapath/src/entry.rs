//! The way of a packet through a hook: first the fast path, then, on a miss, the slow one.
//!
//! In the kernel the two are programs joined by a tail call; on the host one follows the other.

use abi::reason::{DropReason, PassReason};

use crate::{
    Address, Hook, Packet, Tables, V4, V6, Verdict, Work, decide,
    hook::run,
    parse::{self, Link, Parsed, Reading},
};

/// The slow path that goes on after [`Verdict::Miss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Parses a frame and handles it if its flow is known. A [`Verdict::Miss`] comes with the family
/// of the slow path.
#[inline(always)]
pub fn fast<P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    tables: &T,
) -> (Verdict, Option<Family>) {
    match parse::link(frame) {
        Ok(Link::Ipv4(offset)) => {
            (known::<V4, P, T>(hook, interface, frame, offset, tables), Some(Family::V4))
        }
        Ok(Link::Ipv6(offset)) => {
            (known::<V6, P, T>(hook, interface, frame, offset, tables), Some(Family::V6))
        }
        Ok(Link::Other) => (Verdict::Pass(PassReason::NotIp), None),
        Err(reason) => (Verdict::Drop(reason), None),
    }
}

#[inline(always)]
fn known<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    offset: u32,
    tables: &T,
) -> Verdict {
    // Extension headers are rare, and walking them doubles the fast path for the verifier. The
    // way out to the wire has no slow path to leave them to.
    let reading = if hook == Hook::UplinkEgress { Reading::Full } else { Reading::Plain };
    match parse::packet::<A, P>(frame, offset, reading) {
        Ok(parsed) => run(hook, interface, frame, &parsed, tables),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// Handles a frame for which [`fast`] said [`Verdict::Miss`]. It may say so itself, once: a packet was
/// taken out of another, and is to be handled in its place.
#[inline(always)]
pub fn slow<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    frame: &mut P,
    work: &mut Work<A>,
    tables: &T,
) -> Verdict {
    work.arrival.advance();
    match parse_again(frame, &mut work.parsed) {
        Ok(true) => decide(hook, interface, frame, work, tables),
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
        Link::Ipv4(offset) if !A::V6 => parse::packet(frame, offset, Reading::Full)?,
        Link::Ipv6(offset) if A::V6 => parse::packet(frame, offset, Reading::Full)?,
        _ => return Ok(false),
    };
    Ok(true)
}
