//! Sets of four entries shared by every processor and the agent, without locks.
//!
//! A key has two buckets, and its entry lies in the first as long as there is room. That fills a table
//! to almost half before somebody finds no room, where buckets of four alone do to an eighth.
//!
//! An entry belongs to whoever moves its tag from `FREE` or `LIVE` to `CLAIMED` by
//! compare-and-swap; the owner writes the entry's words and publishes the tag `LIVE` with a new
//! generation. Readers compare the whole key and re-check the tag after reading, so they never
//! act on a half-written or reused entry. Two processors that insert the same key at once both
//! publish and then look around: the lower place stays, the other is retired. Nobody waits.

use core::marker::PhantomData;

use abi::{
    control::{Control, Timeouts},
    flow::{WAYS, seen, tag},
    reason::DropReason,
};

use super::entry::{Flow, Looks};
use crate::{Address, Tuple, Word, tuple::protocol, word16};

/// [`abi::flow::Bucket`] as programs see it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Bucket<E, W> {
    pub heads: [Head<W>; WAYS],
    pub entries: [E; WAYS],
}

/// [`abi::flow::Head`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct Head<W> {
    pub tag: W,
    pub looks: W,
}

/// A bucket of an address family.
pub type Cells<A, W> = Bucket<<A as Address>::Entry<W>, W>;

/// Which buckets, of a table of `mask + 1` and at least two, have the entries with a hash.
#[inline(always)]
pub const fn homes(hash: u64, mask: u32) -> [u32; 2] {
    let first = hash as u32 & mask;
    [first, first ^ (((hash >> 32) as u32 | 1) & mask)]
}

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

    #[inline(always)]
    fn protocol(&self) -> u8 {
        let [_, _, protocol, _] = word16::unpack(self.ports);
        let [protocol, _] = protocol.to_ne_bytes();
        protocol
    }
}

/// A live entry that was found or made.
pub struct Hit<'b, A: Address, W: Word + 'static> {
    head: &'b Head<W>,
    entry: &'b A::Entry<W>,
    tag: u64,
    family: PhantomData<A>,
}

impl<'b, A: Address, W: Word + 'static> Hit<'b, A, W> {
    /// The entry at a place of the bucket, if it is live and has the hash.
    #[inline(always)]
    pub(super) fn at(bucket: &'b Cells<A, W>, place: usize, hash: u64) -> Option<Self> {
        let (head, entry) = seated::<A, W>(bucket, place)?;
        let tag = head.tag.load();
        is_live(tag, hash).then_some(Self { head, entry, tag, family: PhantomData })
    }

    #[inline(always)]
    pub(super) fn word(&self, index: usize) -> u64 {
        self.cell(index).load()
    }

    #[inline(always)]
    pub(super) fn cell(&self, index: usize) -> &'b W {
        cell::<A, W>(self.entry, index)
    }

    /// The one word of the entry that changes while it is live, beside its counts.
    #[inline(always)]
    pub(super) fn looks_cell(&self) -> &'b W {
        &self.head.looks
    }

    /// Whether what was read since is of this entry, not of a later one in its place.
    #[inline(always)]
    pub fn is_current(&self) -> bool {
        self.head.tag.load() == self.tag
    }

    /// Frees the entry, unless somebody was faster.
    #[inline(always)]
    pub fn retire(&self) -> bool {
        self.head.tag.compare_exchange(self.tag, freed(self.tag))
    }

    /// Whether the entry is one with this key, and still there.
    #[inline(always)]
    fn holds(&self, key: &Key) -> bool {
        let mut difference = self.word(A::PAIR) ^ key.ports;
        for (word, value) in key.pair.into_iter().take(A::PAIR).enumerate() {
            difference |= self.word(word) ^ value;
        }
        difference == 0 && self.is_current()
    }
}

/// Where a key's entry is after an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// The entry's way, and [`WAYS`] more in the second bucket.
    pub place: usize,
    /// Otherwise it was there already, or another processor inserted it at the same time.
    pub is_new: bool,
}

/// Finds a live entry by its key, of which `first` is the first bucket. (Of two keys in one bucket with
/// the same 48 bits of hash only one is found; the other's packets are first packets all.)
#[inline(always)]
pub fn find<'b, A: Address, W: Word + 'static>(
    first: &'b Cells<A, W>,
    second: impl FnOnce() -> Option<&'b Cells<A, W>>,
    hash: u64,
    key: &Key,
) -> Option<Hit<'b, A, W>> {
    let (bucket, way) = if let Some(way) = way_of::<A, W>(first, hash) {
        (first, way)
    } else {
        let second = second()?;
        (second, way_of::<A, W>(second, hash)?)
    };
    Hit::at(bucket, W::blur(way, hash), hash).filter(|hit| hit.holds(key))
}

