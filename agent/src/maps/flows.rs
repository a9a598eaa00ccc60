//! The flow tables, read through their mappings: ageing and listing, without a system call per
//! entry.
//!
//! The agent never makes entries. It frees one by a single compare-exchange from the tag it saw,
//! so it can only ever free what it looked at.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use abi::{
    control::Timeouts,
    flow::{FLOWS4_MAP, FLOWS6_MAP, Packets, WAYS, WORDS4, WORDS6, kind, tag},
};
use datapath::{
    flow::{
        Looks,
        bucket::{freed, idle, timeout},
        entry::Target,
    },
    protocol,
};

use super::{accounts::Accounts, jiffies::Jiffies, mapping::Mapping};
use crate::dataplane::{Fill, Flow};

/// Both flow tables with their statistics.
pub struct FlowTables {
    pub v4: FlowTable,
    pub v6: FlowTable,
    /// What services carried.
    pub accounts: Accounts,
}

/// The flow table of one address family.
pub struct FlowTable {
    pub buckets: Mapping,
    pub family: Family,
}

/// How an entry is laid out; see [`abi::flow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const fn map(self) -> &'static str {
        match self {
            Self::V4 => FLOWS4_MAP,
            Self::V6 => FLOWS6_MAP,
        }
    }

    /// Words of an entry.
    const fn words(self) -> usize {
        match self {
            Self::V4 => WORDS4,
            Self::V6 => WORDS6,
        }
    }

    /// Words of a bucket: tag and looks of each entry, then the entries.
    const fn bucket_words(self) -> usize {
        HEADS + WAYS * self.words()
    }

    /// Words of a source and a destination address.
    const fn pair(self) -> usize {
        match self {
            Self::V4 => 1,
            Self::V6 => 4,
        }
    }
}

/// Buckets that are looked through at a time.
const PART: usize = 16_384;
/// Words of the heads at the start of a bucket.
const HEADS: usize = 2 * WAYS;

impl FlowTables {
    /// In how many parts of bounded size [`Self::age`] goes through the tables.
    pub fn parts(&self) -> u32 {
        let parts = self.v4.len().max(self.v6.len()).div_ceil(PART);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    /// In one part of the tables, adds to the accounts what services carried since the last time, and
    /// frees what was idle for too long; says how many entries that were.
    pub fn age(&self, part: u32, now: u32, timeouts: &Timeouts) -> usize {
        let tables = [&self.v4, &self.v6].map(|table| (table, table.part(part, self.parts())));
        self.accounts.pass(part, &tables);
        let expired = |(table, buckets): &(&FlowTable, Range<usize>)| {
            table
                .entries_in(buckets.clone())
                .filter(|(_, entry)| entry.expire(now, timeouts))
                .count()
        };
        tables.iter().map(expired).sum()
    }

    pub fn list(&self, limit: usize, now: u32, jiffies: &Jiffies) -> Vec<Flow> {
        let duration = |ticks| jiffies.duration(ticks);
        self.v4.live(now, duration).chain(self.v6.live(now, duration)).take(limit).collect()
    }

    pub fn fill(&self) -> [Fill; 2] {
        [&self.v4, &self.v6].map(|table| Fill {
            table: table.family.map(),
            used: table.entries().filter(|entry| is_live(entry.tag())).count() as u64,
            capacity: table.entries().count() as u64,
        })
    }
}

impl FlowTable {
    /// Buckets.
    fn len(&self) -> usize {
        self.buckets.words().len() / self.family.bucket_words()
    }

    /// The buckets of one of so many parts.
    fn part(&self, part: u32, parts: u32) -> Range<usize> {
        let start = |part| self.len() * part as usize / parts as usize;
        start(part)..start(part + 1)
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries_in(0..self.len()).map(|(_, entry)| entry)
    }

    /// The entries of some buckets, by index.
    fn entries_in(&self, buckets: Range<usize>) -> impl Iterator<Item = (usize, Entry<'_>)> {
        let family = self.family;
        let length = family.bucket_words();
        let words = self.buckets.words();
        let words = words.get(buckets.start * length..buckets.end * length).unwrap_or_default();
        let entries = words.chunks_exact(length).flat_map(move |bucket| {
            let (heads, entries) = bucket.split_at(HEADS);
            let (heads, _) = heads.as_chunks();
            let entries = heads.iter().zip(entries.chunks_exact(family.words()));
            entries.map(move |(head, words)| Entry { head, words, family })
        });
        (buckets.start * WAYS..).zip(entries)
    }

    /// The word of each entry's tag.
    pub fn tags(&self) -> impl Iterator<Item = usize> {
        let buckets = (0..self.buckets.words().len()).step_by(self.family.bucket_words());
        buckets.flat_map(move |bucket| (0..WAYS).map(move |way| bucket + 2 * way))
    }

