//! The maps, with their default sizes; the agent resizes them when it loads the object.
//!
//! All are BTF maps, so that libbpf and bpftool open the object too. Names carry the ABI version.

use abi::{
    address::Address6Key,
    affinity::{AFFINITY_ENTRIES, Affinity, AffinityKey},
    control::Control,
    flow::{Bucket, WORDS4, WORDS6},
    frontend::FrontendKey,
    next_hop::{Neighbours, NextHop},
    port::Port,
    reason::COUNTERS,
    socket::{Peer, PeerKey},
    table::{Block, Table},
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray},
    macros::btf_map,
};
use datapath::{Address, V4, V6, Work};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// Array elements of a sided table: both sides.
const fn elements(table: Table) -> usize {
    table.default_blocks() as usize * 2
}

type Sided<const ELEMENTS: usize> = Array<Block, ELEMENTS, MMAPABLE>;

#[btf_map(name = "zg8_control")]
pub static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();
#[btf_map(name = "zg8_addr4")]
pub static ADDRESSES4: Sided<{ elements(Table::Addresses4) }> = Array::new();
#[btf_map(name = "zg8_rows")]
pub static ROWS: Sided<{ elements(Table::Rows) }> = Array::new();
#[btf_map(name = "zg8_portsets")]
pub static PORT_SETS: Sided<{ elements(Table::PortSets) }> = Array::new();
#[btf_map(name = "zg8_pages")]
pub static PAGES: Sided<{ elements(Table::Pages) }> = Array::new();
#[btf_map(name = "zg8_endpoints")]
pub static ENDPOINTS: Sided<{ elements(Table::Endpoints) }> = Array::new();
#[btf_map(name = "zg8_services")]
pub static SERVICES: Sided<{ elements(Table::Services) }> = Array::new();
#[btf_map(name = "zg8_backends")]
pub static BACKENDS: Sided<{ elements(Table::Backends) }> = Array::new();
#[btf_map(name = "zg8_slots")]
pub static SLOTS: Sided<{ elements(Table::Slots) }> = Array::new();
#[btf_map(name = "zg8_intervals")]
pub static INTERVALS: Sided<{ elements(Table::Intervals) }> = Array::new();

#[btf_map(name = "zg8_addr6")]
pub static ADDRESSES6: HashMap<Address6Key, u64, 65_536, NO_PREALLOC> = HashMap::new();
/// The data of a `Prefix6Key`: everything after the length.
#[btf_map(name = "zg8_prefix6")]
pub static PREFIXES6: LpmTrie<[u8; 24], u64, 131_072> = LpmTrie::new();
#[btf_map(name = "zg8_frontends")]
pub static FRONTENDS: HashMap<FrontendKey, u64, 65_536, NO_PREALLOC> = HashMap::new();

#[btf_map(name = "zg8_next_hops")]
pub static NEXT_HOPS: Array<NextHop, 65_536, MMAPABLE> = Array::new();
#[btf_map(name = "zg8_neighbours")]
pub static NEIGHBOURS: Array<NextHop, { Neighbours::ENTRIES as usize }, MMAPABLE> = Array::new();
#[btf_map(name = "zg8_ports")]
pub static PORTS: Array<Port, 4096, MMAPABLE> = Array::new();

#[btf_map(name = "zg8_flows4")]
pub static FLOWS4: Array<Bucket<WORDS4>, 65_536, MMAPABLE> = Array::new();
#[btf_map(name = "zg8_flows6")]
pub static FLOWS6: Array<Bucket<WORDS6>, 65_536, MMAPABLE> = Array::new();

#[btf_map(name = "zg8_peers")]
pub static PEERS: LruHashMap<PeerKey, Peer, 65_536> = LruHashMap::new();
#[btf_map(name = "zg8_affinity")]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity, { AFFINITY_ENTRIES as usize }> =
    LruHashMap::new();

#[btf_map(name = "zg8_counters")]
pub static COUNTERS_MAP: PerCpuArray<u64, { COUNTERS as usize }> = PerCpuArray::new();

#[btf_map(name = "zg8_tail_xdp")]
pub static TAIL_XDP: ProgramArray<{ abi::tail::XDP_PROGRAMS.len() }> = ProgramArray::new();
#[btf_map(name = "zg8_tail_tc")]
pub static TAIL_TC: ProgramArray<{ abi::tail::TC_PROGRAMS.len() }> = ProgramArray::new();

/// Room for a slow path's work: one packet at a time on a processor, since programs of these
/// types do not interrupt each other.
#[btf_map(name = "zg8_work")]
static WORK: PerCpuArray<[u64; WORK_WORDS], 1> = PerCpuArray::new();

const WORK_WORDS: usize = size_of::<Work<V6>>().div_ceil(8);
const _: () = assert!(size_of::<Work<V4>>() <= WORK_WORDS * 8 && align_of::<Work<V6>>() <= 8);

/// This processor's work.
#[inline(always)]
pub fn work<'w, A: Address>() -> Option<&'w mut Work<A>> {
    // SAFETY: the element is large and aligned enough (asserted above) and this processor's own;
    // every bit pattern that these programs leave there, and zero, is valid for both families'
    // integers, and the enums are written before they are read.
    WORK.get_ptr_mut(0).map(|words| unsafe { &mut *words.cast() })
}
