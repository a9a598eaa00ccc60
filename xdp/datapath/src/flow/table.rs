//! Buckets by hash, and pairs: a flow is two entries that come and go together.

use abi::{
    control::Control,
    flow::{WAYS, seen},
    reason::DropReason,
};

use super::{
    bucket::{self, Hit, Inserted, Key, homes},
    entry::{Flow, Looks},
    hash::hash,
};
use crate::{Address, Context, Tables, Tuple, Word, Work, handshake};

/// The entry of a tuple.
pub type Found<'t, A, T> = Hit<'t, A, <T as Tables>::Word>;

/// Finds the entry of a tuple.
#[inline(always)]
pub fn find<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    tuple: &Tuple<A>,
) -> Option<Found<'t, A, T>> {
    let Context { tables, control, .. } = *context;
    let key = Key::of(tuple);
    let hash = hash::<A>(&key, control.hash_key);
    let [first, second] = homes(hash, A::flow_mask(control));
    bucket::find::<A, T::Word>(A::flows(tables, first)?, || A::flows(tables, second), hash, &key)
}

/// [`find`], out of line, for the slow path.
#[inline(never)]
pub fn locate<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    tuple: &Tuple<A>,
) -> Option<Found<'t, A, T>> {
    find(context, tuple)
}

/// Inserts the pair of entries of `work.flow`. Replies first, so that no packet can be answered
/// by one that is not known yet. Another processor that opens the same flow meanwhile wins.
#[inline(never)]
pub fn open<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<(), DropReason> {
    let secret = context.control.hash_key;
    let mirrored = work.mirror(secret);
    let mut reply = insert(context, work, mirrored)?;
    if !reply.is_new && !leads_back(context, work, mirrored, reply) {
        vacate(context, work);
        work.mirror(secret);
        reply = insert(context, work, mirrored)?;
        // Another processor may have opened this flow meanwhile.
        if !reply.is_new && !leads_back(context, work, mirrored, reply) {
            return Err(DropReason::FlowConflict);
        }
    }
    work.key = Key::of(&work.parsed.tuple);
    work.entry = work.flow;
    let own = hash::<A>(&work.key, secret);
    let Err(reason) = insert(context, work, own) else { return Ok(()) };
    take_back::<A, T>(context, mirrored, reply);
    Err(reason)
}

/// [`open`], without calls; gives the packet's own entry. Where the replies' key is taken, it says so.
#[inline(always)]
pub fn open_in_place<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    work: &mut Work<A>,
) -> Result<Found<'t, A, T>, DropReason> {
    let Context { tables, control, .. } = *context;
    let mirrored = work.mirror_in_place(control.hash_key);
    let reply = put::<A, T, false>(tables, control, mirrored, &work.key, &work.entry)?;
    if !reply.is_new && !leads_back(context, work, mirrored, reply) {
        return Err(DropReason::FlowConflict);
    }
    work.key = Key::of(&work.parsed.tuple);
    let own = hash::<A>(&work.key, control.hash_key);
    match put::<A, T, true>(tables, control, own, &work.key, &work.flow) {
        Ok(inserted) => at(context, own, inserted).ok_or(DropReason::FlowRace),
        Err(reason) => {
            take_back::<A, T>(context, mirrored, reply);
            Err(reason)
        }
    }
}

/// Frees an entry, unless it was there before.
#[inline(always)]
fn take_back<A: Address, T: Tables>(context: &Context<'_, T>, hash: u64, inserted: Inserted) {
    if inserted.is_new
        && let Some(hit) = at::<A, T>(context, hash, inserted)
    {
        hit.retire();
    }
}

/// Whether the entry of replies that was there already is that of the packet's flow.
#[inline(always)]
fn leads_back<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &Work<A>,
    hash: u64,
    inserted: Inserted,
) -> bool {
    let tuple = &work.parsed.tuple;
    at::<A, T>(context, hash, inserted)
        .is_some_and(|hit| hit.rewrite().tuple(tuple.protocol).reversed() == *tuple)
}

