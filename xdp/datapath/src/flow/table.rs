//! Buckets by hash, and pairs: a flow is two entries that come and go together.

use abi::{
    flow::{WAYS, seen},
    reason::DropReason,
};

use super::{
    bucket::{self, Bucket, Hit, Inserted, Key},
    entry::{Flow, Looks, Rewrite},
    hash::hash,
};
use crate::{Address, Context, Tables, Tuple, Word, Work, handshake};

/// An entry with what its bucket carried.
pub struct Found<'t, A: Address, T: Tables> {
    pub hit: Hit<'t, A, T::Word>,
    traffic: &'t [[T::Word; 2]; WAYS],
}

impl<'t, A: Address, T: Tables> Found<'t, A, T> {
    /// Packets and bytes of the entry.
    #[inline(always)]
    pub fn traffic(&self) -> Option<&'t [T::Word; 2]> {
        self.traffic.get(self.hit.way)
    }
}

/// Finds the entry of a tuple.
#[inline(always)]
pub fn find<'t, A: Address, T: Tables>(
    tables: &Context<'t, T>,
    tuple: &Tuple<A>,
) -> Option<Found<'t, A, T>> {
    let key = Key::of(tuple);
    let hash = hash::<A>(&key, tables.control.hash_key);
    let bucket = A::flows(tables.tables, hash as u32 & A::flow_mask(tables.control))?;
    let hit = bucket::find::<A, T::Word>(&bucket.entries, hash, &key)?;
    Some(Found { hit, traffic: &bucket.traffic })
}

/// [`find`], out of line, for the slow path.
#[inline(never)]
pub fn locate<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    tuple: &Tuple<A>,
) -> Option<Found<'t, A, T>> {
    let key = Key::of(tuple);
    let hash = hash::<A>(&key, context.control.hash_key);
    let Bucket { entries, traffic } =
        A::flows(context.tables, hash as u32 & A::flow_mask(context.control))?;
    let hit = bucket::find::<A, T::Word>(entries, hash, &key)?.blur(entries, hash);
    Some(Found { hit, traffic })
}

/// Inserts the pair of entries of `work.flow`. Replies first, so that no packet can be answered
/// by one that is not known yet. Another processor that opens the same flow meanwhile wins.
#[inline(never)]
pub fn open<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
) -> Result<(), DropReason> {
    open_by::<A, T, false>(context, work).map(|_| ())
}

/// [`open`], without calls; gives the packet's own entry.
#[inline(always)]
pub fn open_in_place<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    work: &mut Work<A>,
) -> Result<Found<'t, A, T>, DropReason> {
    open_by::<A, T, true>(context, work)
}

/// Not by functions as parameters: the kernel refuses what these leave in the BTF.
#[inline(always)]
fn open_by<'t, A: Address, T: Tables, const IN_PLACE: bool>(
    context: &Context<'t, T>,
    work: &mut Work<A>,
) -> Result<Found<'t, A, T>, DropReason> {
    let insert = |hash, key: &Key, entry: &Flow<A>| {
        if IN_PLACE {
            insert_in_place(context, hash, key, entry)
        } else {
            insert(context, hash, key, entry)
        }
    };
    let secret = context.control.hash_key;
    let mirrored = if IN_PLACE { work.mirror_in_place(secret) } else { work.mirror(secret) };
    let reply = match insert(mirrored, &work.key, &work.entry) {
        Some(Inserted::New(hit)) => hit,
        Some(Inserted::Existing(hit)) if leads_to(&hit.rewrite(), &work.parsed.tuple) => hit,
        Some(Inserted::Existing(_)) if vacate(context, work) => {
            let mirrored = work.mirror(secret);
            match insert(mirrored, &work.key, &work.entry) {
                Some(Inserted::New(hit)) => hit,
                _ => return Err(DropReason::FlowConflict),
            }
        }
        Some(Inserted::Existing(_)) => return Err(DropReason::FlowConflict),
        Some(Inserted::Full) => return Err(DropReason::FlowTableFull),
        None => return Err(DropReason::MissingMap),
    };
    work.key = Key::of(&work.parsed.tuple);
    let own = hash::<A>(&work.key, context.control.hash_key);
    match insert(own, &work.key, &work.flow) {
        Some(Inserted::New(hit) | Inserted::Existing(hit)) => {
            let bucket = A::flows(context.tables, own as u32 & A::flow_mask(context.control));
            Ok(Found { hit, traffic: &bucket.ok_or(DropReason::MissingMap)?.traffic })
        }
        Some(Inserted::Full) | None => {
            reply.retire();
            Err(DropReason::FlowTableFull)
        }
    }
}

