//! Source ports that are free: a backend's answers must belong to one flow.
//!
//! The entry of the replies is the reservation. Nothing else of the node sends from these ports, as
//! the agent has made sure.

use abi::{control::PortRange, reason::DropReason};

use crate::{
    Address, Context, Port, Tables, Tuple, Work,
    flow::{Key, Rewrite, hash::hash, table},
};

/// Ports that are tried. With four of five taken, one flow in a thousand finds none.
const TRIES: usize = 32;

/// Gives the source of `work.flow` a port at which no other flow hears from the same backend.
#[inline(never)]
pub fn take_port<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<(), DropReason> {
    let PortRange { first, count } = context.control.masquerade;
    let mut draw = hash::<A>(&Key::of(&work.parsed.tuple), context.control.hash_key);
    for _ in 0..TRIES {
        let offset = ((draw >> 48) * count as u64) >> 16;
        try_port(work, Port::new(first.wrapping_add(offset as u16)));
        if table::vacate(context, work) {
            return Ok(());
        }
        // The next of a full-period sequence (Knuth, MMIX).
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    Err(DropReason::MasqueradePorts)
}

#[inline(never)]
fn try_port<A: Address>(work: &mut Work<A>, source_port: Port) {
    let tuple = work.flow.rewrite.tuple(work.parsed.tuple.protocol);
    work.flow.rewrite = Rewrite::between(&work.parsed.tuple, &Tuple { source_port, ..tuple });
}
