//! Direct server return: what outsiders send to a backend elsewhere goes there as it is, inside
//! another IP header (RFC 2003, RFC 2473), and the backend's node answers the client itself.

use abi::{address::Leaf, flow::kind, reason::DropReason};

use crate::{
    Address, Context, Packet, Tables, Work,
    classify::Ends,
    flow::{Rewrite, entry::Target},
    parse::{Kind, Parsed},
    rewrite,
    service::{self, Choice, Steering},
};

/// How a packet came to the slow path. It is the first of [`Work`], where both families have it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Arrival {
    stage: u32,
    padding: u32,
    /// Where the tunnel led, as [`Address::field`] has it.
    end: [u32; 4],
}

impl Arrival {
    const UNWRAPPED: u32 = 1;
    const THROUGH_TUNNEL: u32 = 2;

    /// For a packet that comes from the fast path.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.stage = 0;
    }

    /// Whether the packet was unwrapped just now.
    #[inline(always)]
    pub fn advance(&mut self) -> bool {
        let unwrapped = self.stage == Self::UNWRAPPED;
        if unwrapped {
            self.stage = Self::THROUGH_TUNNEL;
        }
        unwrapped
    }

    #[inline(always)]
    pub fn is_through_tunnel(&self) -> bool {
        self.stage == Self::THROUGH_TUNNEL
    }
}

/// Whether packets of a flow are sent through a tunnel.
#[inline(always)]
pub const fn is_tunnelled(kind: u8) -> bool {
    kind & (kind::TUNNEL | kind::REPLY) == kind::TUNNEL
}

/// Bytes that a flow's packets grow by.
#[inline(always)]
pub const fn overhead<A: Address>(kind: u8) -> u32 {
    if is_tunnelled(kind) { A::HEADER } else { 0 }
}

/// Puts the packet into another one, to where its flow leads.
#[inline(never)]
pub fn wrap<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    to: &Rewrite<A>,
    context: &Context<'_, T>,
) -> Result<(), DropReason> {
    let node = context.node().ok_or(DropReason::MissingMap)?;
    let source = A::masquerade(node).ok_or(DropReason::MasqueradeAddress)?;
    rewrite::decrement_ttl::<A, P>(packet, parsed.network)?;
    let class = A::traffic_class(packet, parsed.network).ok_or(DropReason::Rewrite)?;
    // What is inside may be of another ECN mind than who unwraps it (RFC 6040, compatibility mode).
    let class = class & 0xfc;
    let addresses = (source, to.destination);
    let done = packet.insert(parsed.network, A::HEADER)
        && A::write_outer(packet, parsed.network, class, parsed.length, addresses);
    if done { Ok(()) } else { Err(DropReason::Rewrite) }
}

/// Whether a packet may have another one in it.
#[inline(always)]
pub fn is_wrapper<A: Address>(parsed: &Parsed<A>) -> bool {
    let Parsed { tuple, kind, network, transport, .. } = parsed;
    *kind == Kind::Portless && tuple.protocol == A::TUNNEL && transport - network == A::HEADER
}

/// Takes a packet out of the one that another node has put it into; says whether there was any. The
/// slow path begins anew with it.
///
/// Others may have tunnels between the same nodes: only what is inside for a service, or for a
/// port of another node, is ours.
#[inline(never)]
pub fn unwrap<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    work: &mut Work<A>,
    context: &Context<'_, T>,
) -> Result<bool, DropReason> {
    let Parsed { tuple, network, transport, .. } = work.parsed;
    let ends = Ends::of(&tuple, context).ok_or(DropReason::MissingMap)?;
    let is_here = ends.destination.endpoint() != 0 || ends.destination.has(Leaf::THIS_NODE);
    if !is_here || !ends.source.has(Leaf::OTHER_NODE) {
        return Ok(false);
    }
    let Some((_, inner)) = A::load_pair(packet, transport) else { return Ok(false) };
    let inner = inner.leaf(context).ok_or(DropReason::MissingMap)?;
    if !inner.has(Leaf::FRONTEND) && !inner.has(Leaf::OTHER_NODE) {
        return Ok(false);
    }
    if work.arrival.is_through_tunnel() {
        return Err(DropReason::Tunnelled);
    }
    if !packet.remove(network, A::HEADER) {
        return Err(DropReason::Rewrite);
    }
    work.arrival.end = tuple.destination.field();
    work.arrival.stage = Arrival::UNWRAPPED;
    Ok(true)
}

/// Whether a flow that a packet belongs to leads elsewhere than the tunnel that the packet came
/// through: the node that chose the backend knows better.
#[inline(always)]
pub fn is_diverted<A: Address>(arrival: &Arrival, rewrite: &Rewrite<A>, target: Target) -> bool {
    arrival.is_through_tunnel()
        && !target.is_reply()
        && (rewrite.destination.field() != arrival.end || is_tunnelled(target.kind))
}

/// Has `work.judged` lead to the backend that another node has chosen.
#[inline(never)]
pub fn steer<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
    choice: &mut Choice,
) -> Steering {
    let tuple = &mut work.judged;
    let service = match service::tunnelled(context, tuple) {
        Ok(service) => service,
        Err(reason) => return Steering::Drop(reason),
    };
    let end = A::of_field(work.arrival.end);
    let key = end.frontend_key(tuple.destination_port, 0, context.side).tunnelled(service);
    let backend = context.tables.frontend(&key).unwrap_or(0) as u32;
    match service::serving(context, backend) {
        Some(record) => {
            service::lead(tuple, choice, record, Target { backend, service, kind: kind::DNAT });
            Steering::Chosen
        }
        None => Steering::Drop(DropReason::Tunnelled),
    }
}
