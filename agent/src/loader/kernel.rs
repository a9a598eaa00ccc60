//! Everything in the kernel, opened in the right order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex},
};

use super::{
    adopt, attach::Attacher, config::KernelConfig, error::LoadError, layout, lock::Lock,
    log::ProgramLog, programs::ProgramSet,
};
use crate::{
    dataplane::Dataplane,
    maps::{Jiffies, KernelMaps, KernelTables, Keyed, Tables},
    netlink::{Wanted, Watcher, WatcherParts},
};

/// The datapath of one node.
///
/// Dropping it stops the agent's part (ageing, following links and neighbours); programs, links
/// and maps stay and packets flow on.
pub struct Kernel {
    pub tables: KernelTables,
    pub guard: KernelGuard,
}

/// Programs and the tables they read, attached to nothing yet.
pub struct Loaded {
    pub programs: ProgramSet,
    pub tables: Tables<KernelMaps>,
    pub jiffies: Jiffies,
    lock: Lock,
}

impl Loaded {
    /// Loads the programs around the maps that are pinned, or new ones.
    ///
    /// # Errors
    /// Whatever is attached still runs what it ran.
    pub fn load(config: &KernelConfig) -> Result<Self, LoadError> {
        let lock = prepare(config)?;
        let programs = ProgramSet::load(config)?;
        let jiffies = Jiffies::new()?;
        let mut tables = open_tables(config, &jiffies)?;
        tables.settle();
        Ok(Self { programs, tables, jiffies, lock })
    }
}

impl Kernel {
    /// Loads the programs, and attaches them to the uplinks and to the ports of what an earlier
    /// agent committed.
    ///
    /// # Errors
    /// What an earlier agent attached is still attached, perhaps with the new programs; where
    /// nothing of ours was, nothing is.
    pub fn open(config: &KernelConfig) -> Result<Self, LoadError> {
        let Loaded { programs, tables, jiffies, lock } = Loaded::load(config)?;
        let maps = config.maps();
        let jiffies = Arc::new(jiffies);
        let mut attacher = Attacher::new(programs, config);
        let log = config.log.then(|| ProgramLog::new(&mut attacher)).transpose()?;
        let flows = Arc::new(KernelMaps::flows(&maps)?);
        let attached = Arc::new(Mutex::new(Vec::new()));
        let held = tables.held().map(|(image, _)| image).unwrap_or_default();
        let (ports, next_hops) = (KernelMaps::ports(&maps)?, KernelMaps::next_hops(&maps)?);
        let watcher = Watcher::start(WatcherParts {
            attacher,
            log,
            uplinks: config.uplinks.clone(),
            workload_interfaces: config.workload_interfaces.clone(),
            cgroup: config.cgroup()?,
            wanted: Wanted::of(&held),
            unlocated: BTreeSet::new(),
            takers: BTreeMap::new(),
            ports,
            next_hops: next_hops.clone(),
            neighbours: KernelMaps::neighbours(&maps)?,
            flows: Arc::clone(&flows),
            jiffies: Arc::clone(&jiffies),
            control: KernelMaps::control_record(&maps)?,
            peers: KernelMaps::peers(&maps)?,
            attached: Arc::clone(&attached),
        })?;
        let tables = KernelTables::new(
            tables,
            next_hops,
            flows,
            KernelMaps::counters(&maps)?,
            jiffies,
            Box::new(watcher.follower()),
            attached,
        );
        tracing::info!(
            bpffs = %config.bpffs.display(),
            adopted = tables.held().is_some(),
            "the datapath is open"
        );
        Ok(Self { tables, guard: KernelGuard { _watcher: watcher, _lock: lock } })
    }
}

/// Locks and fills the directory, as far as no program does it.
fn prepare(config: &KernelConfig) -> Result<Lock, LoadError> {
    config.check()?;
    // libbpf complains of pins that are not there yet; what matters comes back as an error.
    libbpf_rs::set_print(None);
    let lock = Lock::acquire(&config.bpffs)?;
    for directory in [config.maps(), config.sets(), config.links()] {
        fs::create_dir_all(&directory)
            .map_err(|source| LoadError::Directory { path: directory, source })?;
    }
    let maps = config.maps();
    for shape in layout::shapes(config) {
        shape.check_pinned(&maps)?;
        if Keyed::OWN.iter().any(|keyed| keyed.map_name() == shape.name) {
            shape.create_own(&maps)?;
        }
    }
    Ok(lock)
}

/// The pinned tables, with a control record of ours.
fn open_tables(config: &KernelConfig, jiffies: &Jiffies) -> Result<Tables<KernelMaps>, LoadError> {
    let backing = KernelMaps::open(&config.maps())?;
    adopt::adopt(&backing, config, jiffies)?;
    Ok(Tables::adopt(backing))
}

/// Keeps links, neighbours and flows followed, and the directory locked.
pub struct KernelGuard {
    _watcher: Watcher,
    _lock: Lock,
}