/// Whether the key of the replies of `work.flow` is free, or can be had: another flow whose
/// connection is over gives it up.
#[inline(never)]
pub fn vacate<A: Address, T: Tables>(context: &Context<'_, T>, work: &mut Work<A>) -> bool {
    let protocol = work.parsed.tuple.protocol;
    let replies = work.flow.rewrite.tuple(protocol).reversed();
    let Some(found) = locate(context, &replies) else { return true };
    work.entry = found.hit.flow();
    let Looks { seen: looked_at, state, .. } = work.entry.looks;
    let timeout = bucket::timeout(&context.control.timeouts, protocol, state);
    let expired = bucket::idle(looked_at, context.tables.now()) > timeout;
    if state & (seen::FIN | seen::RST) == 0 && !expired {
        return false;
    }
    retire_pair(context, &found, &work.entry, protocol);
    true
}

/// [`insert_in_place`], out of line, for the slow path.
#[inline(never)]
fn insert<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    hash: u64,
    key: &Key,
    entry: &Flow<A>,
) -> Option<Inserted<'t, A, T::Word>> {
    insert_in_place(context, hash, key, entry)
}

/// Inserts one entry.
#[inline(always)]
fn insert_in_place<'t, A: Address, T: Tables>(
    context: &Context<'t, T>,
    hash: u64,
    key: &Key,
    entry: &Flow<A>,
) -> Option<Inserted<'t, A, T::Word>> {
    let Bucket { entries, traffic } =
        A::flows(context.tables, hash as u32 & A::flow_mask(context.control))?;
    let inserted = bucket::insert::<A, T::Word>(entries, hash, key, entry, context.control);
    if let Inserted::New(hit) = &inserted
        && let Some([packets, bytes]) = traffic.get(hit.way)
    {
        packets.store(0);
        bytes.store(0);
    }
    Some(inserted)
}

/// Inserts `work.entry` under a tuple of its own, without a partner, in place of what was there.
#[inline(never)]
pub fn replace<A: Address, T: Tables>(
    context: &Context<'_, T>,
    work: &mut Work<A>,
    tuple: &Tuple<A>,
) -> Result<(), DropReason> {
    if let Some(found) = locate(context, tuple) {
        found.hit.retire();
    }
    work.key = Key::of(tuple);
    let hash = hash::<A>(&work.key, context.control.hash_key);
    match insert(context, hash, &work.key, &work.entry) {
        Some(Inserted::New(_) | Inserted::Existing(_)) => Ok(()),
        Some(Inserted::Full) => Err(DropReason::FlowTableFull),
        None => Err(DropReason::MissingMap),
    }
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
    if found.hit.retire()
        && let Some(partner) = find(context, &partner)
    {
        partner.hit.retire();
    }
}

/// Marks the partner of `work.flow` as seen when that was, or inserts it again where it was
/// replaced. Gives the partner's next hop.
#[inline(never)]
pub fn refresh_partner<A: Address, T: Tables>(context: &Context<'_, T>, work: &mut Work<A>) -> u32 {
    let mirrored = work.mirror(context.control.hash_key);
    let Some(Inserted::Existing(hit)) = insert(context, mirrored, &work.key, &work.entry) else {
        return 0;
    };
    let old = hit.looks();
    let Looks { seen, state, .. } = work.entry.looks;
    hit.set_looks(old, Looks { seen, state: handshake::pass_on(state, old.state), ..old });
    old.next_hop
}

/// Adds a packet of `bytes` to the entry's statistics. Processors that share a flow may lose
/// each other's counts; nothing but reports reads them.
#[inline(always)]
pub fn account<A: Address, T: Tables>(found: &Found<'_, A, T>, bytes: u32) {
    if let Some([packets, total]) = found.traffic() {
        packets.store(packets.load().wrapping_add(1));
        total.store(total.load().wrapping_add(bytes as u64));
    }
}

/// Whether replies translated this way go to whoever sent `tuple`.
#[inline(always)]
fn leads_to<A: Address>(reply: &Rewrite<A>, tuple: &Tuple<A>) -> bool {
    reply.tuple(tuple.protocol).reversed() == *tuple
}
