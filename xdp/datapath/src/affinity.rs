//! Clients that stay with a backend: from one connection to a service to the next.
//!
//! Kubernetes' `sessionAffinity: ClientIP`. What is remembered is a hint: it counts only while it is
//! fresh and the backend is among those that the client could get anyway.

use abi::{
    affinity::{Affinity, AffinityKey},
    record::{Backend, Range, Service},
};

use crate::{Address, Context, Tables, flow::entry::Target};

/// Whether a service has its clients stay with their backends.
#[inline(always)]
pub fn is_kept<T: Tables>(context: &Context<'_, T>, service: u32) -> bool {
    context.service(service).is_some_and(|record| record.affinity != 0)
}

/// The backend that a service remembers for a client whose slots are `range`; 0 is none.
#[inline(never)]
pub fn recall<A: Address, T: Tables>(
    context: &Context<'_, T>,
    service: u32,
    range: Range,
    client: &A,
) -> u32 {
    let Some(&Service { affinity, affinity_timeout, .. }) = context.service(service) else {
        return 0;
    };
    let key = AffinityKey { client: client.field(), service: affinity };
    let Some(Affinity { opened, backend, .. }) = context.tables.affinity(&key) else { return 0 };
    let timeout = affinity_timeout as u64 * context.control.jiffies_per_second as u64;
    // Another processor may have opened a connection since this one looked at the clock.
    let age = context.tables.clock().saturating_sub(opened);
    let eligible = context.backend(backend).is_some_and(|record: &Backend| {
        record.affinity == affinity && record.flags & range.mark() != 0
    });
    if age <= timeout && eligible { backend } else { 0 }
}

/// Remembers which backend a client's connection through a service that does so leads to.
#[inline(never)]
pub fn remember<A: Address, T: Tables>(context: &Context<'_, T>, client: &A, target: Target) {
    let Some(&Service { affinity, .. }) = context.service(target.service) else { return };
    let key = AffinityKey { client: client.field(), service: affinity };
    let opened = context.tables.clock();
    let affinity = Affinity { opened, backend: target.backend, padding: 0 };
    context.tables.remember(&key, &affinity);
}
