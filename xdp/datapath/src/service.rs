//! From a service address to one backend.

use abi::{
    address::Leaf,
    flow::kind,
    reason::DropReason,
    record::{Backend, Intervals, Range, Service},
    table::Table,
};

use crate::{
    Address, Context, Tables, Tuple, affinity,
    classify::Ends,
    flow::{Key, entry::Target, hash::hash},
    intervals::contains,
    tuple::{Port, protocol},
};

/// Where a new connection goes.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub target: Target,
    pub next_hop: u32,
    /// The client's address is not for the backend to see.
    pub snat: bool,
}

/// What the services say to a new connection.
pub enum Steering {
    /// The destination is no frontend.
    None,
    /// A backend was chosen.
    Chosen,
    /// The service has nobody to answer, and says so.
    Reject,
    Drop(DropReason),
}

/// What a frontend has for one client.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub service: u32,
    pub range: Range,
    /// What goes to a backend elsewhere goes through a tunnel.
    pub tunnel: bool,
}

/// The hash of backend choice has a fixed key, so that every node chooses alike.
const CHOICE_KEY: [u64; 2] = [0x5a6f_6e65_4761_7465, 0x6261_636b_656e_6473];

/// Looks the destination up among the frontends, takes the backend that the service remembers for
/// the client or chooses one by the tuple's hash, and makes the tuple the one that the backend sees.
///
/// The keys of IPv6 fill the stack; they are looked up out of line.
#[inline(always)]
pub fn steer<A: Address, T: Tables>(
    context: &Context<'_, T>,
    ends: Ends,
    tuple: &mut Tuple<A>,
    choice: &mut Choice,
) -> Steering {
    if A::V6 {
        steer_apart(context, ends, tuple, choice)
    } else {
        steer_in_place(context, ends, tuple, choice)
    }
}

#[inline(never)]
fn steer_apart<A: Address, T: Tables>(
    context: &Context<'_, T>,
    ends: Ends,
    tuple: &mut Tuple<A>,
    choice: &mut Choice,
) -> Steering {
    steer_in_place(context, ends, tuple, choice)
}

#[inline(always)]
fn steer_in_place<A: Address, T: Tables>(
    context: &Context<'_, T>,
    ends: Ends,
    tuple: &mut Tuple<A>,
    choice: &mut Choice,
) -> Steering {
    let Offer { service, range, tunnel } = match offer(context, ends, tuple) {
        Ok(Some(offer)) => offer,
        Ok(None) => return Steering::None,
        Err(reason) => return Steering::Drop(reason),
    };
    match range {
        Range::REJECT => Steering::Reject,
        Range::DROP => Steering::Drop(DropReason::NoEndpoint),
        _ => match choose(context, service, range, tuple) {
            Some((backend, record)) => {
                let elsewhere = tunnel && record.next_hop != 0;
                let kind = kind::DNAT | if elsewhere { kind::TUNNEL } else { 0 };
                lead(tuple, choice, record, Target { backend, service, kind });
                choice.snat = range.snat();
                Steering::Chosen
            }
            None => Steering::Drop(DropReason::BackendMissing),
        },
    }
}

/// Has the tuple lead to a backend.
#[inline(always)]
pub fn lead<A: Address>(
    tuple: &mut Tuple<A>,
    choice: &mut Choice,
    record: &Backend,
    target: Target,
) {
    tuple.destination = A::from_field(&record.address);
    tuple.destination_port = Port(u16::from_ne_bytes(record.port));
    choice.target = target;
    choice.next_hop = record.next_hop;
}

/// The service that a packet out of a tunnel is for. A port of another node is found at the
/// unspecified address.
#[inline(never)]
pub fn tunnelled<A: Address, T: Tables>(
    context: &Context<'_, T>,
    tuple: &Tuple<A>,
) -> Result<u32, DropReason> {
    let find = |address: A| {
        let key = address.frontend_key(tuple.destination_port, tuple.protocol, context.side);
        let service = context.tables.frontend(&key)? as u32;
        let record = context.service(service)?;
        (record.flags & Service::TUNNEL != 0).then_some((service, record))
    };
    let found = find(tuple.destination).or_else(|| find(A::from_field(&[0; 16])));
    let found = found.filter(|_| tuple.has_ports());
    let (service, record) = found.ok_or(DropReason::Tunnelled)?;
    admit(context, record, &tuple.source)?;
    Ok(service)
}

