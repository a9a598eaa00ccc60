//! The datapath on a test bench: loaded, filled by real commits, attached to nothing.

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use abi::{
    control::Control,
    next_hop::{Neighbours, NextHop},
    port::Port,
};

use super::{
    config::KernelConfig,
    error::LoadError,
    flow_buckets::flow_buckets,
    kernel::Loaded,
    layout,
    programs::{ProgramSet, program_fd},
    prologue::{HookType, Prologue},
};
use crate::{
    dataplane::{CommitError, Counter, Flow, Stamp},
    image::Image,
    maps::{
        Backing, Counters, FlowTables, Follower, Jiffies, KernelMaps, KernelTables, MapError,
        NextHops, Ports, Tables,
    },
};

/// Programs and maps of their own, beside those of any agent. Nothing ages its flows or follows
/// links and neighbours.
///
/// Programs find their maps by pins. These are removed as soon as all is open, so that even a
/// process that is killed leaves nothing behind.
pub struct Rig {
    set: ProgramSet,
    pub prologue: Prologue,
    tables: Tables<KernelMaps>,
    flows: FlowTables,
    next_hops: NextHops,
    neighbours: NextHops,
    ports: Ports,
    counters: Counters,
    jiffies: Jiffies,
    /// That each flow table was made with.
    buckets: u32,
}

impl Rig {
    /// Loads everything; `config.bpffs` must not exist, and both flow tables have as many buckets
    /// as the one of IPv4. `flows` is the longest list of flows that the prologue will be given.
    pub fn open(config: &KernelConfig, flows: u32) -> Result<Self, LoadError> {
        let config = &KernelConfig { flow6_buckets: config.flow4_buckets, ..config.clone() };
        let [buckets, _] = flow_buckets(config);
        let directory = |source| LoadError::Directory { path: config.bpffs.clone(), source };
        fs::create_dir(&config.bpffs).map_err(directory)?;
        let _pins = Pins(config.bpffs.clone());
        let Loaded { programs, tables, jiffies, .. } = Loaded::load(config)?;
        let maps = config.maps();
        Ok(Self {
            set: programs,
            prologue: Prologue::load(&maps, flows)?,
            tables,
            flows: KernelMaps::flows(&maps)?,
            next_hops: KernelMaps::next_hops(&maps)?,
            neighbours: KernelMaps::neighbours(&maps)?,
            ports: KernelMaps::ports(&maps)?,
            counters: KernelMaps::counters(&maps)?,
            jiffies,
            buckets,
        })
    }

    pub fn commit(&mut self, image: &Image, stamp: Stamp) -> Result<Instant, CommitError> {
        self.tables.commit(image, stamp)
    }

    pub fn set_next_hop(&self, id: u32, hop: &NextHop) {
        self.next_hops.write(id, hop);
    }

    /// Makes a neighbour known, which routes may lead to.
    pub fn set_neighbour(&self, hop: &NextHop) {
        let bucket = Neighbours::bucket(hop.destination, hop.interface);
        self.neighbours.write(bucket * Neighbours::WAYS, hop);
    }

    /// Says where a local endpoint is plugged in.
    pub fn set_port(&self, endpoint: u16, port: &Port) {
        self.ports.write(endpoint, port);
    }

    /// Has the prologue go on in one of the programs, or in the empty one.
    pub fn aim(&mut self, hook: HookType, program: Option<&'static str>) -> Result<(), LoadError> {
        let program = program.map(|name| program_fd(&self.set.ebpf, name)).transpose()?;
        self.prologue.aim(hook, program.as_ref())
    }

    /// Has the prologue go on in the program of fixed work that machines are compared with.
    pub fn aim_at_calibration(&mut self) -> Result<(), LoadError> {
        self.prologue.aim_at_calibration()
    }

    pub fn counters(&self) -> Result<Vec<Counter>, LoadError> {
        let error = |source| MapError::Read { name: Counters::NAME, source };
        Ok(self.counters.read().map_err(error)?)
    }

    /// All live entries of both flow tables.
    pub fn live_flows(&self) -> Result<Vec<Flow>, LoadError> {
        let now = self.jiffies.now().map_err(MapError::Clock)?;
        Ok(self.flows.list(usize::MAX, now, &self.jiffies))
    }

    /// Empties both flow tables, which use `buckets` buckets from now on: a power of two, at most
    /// as many as they were made with. No packet may be under way.
    pub fn empty_flows(&self, buckets: u32) {
        let maps = self.tables.backing();
        let control = maps.control();
        for (table, mask) in
            [(&self.flows.v4, control.flow4_mask), (&self.flows.v6, control.flow6_mask)]
        {
            let bucket = table.buckets.words().len() / self.buckets as usize;
            for index in 0..bucket * (mask as usize + 1) {
                table.buckets.store(index, 0);
            }
        }
        let mask = buckets.min(self.buckets).saturating_sub(1);
        maps.initialise(&Control { flow4_mask: mask, flow6_mask: mask, ..control });
    }
}

/// The tables alone, as an agent commits to them; nothing is attached, whatever images name.
pub struct TableRig {
    pub tables: KernelTables,
    /// What the kernel says that all maps take.
    pub map_bytes: u64,
}

impl TableRig {
    /// Loads everything; `config.bpffs` must not exist.
    pub fn open(config: &KernelConfig) -> Result<Self, LoadError> {
        let directory = |source| LoadError::Directory { path: config.bpffs.clone(), source };
        fs::create_dir(&config.bpffs).map_err(directory)?;
        let _pins = Pins(config.bpffs.clone());
        let Loaded { tables, jiffies, .. } = Loaded::load(config)?;
        let maps = config.maps();
        let tables = KernelTables::new(
            tables,
            KernelMaps::next_hops(&maps)?,
            Arc::new(KernelMaps::flows(&maps)?),
            KernelMaps::counters(&maps)?,
            Arc::new(jiffies),
            Box::new(Nobody),
            Arc::default(),
        );
        Ok(Self { tables, map_bytes: layout::bytes(config)? })
    }
}

/// Has no ports to attach.
struct Nobody;

impl Follower for Nobody {
    fn prepare(&self, _: &Image) {}

    fn follow(&self, _: &Image) {}

    fn look_again(&self) {}
}

/// The directory of the pins, while they are needed.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let Self(directory) = self;
        if let Err(error) = fs::remove_dir_all(&*directory) {
            tracing::warn!(%error, path = %directory.display(), "pins are left");
        }
    }
}
