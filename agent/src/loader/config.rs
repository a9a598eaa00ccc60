//! What the loader may be told.

use std::path::PathBuf;

use abi::{affinity::AFFINITY_ENTRIES, table::Table};
use serde::Deserialize;

use super::{cgroup, error::LoadError, interface_pattern::InterfacePattern, port_range::Ports};

/// Where the maps are, how large, and which links are uplinks. Sizes count from the moment at
/// which the maps are made; other sizes need a teardown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelConfig {
    /// A directory on a BPF file system; made when missing. One agent per directory.
    pub bpffs: PathBuf,
    /// Interfaces that lead out of the node. One that is absent is attached when it appears.
    pub uplinks: Vec<String>,
    /// Interfaces that are workloads' by their names, whether their workload is known or not: until
    /// it is, nothing passes.
    pub workload_interfaces: Vec<InterfacePattern>,
    /// The cgroup (v2) whose processes reach services if they are in the agent's network
    /// namespace; empty for none. Unset, the root of the hierarchy, wherever it is mounted.
    pub cgroup: Option<PathBuf>,
    /// Generic XDP, for drivers without native support: correct, but slow.
    pub xdp_generic: bool,
    /// clsact filters also where the kernel has tcx links.
    pub clsact: bool,
    /// The programs that log what their slow path does.
    pub log: bool,
    /// Buckets of four flow entries each: a power of two, at least [`LEAST_BUCKETS`]. Unset, as many as
    /// the pinned tables have, or as the memory allows.
    pub flow4_buckets: Option<u32>,
    pub flow6_buckets: Option<u32>,
    /// Clients whose backends services remember, of all services together.
    pub affinity_entries: u32,
    /// Source ports for what is not to show backends its clients' addresses.
    pub masquerade_ports: Ports,
    /// Where services have node ports.
    pub node_ports: Ports,
    pub midstream: Midstream,
    /// Of so many new TCP connections of services, the handshake of one is timed; a power of two,
    /// or 0 for none.
    pub handshake_sample: u32,
    pub tables: TableSizes,
}

/// What becomes of a TCP packet to a service in the middle of a connection that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Midstream {
    /// The client hears that the connection is gone.
    #[default]
    Reset,
    Drop,
    /// The rules of a kube-proxy that is being replaced may know the connection.
    Kernel,
}

impl Midstream {
    /// As in the control record.
    pub const fn word(self) -> u32 {
        match self {
            Self::Reset => abi::control::Midstream::RESET,
            Self::Drop => abi::control::Midstream::DROP,
            Self::Kernel => abi::control::Midstream::PASS,
        }
    }
}

/// An entry is in one of two.
const LEAST_BUCKETS: u32 = 2;

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            bpffs: PathBuf::from("/sys/fs/bpf/zonegate"),
            uplinks: Vec::new(),
            workload_interfaces: Vec::new(),
            cgroup: None,
            xdp_generic: false,
            clsact: false,
            log: false,
            flow4_buckets: None,
            flow6_buckets: None,
            affinity_entries: AFFINITY_ENTRIES,
            masquerade_ports: Ports::new(61_000, 65_535),
            node_ports: Ports::new(30_000, 32_767),
            midstream: Midstream::default(),
            handshake_sample: 16,
            tables: TableSizes::default(),
        }
    }
}

/// Capacities of one side of each table: blocks of eight words for the arrays, entries for the
/// hashes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableSizes {
    pub addresses4: u32,
    pub rows: u32,
    pub port_sets: u32,
    pub pages: u32,
    pub endpoints: u32,
    pub services: u32,
    pub backends: u32,
    pub slots: u32,
    pub intervals: u32,
    pub addresses6: u32,
    pub prefixes6: u32,
    pub frontends: u32,
    /// Not sided, as the next.
    pub next_hops: u32,
    /// Sockets of the node's own processes whose peers are remembered.
    pub peers: u32,
}

impl Default for TableSizes {
    fn default() -> Self {
        Self {
            addresses4: Table::Addresses4.default_blocks(),
            rows: Table::Rows.default_blocks(),
            port_sets: Table::PortSets.default_blocks(),
            pages: Table::Pages.default_blocks(),
            endpoints: Table::Endpoints.default_blocks(),
            services: Table::Services.default_blocks(),
            backends: Table::Backends.default_blocks(),
            slots: Table::Slots.default_blocks(),
            intervals: Table::Intervals.default_blocks(),
            addresses6: 65_536,
            prefixes6: 16_384,
            frontends: 65_536,
            next_hops: 65_536,
            peers: 65_536,
        }
    }
}

impl TableSizes {
    pub const fn blocks(&self, table: Table) -> u32 {
        match table {
            Table::Addresses4 => self.addresses4,
            Table::Rows => self.rows,
            Table::PortSets => self.port_sets,
            Table::Pages => self.pages,
            Table::Endpoints => self.endpoints,
            Table::Services => self.services,
            Table::Backends => self.backends,
            Table::Slots => self.slots,
            Table::Intervals => self.intervals,
        }
    }
}

impl KernelConfig {
    /// Refuses what no kernel could do.
    pub fn check(&self) -> Result<(), LoadError> {
        for (field, buckets) in
            [("flow4_buckets", self.flow4_buckets), ("flow6_buckets", self.flow6_buckets)]
        {
            let refused = |it: &u32| !it.is_power_of_two() || *it < LEAST_BUCKETS;
            if let Some(value) = buckets.filter(refused) {
                return Err(LoadError::NotPowerOfTwo { field, value, least: LEAST_BUCKETS });
            }
        }
        let sample = self.handshake_sample;
        if sample != 0 && !sample.is_power_of_two() {
            let field = "handshake_sample";
            return Err(LoadError::NotPowerOfTwo { field, value: sample, least: 1 });
        }
        self.masquerade_ports.check_apart("node_ports", self.node_ports)?;
        self.masquerade_ports.check_apart("net.ipv4.ip_local_port_range", Ports::of_sockets()?)
    }

    /// Where the maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.bpffs.join("maps")
    }

    /// Where the tail-call maps of each set of programs are pinned.
    pub fn sets(&self) -> PathBuf {
        self.bpffs.join("sets")
    }

    /// The cgroup that is meant; empty for none.
    pub(super) fn cgroup(&self) -> Result<PathBuf, LoadError> {
        self.cgroup.clone().map_or_else(cgroup::root, Ok)
    }

    pub(super) fn links(&self) -> PathBuf {
        self.bpffs.join("links")
    }
}
