//! The maps of a simulated node.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use abi::{
    address::{Address6Key, Leaf, Prefix6Key},
    affinity::{Affinity, AffinityKey},
    control::{Control, PortRange, Timeouts},
    flow::{WORDS4, WORDS6},
    frontend::FrontendKey,
    next_hop::NextHop,
    port::Port,
    table::{BLOCK_WORDS, Block, Table},
};
use datapath::{Address, Context, Hook, Tables, V4, V6, flow::bucket::Bucket};

use crate::image::Image;

/// One side of the tables, and the flow tables.
pub struct SimulatedTables {
    control: Control,
    blocks: [Vec<Block>; Table::ALL.len()],
    addresses6: BTreeMap<[u8; 16], Leaf>,
    prefixes6: BTreeMap<([u8; 16], u8), Leaf>,
    frontends: BTreeMap<FrontendKey, u32>,
    ports: BTreeMap<u16, Port>,
    next_hops: BTreeMap<u32, NextHop>,
    flows4: Vec<Bucket<[AtomicU64; WORDS4], AtomicU64>>,
    flows6: Vec<Bucket<[AtomicU64; WORDS6], AtomicU64>>,
    affinity: Mutex<BTreeMap<AffinityKey, Affinity>>,
    now: AtomicU64,
}

/// Buckets of each flow table.
const BUCKETS: u32 = 256;
/// Interface of endpoint 0, if it had one.
const FIRST_INTERFACE: u32 = 1000;
static ZERO: Block = Block([0; BLOCK_WORDS]);

impl SimulatedTables {
    /// Kernel tables with the same key choose the same buckets and ports.
    pub const HASH_KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

    /// Tables that hold `image`, and no flows.
    pub fn new(image: &Image) -> Self {
        let mut tables = Self::empty();
        tables.commit(image);
        tables
    }

    /// Tables before the first commit.
    pub fn empty() -> Self {
        Self {
            control: Control {
                hash_key: Self::HASH_KEY,
                flow4_mask: BUCKETS - 1,
                flow6_mask: BUCKETS - 1,
                timeouts: Timeouts {
                    tcp_new: 1000,
                    tcp_established: 10_000,
                    tcp_closing: 1000,
                    udp: 1000,
                    other: 1000,
                    refresh: 100,
                },
                abi_version: abi::ABI_VERSION,
                masquerade: PortRange { first: 61_000, count: 4536 },
                jiffies_per_second: 100,
                handshake_sample: 1,
                fresh: 500,
                ..Control::default()
            },
            blocks: Default::default(),
            addresses6: BTreeMap::new(),
            prefixes6: BTreeMap::new(),
            frontends: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_hops: BTreeMap::new(),
            flows4: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            flows6: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            affinity: Mutex::default(),
            now: AtomicU64::new(0),
        }
    }

    /// Replaces what packets see; flows stay, and so do next hops. Every port of the image is
    /// given its [`Self::interface`].
    pub fn commit(&mut self, image: &Image) {
        // Always the even side: there is only one.
        self.control.generation = 2;
        self.control.flags = if image.prefixes6.is_empty() { 0 } else { Control::PREFIXES6 };
        self.blocks = Table::ALL.map(|table| {
            let (blocks, _) = image.words(table).as_chunks();
            blocks.iter().copied().map(Block).collect()
        });
        self.addresses6.clone_from(&image.addresses6);
        self.prefixes6.clone_from(&image.prefixes6);
        self.frontends.clone_from(&image.frontends);
        self.ports.clear();
        for endpoint in image.ports.keys() {
            self.set_interface(*endpoint, Self::interface(*endpoint));
        }
    }

    /// Plugs a local endpoint's port into another interface.
    pub fn set_interface(&mut self, endpoint: u16, interface: u32) {
        self.ports.insert(endpoint, Port { interface, mtu: 1500, ..Port::default() });
    }

    /// Makes a next hop known, which lets packets be sent on without the kernel.
    pub fn set_next_hop(&mut self, id: u32, hop: NextHop) {
        self.next_hops.insert(id, hop);
    }

    /// The interface that a local endpoint's port is given.
    pub fn interface(endpoint: u16) -> u32 {
        FIRST_INTERFACE + u32::from(endpoint)
    }

    /// The class of an address, as the programs find it.
    pub fn class(&self, address: IpAddr) -> Option<u32> {
        let context = Context::new(Hook::UplinkIngress, 0, self).ok()?;
        let leaf = match address {
            IpAddr::V4(address) => V4::new(address.octets()).leaf(&context),
            IpAddr::V6(address) => V6::new(address.octets()).leaf(&context),
        };
        leaf.map(Leaf::class)
    }

    /// Moves the clock.
    pub fn set_now(&self, jiffies: u64) {
        self.now.store(jiffies, Ordering::Relaxed);
    }

    /// Ends every flow. What services remember of clients stays.
    pub fn forget_flows(&self) {
        let heads4 = self.flows4.iter().flat_map(|it| &it.heads);
        let heads6 = self.flows6.iter().flat_map(|it| &it.heads);
        for head in heads4.chain(heads6) {
            head.tag.store(0, Ordering::Relaxed);
        }
    }
}

impl Tables for SimulatedTables {
    type Word = AtomicU64;

    fn control(&self) -> Option<&Control> {
        Some(&self.control)
    }

    fn element(&self, table: Table, element: u32) -> Option<&Block> {
        Some(self.blocks[table as usize].get(element as usize >> 1).unwrap_or(&ZERO))
    }

    fn address6(&self, key: &Address6Key) -> Option<Leaf> {
        self.addresses6.get(&key.address).copied()
    }

    fn prefix6(&self, key: &Prefix6Key) -> Option<Leaf> {
        let address = u128::from_be_bytes(key.address);
        (0..=128_u8).rev().find_map(|length| {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            self.prefixes6.get(&((address & mask).to_be_bytes(), length)).copied()
        })
    }

    fn frontend(&self, key: &FrontendKey) -> Option<u64> {
        let key = FrontendKey { side: key.side & !1, ..*key };
        self.frontends.get(&key).map(|service| u64::from(*service))
    }

    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        self.next_hops.get(&id)
    }

    /// There is nobody: the kernel is not asked for routes here.
    fn neighbour(&self, _: u32) -> Option<&NextHop> {
        const NOBODY: NextHop =
            NextHop { destination: [0; 8], source: [0; 8], interface: 0, mtu: 0, padding: 0 };
        Some(&NOBODY)
    }

    fn port(&self, endpoint: u16) -> Option<&Port> {
        const NOBODY: Port = Port { interface: 0, mtu: 0, mac: [0; 6], padding: 0 };
        Some(self.ports.get(&endpoint).unwrap_or(&NOBODY))
    }

    fn flows4(&self, bucket: u32) -> Option<&Bucket<[AtomicU64; WORDS4], AtomicU64>> {
        self.flows4.get(bucket as usize)
    }

    fn flows6(&self, bucket: u32) -> Option<&Bucket<[AtomicU64; WORDS6], AtomicU64>> {
        self.flows6.get(bucket as usize)
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinity.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn remember(&self, key: &AffinityKey, affinity: &Affinity) {
        self.affinity.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, *affinity);
    }

    fn clock(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn nanoseconds(&self) -> u64 {
        self.clock() * (1_000_000_000 / u64::from(self.control.jiffies_per_second))
    }
}
