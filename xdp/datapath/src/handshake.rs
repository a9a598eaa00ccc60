//! What the first packets of a flow show: that both ends are there, and how long that took.
//!
//! A flow is confirmed when an answer has come back, and with TCP and SCTP, whose ends say so, when
//! the client has gone on from there. Until then each step is awaited in the entry of the direction
//! that it comes in. Answers through a tunnel do not come by, so there it is the client's second packet
//! that counts. Unconfirmed flows leave their places to others: a flood of SYNs with made-up
//! addresses, which backends answer, takes none from a connection.
//!
//! Of some connections, chosen by their hash, the time of the first SYN is kept with the statistics
//! of their replies, which count nothing before the answer, and the SYN-ACK puts the difference in
//! its place: see [`Packets`]. Both packets are the slow path's anyway. What goes through a tunnel
//! is not timed: the node that has chosen the backend does not see its answers.

use abi::flow::{Packets, seen};

use crate::{
    Address, Context, Tables, Word, Work,
    flow::{
        Key, Looks,
        entry::Target,
        hash::hash,
        table::{self, Found},
    },
    parse::{Parsed, tcp},
    tunnel,
    tuple::protocol,
};

/// Whether the handshake of the flow that `work.flow` opens is one of those that are timed.
#[inline(always)]
pub fn is_timed<A: Address, T: Tables>(context: &Context<'_, T>, work: &Work<A>) -> bool {
    let Work { arrival, parsed, flow, .. } = work;
    let is_answered_here = !arrival.is_through_tunnel() && !tunnel::is_tunnelled(flow.target.kind);
    let sample = context.control.handshake_sample;
    let own = || hash::<A>(&Key::of(&parsed.tuple), context.control.hash_key) as u32;
    parsed.tuple.protocol == protocol::TCP
        && flow.target.service != 0
        && is_answered_here
        && sample != 0
        && own() & (sample - 1) == 0
}

/// Notes when that flow was asked for.
#[inline(never)]
pub fn begin<A: Address, T: Tables>(context: &Context<'_, T>, work: &Work<A>) {
    let replies = work.flow.rewrite.tuple(work.parsed.tuple.protocol).reversed();
    let Some(found) = table::locate(context, &replies) else { return };
    let packets = found.packets();
    // An entry that was there already has its time, or its counts.
    if packets.load() == 0 {
        packets.store(Packets::waiting(microseconds(context)).0);
    }
}

/// Notes how long the answer took, if `parsed` is the first packet of replies that were waited for.
/// Where it is no SYN-ACK, they are waited for no more.
#[inline(never)]
pub fn end<A: Address, T: Tables>(
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
    parsed: &Parsed<A>,
) {
    let packets = found.packets();
    let Some(since) = Packets(packets.load()).since() else { return };
    let accepts = parsed.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::SYN | tcp::ACK;
    let answer = match accepts {
        true => Packets::answered(microseconds(context).saturating_sub(since)),
        false => Packets::default(),
    };
    packets.store(answer.0);
}

/// Whether the flow's next packet in this direction is waited for.
#[inline(always)]
pub fn is_awaited(looks: Looks) -> bool {
    looks.state & seen::AWAITED != 0
}

/// The state of an entry, seen from its partner's: as long as the flow is not confirmed, the other
/// direction's next packet is awaited.
#[inline(always)]
pub const fn partner(state: u8) -> u8 {
    if state & seen::CONFIRMED != 0 { state } else { state | seen::AWAITED }
}

/// What becomes of an entry's state when its partner gives [`partner`] of its own.
#[inline(always)]
pub const fn pass_on(given: u8, state: u8) -> u8 {
    if given & seen::CONFIRMED != 0 {
        confirmed(state)
    } else if state & seen::CONFIRMED != 0 {
        state
    } else {
        state | seen::AWAITED
    }
}

/// The state of an entry once `parsed` has come by.
#[inline(always)]
pub fn advance<A>(parsed: &Parsed<A>, target: Target, state: u8) -> u8 {
    if state & seen::AWAITED == 0 {
        return state;
    }
    let shakes_hands = matches!(parsed.tuple.protocol, protocol::TCP | protocol::SCTP);
    if target.is_reply() && shakes_hands {
        return state & !seen::AWAITED;
    }
    // A client that is asked again has not heard the answer, and one that refuses it did not ask.
    let goes_on = target.is_reply() || parsed.tcp_flags & (tcp::SYN | tcp::RST) == 0;
    if goes_on { confirmed(state) } else { state }
}

#[inline(always)]
const fn confirmed(state: u8) -> u8 {
    state & !seen::AWAITED | seen::CONFIRMED
}

#[inline(always)]
fn microseconds<T: Tables>(context: &Context<'_, T>) -> u64 {
    context.tables.nanoseconds() / 1000
}
