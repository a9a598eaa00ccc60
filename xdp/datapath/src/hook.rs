//! The fast path: what each hook does with a packet of a known flow.

use abi::{
    control::Timeouts,
    flow::{kind, seen},
    next_hop::NextHop,
    reason::{DropReason, PassReason},
};

use crate::{
    Address, Context, Ends, Packet, Tables, Word,
    flow::{
        self, Hit, Looks,
        bucket::idle,
        entry::{Epochs, Target},
        table::{Found, account},
    },
    fragment,
    handshake::is_awaited,
    neighbour,
    parse::{Kind, Parsed, tcp},
    relay, rewrite,
    tuple::protocol,
};

/// Where a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// XDP on the NIC: from the wire.
    UplinkIngress,
    /// tc on the NIC: from the wire, what [`Self::UplinkIngress`] has handed over.
    UplinkHandover,
    /// tc on the NIC: to the wire.
    UplinkEgress,
    /// tc on the host side of a workload's port: from the workload.
    WorkloadIngress,
    /// tc on the host side of a workload's port: to the workload.
    WorkloadEgress,
    /// cgroup, at the sockets of the node's own processes: no packets come by here.
    Socket,
}

impl Hook {
    /// Packets here come from outside the kernel, and may be sent on without it.
    #[inline(always)]
    pub(crate) const fn is_inbound(self) -> bool {
        matches!(self, Self::UplinkIngress | Self::UplinkHandover | Self::WorkloadIngress)
    }

    /// Whether packets of a flow that the kernel is to see are translated here: the forward
    /// direction comes in here, or replies go out. The kernel does not see what has its source
    /// translated.
    #[inline(always)]
    pub(crate) fn translates(self, target: Target) -> bool {
        let inbound = target.kind & kind::SNAT != 0 || !target.is_reply();
        target.is_translated() && inbound == self.is_inbound()
    }

    /// Whether packets of a flow go back from here to the workload that they come from, which
    /// reaches itself through a service.
    #[inline(always)]
    pub(crate) fn turns_around(self, target: Target) -> bool {
        self == Self::WorkloadIngress && target.kind & kind::HAIRPIN != 0
    }
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel goes on with it.
    Pass(PassReason),
    Drop(DropReason),
    /// Out of the interface it came in by.
    Transmit(PassReason),
    /// Out of another interface, by index.
    Redirect(u32, PassReason),
    /// Out of an interface, by index, once the kernel knows the neighbour's link address.
    Resolve(u32, PassReason),
    /// The NIC's tc hook goes on with it: [`Hook::UplinkHandover`]. Here it is not counted.
    Handover(PassReason),
    /// The slow path decides: [`crate::slow`].
    Miss,
}

/// What the fast path leaves to the slow one.
#[derive(Debug, Clone, Copy)]
pub enum Miss {
    /// A flow that the slow path has to look at, or a packet that is nothing plain.
    Look,
    /// No flow has the packet's tuple, whose ends are known already.
    New(Ends),
}

/// Handles a packet of a flow that was judged under the tables in force and that the kernel may
/// route, and what comes in that is nobody's here; anything else is a [`Miss`], and so is SCTP: its
/// checksum alone would double this program. `interface` is the index of the interface the hook is
/// on.
#[inline(always)]
pub fn run<A: Address, P: Packet, T: Tables>(
    hook: Hook,
    interface: u32,
    packet: &mut P,
    parsed: &Parsed<A>,
    tables: &T,
) -> Result<Verdict, Miss> {
    let context = match Context::new(hook, interface, tables) {
        Ok(context) => context,
        Err(no_side) => return Ok(no_side.verdict()),
    };
    if hook == Hook::UplinkHandover {
        return Err(Miss::Look);
    }
    let is_plain = matches!(parsed.kind, Kind::Flow | Kind::Portless);
    if !is_plain || parsed.tuple.protocol == protocol::SCTP {
        return match hook {
            Hook::UplinkEgress => leave(packet, parsed, &context),
            _ => Err(Miss::Look),
        };
    }
    let Some(found) = flow::find(&context, &parsed.tuple) else {
        return unknown(&context, parsed);
    };
    let looks = found.looks();
    let target = found.target();
    // Whatever leaves by the uplink was looked at where it came in, but for the node's own answers.
    let is_missed = match hook {
        Hook::UplinkEgress => target.is_reply() && is_awaited(looks),
        _ => relay::is_relayed(target.kind) || needs_a_look(&context, &found, looks, parsed),
    };
    if is_missed {
        return Err(Miss::Look);
    }
    Ok(forward(packet, parsed, &context, &found, PassReason::Established))
}