/// Refuses whom a guarded service is not for.
#[inline(always)]
fn admit<A: Address, T: Tables>(
    context: &Context<'_, T>,
    record: &Service,
    client: &A,
) -> Result<(), DropReason> {
    if record.flags & Service::GUARDED != 0
        && !contains(context, record.sources.0, client).ok_or(DropReason::MissingMap)?
    {
        return Err(DropReason::SourceRange);
    }
    Ok(())
}

/// What the destination, if it is a frontend, has for a client with the tuple's source.
#[inline(always)]
pub fn offer<A: Address, T: Tables>(
    context: &Context<'_, T>,
    ends: Ends,
    tuple: &Tuple<A>,
) -> Result<Option<Offer>, DropReason> {
    let key = tuple.destination.frontend_key(tuple.destination_port, tuple.protocol, context.side);
    let Some(service) = context.tables.frontend(&key).filter(|_| tuple.has_ports()) else {
        let nothing_else = ends.destination.has(Leaf::SERVICE_ONLY);
        return if nothing_else { Err(DropReason::NoFrontend) } else { Ok(None) };
    };
    let service = service as u32;
    let record = context.service(service).ok_or(DropReason::MissingMap)?;
    let client = &tuple.source;
    let is_in =
        |intervals: Intervals| contains(context, intervals.0, client).ok_or(DropReason::MissingMap);
    admit(context, record, client)?;
    let range = if ends.source.has(Leaf::THIS_NODE) {
        record.node
    } else if ends.source.has(Leaf::WORKLOAD)
        || (record.pods != record.outside && is_in(record.pod_prefixes)?)
    {
        record.pods
    } else {
        let tunnel = record.flags & Service::TUNNEL != 0;
        return Ok(Some(Offer { service, range: record.outside, tunnel }));
    };
    Ok(Some(Offer { service, range, tunnel: false }))
}

/// The backend of a new connection, by number.
#[inline(always)]
fn choose<'c, A: Address, T: Tables>(
    context: &'c Context<'_, T>,
    service: u32,
    range: Range,
    tuple: &Tuple<A>,
) -> Option<(u32, &'c Backend)> {
    let mut id = 0;
    if affinity::is_kept(context, service) {
        id = affinity::recall(context, service, range, &tuple.source);
    }
    if id == 0 {
        id = by_slot(context, range, tuple)?;
    }
    serving(context, id).map(|record| (id, record))
}

/// A backend's record, if it takes connections.
#[inline(always)]
pub fn serving<'c, T: Tables>(context: &'c Context<'_, T>, id: u32) -> Option<&'c Backend> {
    let record = context.backend(id)?;
    (id != 0 && record.flags & Backend::SERVING != 0).then_some(record)
}

/// The slot's backend: the hash's upper half, scaled to the range by multiply and shift.
#[inline(always)]
fn by_slot<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    range: Range,
    tuple: &Tuple<A>,
) -> Option<u32> {
    let hash = hash::<A>(&Key::of(tuple), CHOICE_KEY) >> 32;
    let slot = range.start().wrapping_add(((hash * range.size() as u64) >> 32) as u32);
    let pair = tables.word(Table::Slots, slot >> 1)?;
    Some((pair >> ((slot & 1) * 32)) as u32)
}

/// Whether a flow may stay on its backend. A backend that does not serve any more keeps its
/// connections, whose ends tell each other when they are over; UDP's do not, and clients are to ask
/// again.
#[inline(always)]
pub fn still_serves<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    backend: u32,
    address: A,
    port: Port,
    protocol: u8,
) -> bool {
    tables.backend(backend).is_some_and(|record| {
        (record.flags & Backend::SERVING != 0 || protocol != protocol::UDP)
            && A::from_field(&record.address) == address
            && record.port == port.0.to_ne_bytes()
    })
}
