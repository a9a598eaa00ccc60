//! How long the backends of services take to answer a SYN.
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
    let Some([packets, _]) = found.traffic() else { return };
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
    let Some([packets, _]) = found.traffic() else { return };
    let Some(since) = Packets(packets.load()).since() else { return };
    let accepts = parsed.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST) == tcp::SYN | tcp::ACK;
    let answer = match accepts {
        true => Packets::answered(microseconds(context).saturating_sub(since)),
        false => Packets::default(),
    };
    packets.store(answer.0);
}

/// Whether a packet of this flow is the first that comes back.
#[inline(always)]
pub fn is_first_reply(target: Target, looks: Looks) -> bool {
    target.is_reply() && looks.state & seen::ANSWERED == 0
}

#[inline(always)]
fn microseconds<T: Tables>(context: &Context<'_, T>) -> u64 {
    context.tables.nanoseconds() / 1000
}
