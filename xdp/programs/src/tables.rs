//! The maps as the datapath sees them.

use abi::{
    address::{Address6Key, Leaf, Prefix6Key},
    affinity::{Affinity, AffinityKey},
    control::Control,
    flow::{WORDS4, WORDS6},
    frontend::FrontendKey,
    next_hop::NextHop,
    port::Port,
    reason::DropReason,
    table::{Block, Table},
};
use aya_ebpf::{
    bindings::BPF_ANY,
    btf_maps::lpm_trie::Key,
    helpers::{bpf_jiffies64, bpf_ktime_get_ns},
};
use datapath::{
    Tables, V4, V6, Work,
    flow::bucket::{Bucket, Inserted},
};

use crate::{global, maps, word::MapWord};

pub struct KernelTables;

impl Tables for KernelTables {
    type Word = MapWord;

    #[inline(always)]
    fn control(&self) -> Option<&Control> {
        maps::CONTROL.get(0)
    }

    #[inline(always)]
    fn element(&self, table: Table, element: u32) -> Option<&Block> {
        match table {
            Table::Addresses4 => maps::ADDRESSES4.get(element),
            Table::Rows => maps::ROWS.get(element),
            Table::PortSets => maps::PORT_SETS.get(element),
            Table::Pages => maps::PAGES.get(element),
            Table::Endpoints => maps::ENDPOINTS.get(element),
            Table::Services => maps::SERVICES.get(element),
            Table::Backends => maps::BACKENDS.get(element),
            Table::Slots => maps::SLOTS.get(element),
            Table::Intervals => maps::INTERVALS.get(element),
        }
    }

    #[inline(always)]
    fn address6(&self, key: &Address6Key) -> Option<Leaf> {
        // SAFETY: a value is one word, which the agent replaces but never writes in place.
        unsafe { maps::ADDRESSES6.get(key) }.map(|word| Leaf(*word))
    }

    #[inline(always)]
    fn prefix6(&self, key: &Prefix6Key) -> Option<Leaf> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = key.address;
        let data = [key.side, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, 0, 0, 0, 0, 0, 0, 0];
        maps::PREFIXES6.get(&Key::new(key.prefix_len, data)).map(|word| Leaf(*word))
    }

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<u64> {
        // SAFETY: as for `address6`.
        unsafe { maps::FRONTENDS.get(key) }.copied()
    }

    #[inline(always)]
    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        maps::NEXT_HOPS.get(id)
    }

    #[inline(always)]
    fn neighbour(&self, place: u32) -> Option<&NextHop> {
        maps::NEIGHBOURS.get(place)
    }

    #[inline(always)]
    fn port(&self, endpoint: u16) -> Option<&Port> {
        maps::PORTS.get(endpoint as u32)
    }

    #[inline(always)]
    fn flows4(&self, bucket: u32) -> Option<&Bucket<[MapWord; WORDS4], MapWord>> {
        // SAFETY: the value is valid as long as the program runs, and shared as cells only.
        maps::FLOWS4.get_ptr(bucket).map(|value| unsafe { &*value.cast() })
    }

    #[inline(always)]
    fn flows6(&self, bucket: u32) -> Option<&Bucket<[MapWord; WORDS6], MapWord>> {
        // SAFETY: as above.
        maps::FLOWS6.get_ptr(bucket).map(|value| unsafe { &*value.cast() })
    }

    #[inline(always)]
    fn insert4(&self, _: &Work<V4>, hash: u64) -> Result<Inserted, DropReason> {
        global::unpack(global::insert4(hash))
    }

    #[inline(always)]
    fn insert6(&self, _: &Work<V6>, hash: u64) -> Result<Inserted, DropReason> {
        global::unpack(global::insert6(hash))
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: a value is plain data that is copied at once; one that is given up meanwhile is
        // another client's, and as good a hint.
        unsafe { maps::AFFINITY.get(key) }.copied()
    }

    #[inline(always)]
    fn remember(&self, key: &AffinityKey, affinity: &Affinity) {
        // The kernel may have no entry to give up right now; the next connection tries again.
        let _ = maps::AFFINITY.insert(key, affinity, BPF_ANY as u64);
    }

    #[inline(always)]
    fn clock(&self) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn nanoseconds(&self) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_ktime_get_ns() }
    }
}
