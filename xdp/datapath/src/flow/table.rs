//! Buckets by hash, and pairs: a flow is two entries that come and go together.

use abi::{flow::seen, reason::DropReason};

use super::{
    bucket::{self, Hit, Inserted, Key},
    entry::{Flow, Looks, Rewrite},
    hash::hash,
};
use crate::{Address, Context, Tables, Tuple, Word};

/// An entry with the place of its statistics.
pub struct Found<'t, A: Address, T: Tables> {
    pub hit: Hit<'t, A, T::Word>,
    pub bucket: u32,
}

/// Finds the entry of a tuple.
#[inline(always)]
pub fn find<'t, A: Address, T: Tables>(
    tables: &Context<'t, T>,
    tuple: &Tuple<A>,
) -> Option<Found<'t, A, T>> {
    let key = Key::of(tuple);
    let hash = hash::<A>(&key, tables.control.hash_key);
    let bucket = hash as u32 & A::flow_mask(tables.control);
    let hit = bucket::find::<A, T::Word>(A::flows(tables.tables, bucket)?, hash, &key)?;
    Some(Found { hit, bucket })
}

/// Inserts the pair of entries of a new flow and gives the forward one, ours or one that another
/// processor opened meanwhile. Replies first, so that no packet can be answered by one that is
/// not known yet.
#[inline(always)]
pub fn open<'t, A: Address, T: Tables>(
    tables: &Context<'t, T>,
    tuple: &Tuple<A>,
    flow: &Flow<A>,
) -> Result<Found<'t, A, T>, DropReason> {
    let reply = match insert(tables, tuple, flow, Side::Partner) {
        Some((Inserted::New(hit), _)) => hit,
        Some((Inserted::Existing(hit), _)) if leads_to(&hit.rewrite(), tuple) => hit,
        Some((Inserted::Existing(_), _)) => return Err(DropReason::FlowConflict),
        Some((Inserted::Full, _)) => return Err(DropReason::FlowTableFull),
        None => return Err(DropReason::MissingMap),
    };
    match insert(tables, tuple, flow, Side::Own) {
        Some((Inserted::New(hit) | Inserted::Existing(hit), bucket)) => Ok(Found { hit, bucket }),
        Some((Inserted::Full, _)) | None => {
            reply.retire();
            Err(DropReason::FlowTableFull)
        }
    }
}

/// Which entry of a pair to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Own,
    Partner,
}

/// Inserts one entry of the pair that `flow` opens for `tuple`; also gives its bucket. Out of
/// line for the sake of the kernel's stack: the entry that is not inserted is never built.
#[inline(never)]
fn insert<'t, A: Address, T: Tables>(
    tables: &Context<'t, T>,
    tuple: &Tuple<A>,
    flow: &Flow<A>,
    side: Side,
) -> Option<(Inserted<'t, A, T::Word>, u32)> {
    let (key, flow) = match side {
        Side::Own => (Key::of(tuple), *flow),
        Side::Partner => flow.mirror(tuple),
    };
    let hash = hash::<A>(&key, tables.control.hash_key);
    let index = hash as u32 & A::flow_mask(tables.control);
    let bucket = A::flows(tables.tables, index)?;
    let inserted =
        bucket::insert::<A, T::Word>(bucket, hash, &key, &flow, &tables.control.timeouts);
    if let Inserted::New(hit) = &inserted
        && let Some([packets, bytes]) = stats::<A, T>(tables, index, hit.way)
    {
        packets.store(0);
        bytes.store(0);
    }
    Some((inserted, index))
}

/// Frees an entry and its partner.
#[inline(never)]
pub fn retire_pair<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    found: &Found<'_, A, T>,
    protocol: u8,
) {
    let partner = found.hit.rewrite().tuple(protocol).reversed();
    if found.hit.retire()
        && let Some(partner) = find(tables, &partner)
    {
        partner.hit.retire();
    }
}

/// Marks the partner as seen now, in the given state, or inserts it again where it was replaced.
#[inline(always)]
pub fn refresh_partner<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    tuple: &Tuple<A>,
    flow: &Flow<A>,
) {
    if let Some((Inserted::Existing(hit), _)) = insert(tables, tuple, flow, Side::Partner) {
        let old = hit.looks();
        let state = old.state | (flow.looks.state & seen::ANSWERED);
        hit.set_looks(old, Looks { seen: flow.looks.seen, state, ..old });
    }
}

/// Adds a packet of `bytes` to the entry's statistics. Processors that share a flow may lose
/// each other's counts; nothing but reports reads them.
#[inline(always)]
pub fn account<A: Address, T: Tables>(
    tables: &Context<'_, T>,
    found: &Found<'_, A, T>,
    bytes: u32,
) {
    if let Some([packets, total]) = stats::<A, T>(tables, found.bucket, found.hit.way) {
        packets.store(packets.load().wrapping_add(1));
        total.store(total.load().wrapping_add(bytes as u64));
    }
}

#[inline(always)]
fn stats<'t, A: Address, T: Tables>(
    tables: &Context<'t, T>,
    bucket: u32,
    way: usize,
) -> Option<&'t [T::Word; 2]> {
    A::stats(tables.tables, bucket)?.get(way)
}

/// Whether replies translated this way go to whoever sent `tuple`.
#[inline(always)]
fn leads_to<A: Address>(reply: &Rewrite<A>, tuple: &Tuple<A>) -> bool {
    reply.tuple(tuple.protocol).reversed() == *tuple
}
