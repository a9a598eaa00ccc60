//! A set of four entries shared by every processor and the agent, without locks.
//!
//! An entry belongs to whoever moves its tag from `FREE` or `LIVE` to `CLAIMED` by
//! compare-and-swap; the owner writes the other words and publishes the tag `LIVE` with a new
//! generation. Readers compare the whole key and re-check the tag after reading, so they never
//! act on a half-written or reused entry. Two processors that insert the same key at once both
//! publish and then look around: the lower way stays, the other is retired. Nobody waits.

use core::marker::PhantomData;

use abi::{
    control::{Control, Timeouts},
    flow::{WAYS, seen, tag},
};

use super::entry::{Flow, Looks};
use crate::{Address, Tuple, Word, tuple::protocol, word16};

/// [`abi::flow::Bucket`] as programs see it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Bucket<E, W> {
    pub entries: [E; WAYS],
    /// Packets and bytes of each.
    pub traffic: [[W; 2]; WAYS],
}

/// A bucket of an address family.
pub type Cells<A, W> = Bucket<<A as Address>::Entry<W>, W>;

/// A tuple as an entry stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub pair: [u64; 4],
    pub ports: u64,
}

impl Key {
    #[inline(always)]
    pub fn of<A: Address>(tuple: &Tuple<A>) -> Self {
        Self { pair: A::pair(tuple.source, tuple.destination), ports: tuple.port_word() }
    }
}

/// A live entry that was found or made.
pub struct Hit<'b, A: Address, W: Word + 'static> {
    entry: &'b A::Entry<W>,
    tag: u64,
    /// The entry's place in its bucket.
    pub way: usize,
    family: PhantomData<A>,
}

impl<A: Address, W: Word + 'static> Hit<'_, A, W> {
    #[inline(always)]
    pub(super) fn word(&self, index: usize) -> u64 {
        self.cell(index).load()
    }

    #[inline(always)]
    pub(super) fn cell(&self, index: usize) -> &W {
        cell::<A, W>(self.entry, index)
    }

    /// Whether what was read since is of this entry, not of a later one in its place.
    #[inline(always)]
    pub fn is_current(&self) -> bool {
        self.cell(0).load() == self.tag
    }

    /// Frees the entry, unless somebody was faster.
    #[inline(always)]
    pub fn retire(&self) -> bool {
        self.cell(0).compare_exchange(self.tag, freed(self.tag))
    }
}

/// What became of an insertion.
pub enum Inserted<'b, A: Address, W: Word + 'static> {
    New(Hit<'b, A, W>),
    /// The key was there already, or another processor inserted it at the same time.
    Existing(Hit<'b, A, W>),
    Full,
}

impl<'b, A: Address, W: Word + 'static> Hit<'b, A, W> {
    /// The same, at a place in `bucket` that the verifier does not know: see [`Word::blur`].
    #[inline(always)]
    pub fn blur(self, bucket: &'b [A::Entry<W>; WAYS], hash: u64) -> Self {
        let way = W::blur(self.way, hash) & (WAYS - 1);
        Self { entry: bucket.get(way).unwrap_or(self.entry), way, ..self }
    }
}

/// Finds a live entry by its key.
#[inline(always)]
pub fn find<'b, A: Address, W: Word + 'static>(
    bucket: &'b [A::Entry<W>; WAYS],
    hash: u64,
    key: &Key,
) -> Option<Hit<'b, A, W>> {
    for (way, entry) in bucket.iter().enumerate() {
        let tag = cell::<A, W>(entry, 0).load();
        if is_live(tag, hash) && holds::<A, W>(entry, key) && cell::<A, W>(entry, 0).load() == tag {
            return Some(Hit { entry, tag, way, family: PhantomData });
        }
    }
    None
}

/// Inserts an entry, in the place of a free, expired, unconfirmed or, last, the oldest one. What is
/// not confirmed itself takes no place from a confirmed one that is fresh: then the bucket is full.
#[inline(always)]
pub fn insert<'b, A: Address, W: Word + 'static>(
    bucket: &'b [A::Entry<W>; WAYS],
    hash: u64,
    key: &Key,
    flow: &Flow<A>,
    control: &Control,
) -> Inserted<'b, A, W> {
    if let Some(hit) = find::<A, W>(bucket, hash, key) {
        return Inserted::Existing(hit.blur(bucket, hash));
    }
    let Some((way, observed)) = victim::<A, W>(bucket, flow.looks, control) else {
        return Inserted::Full;
    };
    let way = W::blur(way, hash) & (WAYS - 1);
    let Some(entry) = bucket.get(way) else { return Inserted::Full };
    let tag_cell = cell::<A, W>(entry, 0);
    let generation = observed.wrapping_add(1 << tag::GENERATION_SHIFT) & tag::GENERATION;
    let claimed = (hash & tag::HASH) | generation | tag::CLAIMED;
    let live = (hash & tag::HASH) | generation | tag::LIVE;
    if !tag_cell.compare_exchange(observed, claimed) {
        return Inserted::Full;
    }
    for (word, value) in key.pair.into_iter().take(A::PAIR).enumerate() {
        cell::<A, W>(entry, 1 + word).store(value);
    }
    cell::<A, W>(entry, 1 + A::PAIR).store(key.ports);
    flow.write(|word, value| cell::<A, W>(entry, word).store(value));
    tag_cell.compare_exchange(claimed, live);
    let mine = Hit { entry, tag: live, way, family: PhantomData };
    settle(bucket, hash, key, mine)
}