#[inline(always)]
fn way_of<A: Address, W: Word + 'static>(bucket: &Cells<A, W>, hash: u64) -> Option<usize> {
    bucket.heads.iter().position(|head| is_live(head.tag.load(), hash))
}

/// Inserts an entry into one of its key's buckets, in the place of a free, expired, unconfirmed or,
/// last, the oldest one. What is not confirmed itself takes no place from a confirmed one that is
/// fresh: then there is no room. `MISSED`: the key was looked for just now, and not found.
///
/// # Errors
/// [`DropReason::FlowTableFull`]; [`DropReason::FlowRace`] where another processor took the place first.
#[inline(always)]
pub fn insert<A: Address, W: Word + 'static, const MISSED: bool>(
    homes: [&Cells<A, W>; 2],
    hash: u64,
    key: &Key,
    flow: &Flow<A>,
    control: &Control,
) -> Result<Inserted, DropReason> {
    let [first, second] = homes;
    for (home, bucket) in [(0, first), (WAYS, second)] {
        if !MISSED && let Some(way) = way_of::<A, W>(bucket, hash) {
            let place = W::blur(home + way, hash);
            if Hit::<A, W>::at(bucket, place, hash).is_some_and(|hit| hit.holds(key)) {
                return Ok(Inserted { place, is_new: false });
            }
        }
    }
    let seat = seat::<A, W>(homes, flow.looks, control).ok_or(DropReason::FlowTableFull)?;
    let Seat { place, tag: observed, .. } = seat;
    let bucket = if place & WAYS == 0 { first } else { second };
    let (head, entry) = seated::<A, W>(bucket, place).ok_or(DropReason::FlowRace)?;
    let generation = observed.wrapping_add(1 << tag::GENERATION_SHIFT) & tag::GENERATION;
    let claimed = (hash & tag::HASH) | generation | tag::CLAIMED;
    let live = (hash & tag::HASH) | generation | tag::LIVE;
    if !head.tag.compare_exchange(observed, claimed) {
        return Err(DropReason::FlowRace);
    }
    for (word, value) in key.pair.into_iter().take(A::PAIR).enumerate() {
        cell::<A, W>(entry, word).store(value);
    }
    cell::<A, W>(entry, A::PAIR).store(key.ports);
    flow.write(|word, value| cell::<A, W>(entry, word).store(value));
    let Looks { state, .. } = flow.looks;
    head.looks.store(Looks { state: state | class(key.protocol()), ..flow.looks }.pack());
    head.tag.compare_exchange(claimed, live);
    let mine = Hit::<A, W> { head, entry, tag: live, family: PhantomData };
    Ok(settle(homes, hash, key, place, &mine))
}

/// Keeps one of the entries with this key: the one in the lowest place.
#[inline(always)]
fn settle<A: Address, W: Word + 'static>(
    homes: [&Cells<A, W>; 2],
    hash: u64,
    key: &Key,
    at: usize,
    mine: &Hit<'_, A, W>,
) -> Inserted {
    for (home, bucket) in homes.into_iter().enumerate() {
        for (way, head) in bucket.heads.iter().enumerate() {
            let place = home * WAYS + way;
            if !is_live(head.tag.load(), hash) || place == at {
                continue;
            }
            let place = W::blur(place, hash);
            let Some(other) = Hit::<A, W>::at(bucket, place, hash).filter(|it| it.holds(key))
            else {
                continue;
            };
            if place > at {
                other.retire();
            } else {
                mine.retire();
                return Inserted { place, is_new: false };
            }
        }
    }
    Inserted { place: at, is_new: true }
}

/// A place for an entry.
#[derive(Clone, Copy)]
struct Seat {
    /// The way, and four more in the second bucket. The verifier does not know it: see [`Word::blur`].
    place: usize,
    /// The tag that it was seen with.
    tag: u64,
    /// The higher the sooner who is there has to go; 0 if he stays.
    rank: u64,
}

/// The place to claim for `newcomer`.
#[inline(always)]
fn seat<A: Address, W: Word + 'static>(
    homes: [&Cells<A, W>; 2],
    newcomer: Looks,
    control: &Control,
) -> Option<Seat> {
    let [first, second] = homes;
    let (mut bucket, mut home) = (first, 0);
    let (mut taken, count) = taken_ways::<A, W>(first);
    if count >= SPILL {
        let (there, fewer) = taken_ways::<A, W>(second);
        if fewer < count {
            (bucket, home, taken) = (second, WAYS, there);
        }
    }
    if taken != ALL_TAKEN {
        // The number of the lowest bit that is not set.
        let free = !taken & (taken + 1);
        let place = W::blur(home | ((free >> 1) - (free >> 3)) as usize, taken);
        let (head, _) = seated::<A, W>(bucket, place)?;
        // Whoever claims it now has another generation.
        let tag = head.tag.load() & tag::GENERATION | tag::FREE;
        return Some(Seat { place, tag, rank: u64::MAX });
    }
    let mut best = Seat { place: 0, tag: 0, rank: 0 };
    victim::<A, W>(first, 0, newcomer, control, &mut best);
    if best.rank < UNCONFIRMED {
        victim::<A, W>(second, WAYS, newcomer, control, &mut best);
    }
    (best.rank != 0).then_some(best)
}

