//! Next hops of replies that go back out: the kernel's route is asked for where a flow is looked at, and
//! the flow remembers the neighbour that it leads to. The agent knows the neighbours of its uplinks, and
//! has all flows looked at again when routes change.

use abi::next_hop::{Neighbours, NextHop};

use crate::{Address, Context, Hook, Packet, Tables, Work, relay};

/// A next hop by its id.
#[inline(always)]
pub fn hop<'t, T: Tables>(context: &Context<'t, T>, id: u32) -> Option<&'t NextHop> {
    if id & Neighbours::ID == 0 {
        context.tables.next_hop(id)
    } else {
        context.tables.neighbour(id & (Neighbours::ENTRIES - 1))
    }
}

/// Whether the packet of `work.flow` is a reply that goes back out, or to a workload here.
#[inline(always)]
pub fn is_reply_from_wire<A, T>(context: &Context<'_, T>, work: &Work<A>) -> bool {
    let target = work.flow.target;
    context.hook == Hook::UplinkIngress && target.is_reply() && target.is_translated()
}

/// The id of the neighbour that the kernel would send such a reply to once it is translated; 0 where
/// that is the kernel's own business. `other` is the next hop of the other direction: if the kernel
/// sees that, it is to see both.
#[inline(never)]
pub fn find<A: Address, P: Packet, T: Tables>(
    packet: &P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
    other: u32,
) -> u32 {
    if work.arrival.is_through_tunnel() {
        return 0;
    }
    // The route is asked for, and not what is remembered of it.
    work.flow.looks.next_hop = 0;
    relay::find_hop(packet, work, context);
    // The other direction comes in where this one goes out.
    let goes_past =
        |it: &NextHop| it.is_usable() && (it.interface == work.hop.interface || it.takes_frames());
    if !(relay::is_relayed(work.flow.target.kind) || hop(context, other).is_some_and(goes_past)) {
        return 0;
    }
    place(context, &work.hop).map_or(0, |place| Neighbours::ID | place)
}

/// Where a next hop is in the table of neighbours.
#[inline(always)]
fn place<T: Tables>(context: &Context<'_, T>, hop: &NextHop) -> Option<u32> {
    if !hop.is_usable() {
        return None;
    }
    let [a, b, c, d, e, f, _, _] = hop.destination;
    let first = Neighbours::bucket(hop.destination, hop.interface) * Neighbours::WAYS;
    for place in first..first + Neighbours::WAYS {
        let known = context.tables.neighbour(place)?;
        let [g, h, i, j, k, l, _, _] = known.destination;
        let is_it = known.is_usable()
            && [a, b, c, d, e, f] == [g, h, i, j, k, l]
            && hop.source == known.source
            // A route's own MTU may be smaller than its link's.
            && (hop.interface, hop.mtu) == (known.interface, known.mtu);
        if is_it {
            return Some(place);
        }
    }
    None
}