/// A packet whose tuple no flow has.
#[inline(always)]
fn unknown<A: Address, T: Tables>(
    context: &Context<'_, T>,
    parsed: &Parsed<A>,
) -> Result<Verdict, Miss> {
    match context.hook {
        Hook::UplinkEgress => return Ok(Verdict::Pass(PassReason::NotOurs)),
        Hook::WorkloadEgress if is_translated_earlier(context, parsed) => {
            return Ok(Verdict::Pass(PassReason::Established));
        }
        _ => {}
    }
    let Some(ends) = Ends::find(&parsed.tuple, context) else {
        return Ok(Verdict::Drop(DropReason::MissingMap));
    };
    if context.hook == Hook::UplinkIngress && ends.are_elsewhere() && parsed.tuple.is_ordinary() {
        return Ok(Verdict::Pass(PassReason::NotOurs));
    }
    Err(Miss::New(ends))
}

/// What leaves by the uplink and is not plain: SCTP, later fragments of replies, and errors that are
/// about a reply's flow.
#[inline(always)]
fn leave<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
) -> Result<Verdict, Miss> {
    match parsed.kind {
        Kind::IcmpError | Kind::Flow => Err(Miss::Look),
        Kind::LaterFragment => Ok(match fragment::find(context, parsed) {
            Some(found) => fragment::forward(packet, parsed, context, &found),
            None => Verdict::Pass(PassReason::NotOurs),
        }),
        _ => Ok(Verdict::Pass(PassReason::NotOurs)),
    }
}

/// Whether this is the forward direction of a judged flow whose destination another hook has
/// already translated: then its replies are known.
#[inline(always)]
pub fn is_translated_earlier<A: Address, T: Tables>(
    context: &Context<'_, T>,
    parsed: &Parsed<A>,
) -> bool {
    let Some(found) = flow::find(context, &parsed.tuple.reversed()) else { return false };
    let target = found.target();
    target.is_reply() && target.is_translated() && is_judged(context, &found)
}

/// Whether the entry's verdict is of the policy and services in force.
#[inline(always)]
pub fn is_judged<A: Address, W: Word>(
    context: &Context<'_, impl Tables>,
    hit: &Hit<'_, A, W>,
) -> bool {
    let epochs = hit.epochs();
    context.epoch(epochs.source, epochs.destination) == Some(epochs.sum)
}

/// Whether the slow path has to see the packet: policy or services changed, the entry is due for
/// a refresh, the packet is one that was awaited, a closed connection is opened again, fragments
/// follow, or the source does not belong here.
#[inline(always)]
pub fn needs_a_look<A: Address, W: Word>(
    context: &Context<'_, impl Tables>,
    hit: &Hit<'_, A, W>,
    looks: Looks,
    parsed: &Parsed<A>,
) -> bool {
    let Timeouts { refresh, .. } = context.control.timeouts;
    idle(looks.seen, context.tables.now()) > refresh
        || is_awaited(looks)
        || (parsed.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN
            && parsed.tuple.protocol == protocol::TCP)
        || parsed.first_fragment
        || !is_judged(context, hit)
        || !is_at_home(context, hit)
}