/// From so many entries in the first bucket on, the emptier one is taken.
const SPILL: u64 = 3;
const ALL_TAKEN: u64 = (1 << WAYS) - 1;

/// Which ways of a bucket are not free, as bits, and how many. (Without branches, of which the
/// verifier would follow every combination.)
#[inline(always)]
fn taken_ways<A: Address, W: Word + 'static>(bucket: &Cells<A, W>) -> (u64, u64) {
    let (mut ways, mut count) = (0, 0);
    for (way, head) in bucket.heads.iter().enumerate() {
        let tag = head.tag.load();
        let taken = (tag | tag >> 1) & 1;
        ways |= taken << way;
        count += taken;
    }
    (ways, count)
}

/// The rank of what is not confirmed.
const UNCONFIRMED: u64 = 1 << 33;
/// The rank of what was idle for too long.
const EXPIRED: u64 = 1 << 34;

/// Who of a full bucket, whose places begin at `home`, has to leave for `newcomer` rather than `best`.
#[inline(always)]
fn victim<A: Address, W: Word + 'static>(
    bucket: &Cells<A, W>,
    home: usize,
    newcomer: Looks,
    control: &Control,
    best: &mut Seat,
) {
    let Control { timeouts, fresh, .. } = control;
    for (way, head) in bucket.heads.iter().enumerate() {
        let tag = head.tag.load();
        if tag & tag::STATE != tag::LIVE {
            continue;
        }
        let looks = Looks::unpack(head.looks.load());
        let idle = idle(looks.seen, newcomer.seen);
        let expired = idle > timeout(timeouts, looks.state);
        let unconfirmed = !is_confirmed(looks.state);
        let yields =
            expired || unconfirmed || idle > *fresh || newcomer.state & seen::CONFIRMED != 0;
        // By class, then by age.
        let rank = 1
            + idle as u64
            + if unconfirmed { UNCONFIRMED } else { 0 }
            + if expired { EXPIRED } else { 0 };
        let rank = W::blur(rank as usize, tag) as u64;
        if yields && rank > best.rank {
            *best = Seat { place: W::blur(home + way, tag), tag, rank };
        }
    }
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

/// Jiffies after which an idle flow in this state, with its [`class`], may go.
#[inline(always)]
pub const fn timeout(timeouts: &Timeouts, state: u8) -> u32 {
    if state & seen::DATAGRAMS != 0 {
        timeouts.udp
    } else if state & seen::TCP == 0 {
        timeouts.other
    } else if state & (seen::FIN | seen::RST) != 0 {
        timeouts.tcp_closing
    } else if state & seen::CONFIRMED != 0 {
        timeouts.tcp_established
    } else {
        timeouts.tcp_new
    }
}

/// The bits of the state that say which timeouts are a protocol's.
#[inline(always)]
pub const fn class(protocol: u8) -> u8 {
    match protocol {
        protocol::TCP => seen::TCP,
        protocol::UDP | protocol::SCTP => seen::DATAGRAMS,
        _ => 0,
    }
}

/// The tag of a freed entry: the generation is kept, so that a reader notices reuse.
#[inline(always)]
pub const fn freed(tag: u64) -> u64 {
    (tag & tag::GENERATION) | tag::FREE
}

#[inline(always)]
const fn is_live(tag: u64, hash: u64) -> bool {
    (tag ^ (hash & tag::HASH | tag::LIVE)) & (tag::HASH | tag::STATE) == 0
}

/// What is in a place of the bucket.
#[inline(always)]
fn seated<A: Address, W: Word + 'static>(
    bucket: &Cells<A, W>,
    place: usize,
) -> Option<(&Head<W>, &A::Entry<W>)> {
    let way = place & (WAYS - 1);
    bucket.heads.get(way).zip(bucket.entries.get(way))
}

#[inline(always)]
fn cell<A: Address, W: Word + 'static>(entry: &A::Entry<W>, index: usize) -> &W {
    let words = entry.as_ref();
    debug_assert!(index < words.len());
    // SAFETY: every caller's index is a constant of the layout in `abi::flow`, below the
    // entry's length: at most 5 + 2 * PAIR, in entries of 8 (PAIR 1) and 16 words (PAIR 4).
    unsafe { words.get_unchecked(index) }
}