    fn live(&self, now: u32, duration: impl Fn(u32) -> Duration) -> impl Iterator<Item = Flow> {
        self.entries().filter_map(move |entry| {
            let before = entry.tag();
            if !is_live(before) || entry.protocol() == protocol::FRAGMENT {
                return None;
            }
            entry.read(before, now, &duration)
        })
    }

    /// Live entries of services in some buckets, by index and tag.
    pub(super) fn of_services(&self, buckets: &Range<usize>) -> impl Iterator<Item = (usize, u64)> {
        self.entries_in(buckets.clone()).filter_map(|(index, entry)| {
            let tag = entry.tag();
            let is_counted = is_live(tag)
                && entry.protocol() != protocol::FRAGMENT
                && entry.target().service != 0;
            is_counted.then_some((index, tag))
        })
    }

    /// What an entry says, while it has this tag; it is not asked how long it was idle.
    pub(super) fn flow_at(&self, index: usize, tag: u64) -> Option<Flow> {
        let bucket = index / WAYS;
        let (_, entry) = self.entries_in(bucket..bucket + 1).nth(index % WAYS)?;
        entry.read(tag, 0, |_| Duration::ZERO)
    }
}

fn is_live(observed: u64) -> bool {
    observed & tag::STATE == tag::LIVE
}

/// The words of one entry, which the kernel changes at any time.
struct Entry<'a> {
    /// Tag and looks.
    head: &'a [AtomicU64; 2],
    words: &'a [AtomicU64],
    family: Family,
}