/// Keeps one of the entries with this key: the one in the lowest way.
#[inline(always)]
fn settle<'b, A: Address, W: Word + 'static>(
    bucket: &'b [A::Entry<W>; WAYS],
    hash: u64,
    key: &Key,
    mine: Hit<'b, A, W>,
) -> Inserted<'b, A, W> {
    for (way, entry) in bucket.iter().enumerate() {
        if way == mine.way {
            continue;
        }
        let tag = cell::<A, W>(entry, 0).load();
        if !is_live(tag, hash) || !holds::<A, W>(entry, key) {
            continue;
        }
        let other = Hit { entry, tag, way, family: PhantomData };
        if way > mine.way {
            other.retire();
        } else if other.is_current() {
            mine.retire();
            return Inserted::Existing(other.blur(bucket, hash));
        }
    }
    Inserted::New(mine)
}

/// The way to claim for `newcomer`, and the tag it was seen with.
#[inline(always)]
fn victim<A: Address, W: Word + 'static>(
    bucket: &[A::Entry<W>; WAYS],
    newcomer: Looks,
    control: &Control,
) -> Option<(usize, u64)> {
    let Control { timeouts, fresh, .. } = control;
    let mut best = None;
    let mut best_rank = 0;
    for (way, entry) in bucket.iter().enumerate() {
        let observed = cell::<A, W>(entry, 0).load();
        let rank = match observed & tag::STATE {
            tag::FREE => u64::MAX,
            tag::LIVE => {
                let looks = Looks::unpack(cell::<A, W>(entry, 3 + 2 * A::PAIR).load());
                let [_, _, protocol, _] = word16::unpack(cell::<A, W>(entry, 1 + A::PAIR).load());
                let [protocol, _] = protocol.to_ne_bytes();
                let idle = idle(looks.seen, newcomer.seen);
                let expired = idle > timeout(timeouts, protocol, looks.state);
                let unconfirmed = !is_confirmed(looks.state);
                let yields = expired
                    || unconfirmed
                    || idle > *fresh
                    || newcomer.state & seen::CONFIRMED != 0;
                // Rank by class, then by age; zero stays.
                let rank =
                    1 + idle as u64 + ((unconfirmed as u64) << 33) + ((expired as u64) << 34);
                if yields { rank } else { 0 }
            }
            _ => 0,
        };
        if rank > best_rank {
            best_rank = rank;
            best = Some((way, observed));
        }
    }
    best
}

/// Whether both ends of the flow have spoken, and this one has not ended it. (What is closed would else
/// be in the way of new connections until it expires.)
#[inline(always)]
const fn is_confirmed(state: u8) -> bool {
    state & (seen::CONFIRMED | seen::FIN | seen::RST) == seen::CONFIRMED
}

/// Jiffies since an entry was looked at. Jiffies wrap; an entry stamped by a processor whose
/// jiffies are ahead of the reader's counts as new.
#[inline(always)]
pub const fn idle(seen: u32, now: u32) -> u32 {
    let idle = now.wrapping_sub(seen);
    if idle > u32::MAX / 2 { 0 } else { idle }
}

/// Jiffies after which an idle flow may go.
#[inline(always)]
pub const fn timeout(timeouts: &Timeouts, protocol: u8, state: u8) -> u32 {
    match protocol {
        protocol::TCP if state & (seen::FIN | seen::RST) != 0 => timeouts.tcp_closing,
        protocol::TCP if state & seen::CONFIRMED != 0 => timeouts.tcp_established,
        protocol::TCP => timeouts.tcp_new,
        protocol::UDP | protocol::SCTP => timeouts.udp,
        _ => timeouts.other,
    }
}

/// The tag of a freed entry: the generation is kept, so that a reader notices reuse.
#[inline(always)]
pub const fn freed(tag: u64) -> u64 {
    (tag & tag::GENERATION) | tag::FREE
}

#[inline(always)]
const fn is_live(tag: u64, hash: u64) -> bool {
    tag & tag::STATE == tag::LIVE && (tag ^ hash) & tag::HASH == 0
}

#[inline(always)]
fn holds<A: Address, W: Word + 'static>(entry: &A::Entry<W>, key: &Key) -> bool {
    let mut difference = cell::<A, W>(entry, 1 + A::PAIR).load() ^ key.ports;
    for (word, value) in key.pair.into_iter().take(A::PAIR).enumerate() {
        difference |= cell::<A, W>(entry, 1 + word).load() ^ value;
    }
    difference == 0
}

#[inline(always)]
fn cell<A: Address, W: Word + 'static>(entry: &A::Entry<W>, index: usize) -> &W {
    let words = entry.as_ref();
    debug_assert!(index < words.len());
    // SAFETY: every caller's index is a constant of the layout in `abi::flow`, below the
    // entry's length: at most 5 + 2 * PAIR, in entries of 8 (PAIR 1) and 16 words (PAIR 4).
    unsafe { words.get_unchecked(index) }
}