/// The entry at a place of the two buckets of a hash.
#[inline(always)]
fn at<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    hash: u64,
    Inserted { place, .. }: Inserted,
) -> Option<Found<'t, A, T>> {
    let [first, second] = homes(hash, A::flow_mask(context.control));
    let index = if place & WAYS == 0 { first } else { second };
    Hit::at(A::flows(context.tables, index)?, place, hash)
}

/// Whether the key of the replies of `work.flow` is free, or can be had: another flow whose
/// connection is over gives it up.
#[inline(never)]
pub fn vacate<A: Address, T: Tables>(context: &Context<'_, T>, work: &mut Work<A>) -> bool {
    let protocol = work.parsed.tuple.protocol;
    let replies = work.flow.rewrite.tuple(protocol).reversed();
    let Some(found) = locate(context, &replies) else { return true };
    work.entry = found.flow();
    let Looks { seen: looked_at, state, .. } = work.entry.looks;
    let timeout = bucket::timeout(&context.control.timeouts, state);
    let expired = bucket::idle(looked_at, context.tables.now()) > timeout;
    if state & (seen::FIN | seen::RST) == 0 && !expired {
        return false;
    }
    retire_pair(context, &found, &work.entry, protocol);
    true
}

/// Inserts `work.entry` under `work.key`, which has the hash.
#[inline(always)]
fn insert<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &Work<A>,
    hash: u64,
) -> Result<Inserted, DropReason> {
    A::insert(context.tables, work, hash)
}

/// Inserts one entry; see [`bucket::insert`].
#[inline(always)]
pub fn put<A: Address, T: Tables, const MISSED: bool>(
    tables: &T,
    control: &Control,
    hash: u64,
    key: &Key,
    entry: &Flow<A>,
) -> Result<Inserted, DropReason> {
    let [first, second] = homes(hash, A::flow_mask(control));
    let (Some(first), Some(second)) = (A::flows(tables, first), A::flows(tables, second)) else {
        return Err(DropReason::MissingMap);
    };
    bucket::insert::<A, T::Word, MISSED>([first, second], hash, key, entry, control)
}

/// Inserts `work.entry` under a tuple of its own, without a partner, in place of what was there.
#[inline(never)]
pub fn replace<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
    tuple: &Tuple<A>,
) -> Result<(), DropReason> {
    if let Some(found) = locate(context, tuple) {
        found.retire();
    }
    work.key = Key::of(tuple);
    let hash = hash::<A>(&work.key, context.control.hash_key);
    insert(context, work, hash).map(|_| ())
}

/// Frees an entry and its partner; `flow` is what the entry says.
#[inline(never)]
pub fn retire_pair<A: Address, T: Tables>(
    context: &Context<'_, T>,
    found: &Found<'_, A, T>,
    flow: &Flow<A>,
    protocol: u8,
) {
    let partner = flow.rewrite.tuple(protocol).reversed();
    if found.retire()
        && let Some(partner) = find(context, &partner)
    {
        partner.retire();
    }
}

/// Marks the partner of `work.flow` as seen when that was, or inserts it again where it was
/// replaced. Gives the partner's next hop.
#[inline(never)]
pub fn refresh_partner<A: Address, T: Tables>(context: &Context<'_, T>, work: &mut Work<A>) -> u32 {
    let mirrored = work.mirror(context.control.hash_key);
    let Ok(inserted @ Inserted { is_new: false, .. }) = insert(context, work, mirrored) else {
        return 0;
    };
    let Some(hit) = at::<A, T>(context, mirrored, inserted) else { return 0 };
    let old = hit.looks();
    let Looks { seen, state, .. } = work.entry.looks;
    hit.set_looks(old, Looks { seen, state: handshake::pass_on(state, old.state), ..old });
    old.next_hop
}

/// Adds a packet of `bytes` to the entry's statistics. Processors that share a flow may lose
/// each other's counts; nothing but reports reads them.
#[inline(always)]
pub fn account<A: Address, W: Word>(hit: &Hit<'_, A, W>, bytes: u32) {
    let (packets, total) = (hit.packets(), hit.bytes());
    packets.store(packets.load().wrapping_add(1));
    total.store(total.load().wrapping_add(bytes as u64));
}