impl Entry<'_> {
    fn word(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn tag(&self) -> u64 {
        let [tag, _] = self.head;
        tag.load(Ordering::Acquire)
    }

    fn looks(&self) -> Looks {
        let [_, looks] = self.head;
        Looks::unpack(looks.load(Ordering::Acquire))
    }

    fn protocol(&self) -> u8 {
        let [_, _, _, _, protocol, ..] = self.word(self.family.pair()).to_ne_bytes();
        protocol
    }

    fn target(&self) -> Target {
        Target::unpack(self.word(4 + 2 * self.family.pair()))
    }

    /// Frees the entry if it is live and expired. An entry in use is looked at once per refresh
    /// time, so that much is added to what it may be idle.
    fn expire(&self, now: u32, timeouts: &Timeouts) -> bool {
        let observed = self.tag();
        if !is_live(observed) {
            return false;
        }
        let looks = self.looks();
        let allowed = timeout(timeouts, looks.state);
        if idle(looks.seen, now) <= allowed.saturating_add(timeouts.refresh) {
            return false;
        }
        let [tag, _] = self.head;
        tag.compare_exchange(observed, freed(observed), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// What the entry says, while it has this tag.
    fn read(&self, tag: u64, now: u32, duration: impl Fn(u32) -> Duration) -> Option<Flow> {
        let flow = self.flow(now, duration);
        (self.tag() == tag).then_some(flow)
    }

    fn flow(&self, now: u32, duration: impl Fn(u32) -> Duration) -> Flow {
        let pair = self.family.pair();
        let (source, destination) = self.addresses(0);
        let [s0, s1, d0, d1, protocol, ..] = self.word(pair).to_ne_bytes();
        let (new_source, new_destination) = self.addresses(1 + pair);
        let [t0, t1, u0, u1, ..] = self.word(1 + 2 * pair).to_ne_bytes();
        let packets = Packets(self.word(5 + 2 * pair));
        let target = self.target();
        let socket = |address, port| SocketAddr::new(address, u16::from_be_bytes(port));
        Flow {
            protocol,
            source: socket(source, [s0, s1]),
            destination: socket(destination, [d0, d1]),
            translated_source: socket(new_source, [t0, t1]),
            translated_destination: socket(new_destination, [u0, u1]),
            reply: target.kind & kind::REPLY != 0,
            service: target.service,
            backend: target.backend,
            idle: duration(idle(self.looks().seen, now)),
            packets: packets.count(),
            bytes: self.word(2 + 2 * pair),
            handshake: packets.handshake().map(|it| Duration::from_micros(it.into())),
        }
    }

    /// Source and destination address from word `first` on.
    fn addresses(&self, first: usize) -> (IpAddr, IpAddr) {
        let word = |index| self.word(first + index).to_ne_bytes();
        match self.family {
            Family::V4 => {
                let [a, b, c, d, e, f, g, h] = word(0);
                (IpAddr::from([a, b, c, d]), IpAddr::from([e, f, g, h]))
            }
            Family::V6 => {
                let address = |high, low| IpAddr::from(high_low(high, low));
                (address(word(0), word(1)), address(word(2), word(3)))
            }
        }
    }
}

fn high_low(high: [u8; 8], low: [u8; 8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    bytes
}

#[cfg(test)]
mod tests {
    use abi::flow::seen;
    use datapath::flow::bucket::class;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        tcp_new: 10,
        tcp_established: 1000,
        tcp_closing: 20,
        udp: 100,
        other: 30,
        refresh: 4,
    };

    #[test]
    fn entries_expire_after_their_own_timeout_also_when_jiffies_wrap() {
        let (tcp, udp, icmp) = (6, 17, 1);
        let confirmed_fin = seen::CONFIRMED | seen::FIN;
        let table = [
            ("a new connection may wait", tcp, 0, 100, 114, false),
            ("and then goes", tcp, 0, 100, 115, true),
            ("an established one stays", tcp, seen::CONFIRMED, 100, 1104, false),
            ("for its own time", tcp, seen::CONFIRMED, 100, 1105, true),
            ("a closing one goes soon", tcp, confirmed_fin, 100, 125, true),
            ("a reset one as well", tcp, seen::RST, 100, 124, false),
            ("datagrams", udp, seen::CONFIRMED, 100, 204, false),
            ("datagrams, later", udp, 0, 100, 205, true),
            ("anything else", icmp, 0, 100, 135, true),
            ("seen before the wrap, young", udp, 0, u32::MAX - 10, 50, false),
            ("seen before the wrap, old", udp, 0, u32::MAX - 10, 94, true),
            ("stamped by a processor that is ahead", tcp, 0, 110, 100, false),
            ("ahead across the wrap", tcp, 0, 3, u32::MAX - 3, false),
        ];
        for (what, protocol, state, seen, now, expires) in table {
            for family in [Family::V4, Family::V6] {
                let live = 0xabcd << 16 | 5 << tag::GENERATION_SHIFT | tag::LIVE;
                let looks = Looks { seen, next_hop: 3, state };
                let (head, words) = words(family, live, protocol, looks);
                let entry = Entry { head: &head, words: &words, family };
                assert_eq!(entry.expire(now, &TIMEOUTS), expires, "{what}");
                assert_eq!(entry.tag(), if expires { freed(live) } else { live }, "{what}");
            }
        }
    }

    #[test]
    fn only_live_entries_expire() {
        for state in [tag::FREE, tag::CLAIMED] {
            let looks = Looks { seen: 0, next_hop: 0, state: 0 };
            let (head, words) = words(Family::V4, state, 17, looks);
            let entry = Entry { head: &head, words: &words, family: Family::V4 };
            assert!(!entry.expire(1 << 30, &TIMEOUTS));
        }
    }

    #[test]
    fn a_listed_flow_says_what_the_entry_says() {
        let looks = Looks { seen: 40, next_hop: 0, state: 0 };
        let (head, words) = words(Family::V6, tag::LIVE, 17, looks);
        for (index, byte) in [(0, 1), (1, 2), (2, 3), (3, 4), (5, 5), (6, 5), (7, 6), (8, 6)] {
            words[index].store(u64::from_ne_bytes([byte; 8]), Ordering::Relaxed);
        }
        words[4].store(u64::from_ne_bytes([0, 80, 1, 0, 17, 0, 0, 0]), Ordering::Relaxed);
        words[9].store(u64::from_ne_bytes([0, 81, 2, 0, 9, 9, 9, 9]), Ordering::Relaxed);
        words[12].store(7 | 8 << 32 | u64::from(kind::REPLY) << 56, Ordering::Relaxed);
        words[13].store(Packets::answered(250).0 + 11, Ordering::Relaxed);
        words[10].store(12, Ordering::Relaxed);
        let entry = Entry { head: &head, words: &words, family: Family::V6 };
        let flow = entry.flow(50, |ticks| Duration::from_secs(ticks.into()));
        assert_eq!(flow.source, "[101:101:101:101:202:202:202:202]:80".parse().unwrap());
        assert_eq!(flow.destination, "[303:303:303:303:404:404:404:404]:256".parse().unwrap());
        assert_eq!(flow.translated_source, "[505:505:505:505:505:505:505:505]:81".parse().unwrap());
        assert_eq!(flow.translated_destination.port(), 512);
        assert_eq!((flow.protocol, flow.backend, flow.service, flow.reply), (17, 7, 8, true));
        assert_eq!((flow.idle, flow.packets, flow.bytes), (Duration::from_secs(10), 11, 12));
        assert_eq!(flow.handshake, Some(Duration::from_micros(250)));
    }

    /// The head and the words of an entry.
    fn words(
        family: Family,
        tag: u64,
        protocol: u8,
        looks: Looks,
    ) -> ([AtomicU64; 2], Vec<AtomicU64>) {
        let words: Vec<_> = (0..family.words()).map(|_| AtomicU64::new(0)).collect();
        let ports = u64::from_ne_bytes([0, 1, 0, 2, protocol, 0, 0, 0]);
        words[family.pair()].store(ports, Ordering::Relaxed);
        let looks = Looks { state: looks.state | class(protocol), ..looks };
        ([AtomicU64::new(tag), AtomicU64::new(looks.pack())], words)
    }
}
