//! ICMP errors belong to the flow of the packet that they quote.

use abi::{
    address::Leaf,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Packet, Tables,
    classify::{Ends, check_addresses},
    flow::table,
    parse::{self, Parsed, QUOTE},
};

/// An ICMP error passes if it is about a flow that is known (RFC 5927, ABUSE: never by address
/// alone), or is none of our business. One in fragments does not: no sender makes any (RFC 1812,
/// 4.3.2.3; RFC 4443, 2.4), and nothing would lead the rest after the first.
#[inline(never)]
pub fn related<A: Address, P: Packet, T: Tables>(
    packet: &P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<PassReason, DropReason> {
    let ends = Ends::of(&parsed.tuple, context).ok_or(DropReason::MissingMap)?;
    if !ends.is_local() && !ends.destination.has(Leaf::FRONTEND) {
        return Ok(PassReason::NotOurs);
    }
    check_addresses(&parsed.tuple, ends, context)?;
    if parsed.first_fragment {
        return Err(DropReason::Fragment);
    }
    let quote = parsed.transport + QUOTE;
    let quoted = parse::quoted::<A, P>(packet, quote).ok_or(DropReason::UnrelatedIcmpError)?;
    if table::locate(context, &quoted).is_some()
        || table::locate(context, &quoted.reversed()).is_some()
    {
        Ok(PassReason::Related)
    } else {
        Err(DropReason::UnrelatedIcmpError)
    }
}
