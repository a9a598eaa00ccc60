//! From a service address to one backend.

use abi::{
    address::Leaf,
    flow::kind,
    reason::DropReason,
    record::{Backend, Range},
    table::Table,
};

use crate::{
    Address, Context, Tables, Tuple,
    classify::Ends,
    flow::{Key, entry::Target, hash::hash},
    tuple::Port,
};

/// Where a new connection goes.
#[derive(Debug, Clone, Copy)]
pub struct Choice<A> {
    /// The tuple as the backend sees it.
    pub tuple: Tuple<A>,
    pub target: Target,
    pub next_hop: u32,
}

/// What the services say to a new connection.
pub enum Steering<A> {
    /// The destination is no frontend.
    None,
    To(Choice<A>),
    /// The service has nobody to answer, and says so.
    Reject,
    Drop(DropReason),
}

/// The hash of backend choice has a fixed key, so that every node chooses alike.
const CHOICE_KEY: [u64; 2] = [0x5a6f_6e65_4761_7465, 0x6261_636b_656e_6473];

/// Looks the destination up among the frontends and chooses a backend by the tuple's hash.
#[inline(never)]
pub fn steer<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    ends: Ends,
    tuple: &Tuple<A>,
) -> Steering<A> {
    if !ends.destination.has(Leaf::FRONTEND) {
        return Steering::None;
    }
    let key = tuple.destination.frontend_key(tuple.destination_port, tuple.protocol, tables.side);
    let Some(service) = tables.tables.frontend(&key).filter(|_| tuple.has_ports()) else {
        return if ends.destination.has(Leaf::SERVICE_ONLY) {
            Steering::Drop(DropReason::NoFrontend)
        } else {
            Steering::None
        };
    };
    let service = service as u32;
    let Some(record) = tables.service(service) else {
        return Steering::Drop(DropReason::MissingMap);
    };
    let range = if ends.source.has(Leaf::WORKLOAD) { record.internal } else { record.external };
    match range {
        Range::REJECT => Steering::Reject,
        Range::DROP => Steering::Drop(DropReason::NoEndpoint),
        _ => match choose(tables, range, tuple) {
            Some((backend, record)) => {
                let destination = A::from_field(&record.address);
                let translated = Tuple {
                    destination,
                    destination_port: Port(u16::from_ne_bytes(record.port)),
                    ..*tuple
                };
                let target = Target { backend, service, kind: kind::DNAT };
                Steering::To(Choice { tuple: translated, target, next_hop: record.next_hop })
            }
            None => Steering::Drop(DropReason::BackendMissing),
        },
    }
}

/// The slot's backend: the hash's upper half, scaled to the range by multiply and shift.
#[inline(always)]
fn choose<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    range: Range,
    tuple: &Tuple<A>,
) -> Option<(u32, Backend)> {
    let hash = hash::<A>(&Key::of(tuple), CHOICE_KEY) >> 32;
    let slot = range.start().wrapping_add((hash * range.size() as u64 >> 32) as u32);
    let pair = tables.word(Table::Slots, slot >> 1)?;
    let id = (pair >> ((slot & 1) * 32)) as u32;
    let record = *tables.backend(id)?;
    (id != 0 && record.flags & Backend::SERVING != 0).then_some((id, record))
}

/// Whether a flow may stay on its backend.
#[inline(always)]
pub fn still_serves<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    backend: u32,
    address: A,
    port: Port,
) -> bool {
    tables.backend(backend).is_some_and(|record| {
        record.flags & Backend::SERVING != 0
            && A::from_field(&record.address) == address
            && record.port == port.0.to_ne_bytes()
    })
}