/// Whether the source may come in here: nobody sends into another's flow.
#[inline(always)]
fn is_at_home<A: Address, W: Word>(
    context: &Context<'_, impl Tables>,
    hit: &Hit<'_, A, W>,
) -> bool {
    let Epochs { source, .. } = hit.epochs();
    match context.hook {
        Hook::UplinkIngress => source == 0,
        Hook::WorkloadIngress => {
            context.tables.port(source).is_some_and(|port| port.interface == context.interface)
        }
        Hook::UplinkHandover | Hook::UplinkEgress | Hook::WorkloadEgress | Hook::Socket => true,
    }
}

/// Translates a packet of a flow that the kernel may route, and sends it on.
///
/// The forward direction is translated where it comes in, so that the kernel sees client and
/// backend. Replies are translated where they go out, or where they come in if they are sent on
/// past the kernel.
#[inline(always)]
pub fn forward<A: Address, P: Packet, T: Tables>(
    packet: &mut P,
    parsed: &Parsed<A>,
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
    reason: PassReason,
) -> Verdict {
    let Context { hook, interface, .. } = *context;
    let target = found.target();
    let looks = found.looks();
    let hop = if hook.is_inbound() {
        reachable_hop(context, looks.next_hop, packet, parsed)
    } else {
        None
    };
    let rewrite = found.rewrite();
    if !found.is_current() {
        return Verdict::Drop(DropReason::FlowRace);
    }
    let hairpin = hook.turns_around(target);
    let here = hook.translates(target) || (target.is_translated() && hop.is_some());
    if here && let Err(reason) = rewrite::translate(packet, parsed, &rewrite) {
        return Verdict::Drop(reason);
    }
    note_end(found, looks, parsed);
    // Once on its way through the node: what its own processes send is not counted.
    if hook.is_inbound() {
        account(found, parsed.length);
    }
    if hairpin {
        return match rewrite::turn_around(packet) {
            Ok(()) => Verdict::Transmit(reason),
            Err(reason) => Verdict::Drop(reason),
        };
    }
    let Some(hop) = hop else { return Verdict::Pass(reason) };
    match rewrite::address_frame(packet, parsed, hop) {
        Ok(()) if hop.interface == interface => Verdict::Transmit(reason),
        Ok(()) => Verdict::Redirect(hop.interface, reason),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// [`usable_hop`], if this hook can send there.
#[inline(always)]
fn reachable_hop<'t, A: Address, P: Packet, T: Tables>(
    context: &Context<'t, T>,
    id: u32,
    packet: &P,
    parsed: &Parsed<A>,
) -> Option<&'t NextHop> {
    let hop = usable_hop(context, id, packet, parsed)?;
    relay::is_in_reach(context, hop).then_some(hop)
}

/// The next hop, if the packet may be sent there without the kernel: it answers expired hop
/// limits and packets that are too large.
#[inline(always)]
pub fn usable_hop<'t, A: Address, P: Packet, T: Tables>(
    context: &Context<'t, T>,
    id: u32,
    packet: &P,
    parsed: &Parsed<A>,
) -> Option<&'t NextHop> {
    if id == 0 || parsed.ttl <= 1 {
        return None;
    }
    let hop = neighbour::hop(context, id)?;
    let headers = parsed.transport - parsed.network;
    (hop.is_usable() && packet.wire_length(parsed.length, headers) <= hop.mtu).then_some(hop)
}

/// Records that a TCP direction has ended, which shortens the flow's life.
#[inline(always)]
pub fn note_end<A: Address, W: Word>(hit: &Hit<'_, A, W>, looks: Looks, parsed: &Parsed<A>) {
    if parsed.tcp_flags & (tcp::FIN | tcp::RST) == 0 {
        return;
    }
    let fin = (parsed.tcp_flags & tcp::FIN != 0) as u8 * seen::FIN;
    let rst = (parsed.tcp_flags & tcp::RST != 0) as u8 * seen::RST;
    hit.set_looks(looks, Looks { state: looks.state | fin | rst, ..looks });
}
