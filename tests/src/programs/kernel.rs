//! The programs and their maps, loaded once per process and attached to nothing.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use abi::{
    affinity::AFFINITY_MAP,
    control::Control,
    flow::tag,
    next_hop::NextHop,
    port::Port,
    tail::{TC_MAP, TC_PROGRAMS, XDP_MAP, XDP_PROGRAMS},
};
use anyhow::{Context, Result};
use datapath::Hook;
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use nix::net::if_::if_nametoindex;
use zonegate::{
    dataplane::{Flow, Stamp},
    image::Image,
    loader::{KernelConfig, Loaded},
    maps::{Backing, Counters, FlowTables, KernelMaps, Mapping, NextHops, Ports},
    simulate::SimulatedTables,
};

use super::{
    pins::Pins,
    run::{self, Run},
};
use crate::{names, netns::Netns};

/// The interfaces that hooks can be on.
pub const INTERFACES: [&str; 4] = ["uplink0", "zg-web", "zg-shop", "zg-batch"];

/// The programs, with one test at a time to use them.
///
/// Namespace and pins lose their names as soon as everything is open, so that nothing remains
/// however the process ends.
pub struct Programs {
    pub(super) netns: Netns,
    interfaces: BTreeMap<String, u32>,
    pub(super) loaded: Loaded,
    ports: Ports,
    next_hops: NextHops,
    pub(super) flows: FlowTables,
    pub(super) counters: Counters,
    affinity: MapHandle,
    tail_calls: [MapHandle; 2],
}

impl Programs {
    /// Waits for the programs, and gives them empty tables.
    pub fn acquire() -> MutexGuard<'static, Self> {
        static PROGRAMS: OnceLock<Result<Mutex<Programs>, String>> = OnceLock::new();
        let programs = PROGRAMS
            .get_or_init(|| Self::load().map(Mutex::new).map_err(|error| format!("{error:#}")));
        let programs = programs.as_ref().unwrap_or_else(|error| panic!("no programs: {error}"));
        // A test that failed leaves nothing that `forget` does not put right.
        let mut programs = programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.forget().expect("emptying the maps");
        programs
    }

    fn load() -> Result<Self> {
        let netns = Netns::create(&names::unique())?;
        let ports = (0..IDS).map(|endpoint| format!("{PORT}{endpoint}"));
        let names: Vec<_> = INTERFACES.into_iter().map(str::to_owned).chain(ports).collect();
        let pairs = names.iter().enumerate();
        let lines: Vec<_> =
            pairs.map(|(n, name)| format!("link add {name} type veth peer name far{n}")).collect();
        netns.ip(&lines)?;
        let interfaces = netns.run(|| {
            let index = |name: String| anyhow::Ok((name.clone(), if_nametoindex(name.as_str())?));
            names.into_iter().map(index).collect::<Result<_>>()
        })?;
        netns.unname();

        let pins = Pins::new();
        let config = KernelConfig {
            bpffs: pins.path().to_owned(),
            flow4_buckets: Some(BUCKETS),
            flow6_buckets: Some(BUCKETS),
            ..KernelConfig::default()
        };
        Self::open(&config, netns, interfaces)
    }

    fn open(
        config: &KernelConfig,
        netns: Netns,
        interfaces: BTreeMap<String, u32>,
    ) -> Result<Self> {
        let loaded = Loaded::load(config)?;
        let maps = config.maps();
        let tail_calls = |name| MapHandle::from_pinned_path(config.sets().join("1").join(name));
        Ok(Self {
            netns,
            interfaces,
            loaded,
            ports: KernelMaps::ports(&maps)?,
            next_hops: KernelMaps::next_hops(&maps)?,
            flows: KernelMaps::flows(&maps)?,
            counters: KernelMaps::counters(&maps)?,
            affinity: MapHandle::from_pinned_path(maps.join(AFFINITY_MAP))?,
            tail_calls: [tail_calls(XDP_MAP)?, tail_calls(TC_MAP)?],
        })
    }

    /// The index of one of [`INTERFACES`].
    pub fn interface(&self, name: &str) -> u32 {
        let known = self.interfaces.get(name);
        *known.unwrap_or_else(|| panic!("no {name:?} in {:?}", self.interfaces))
    }

    /// The index of an interface for an endpoint whose own has no name here.
    pub fn spare_interface(&self, endpoint: u16) -> u32 {
        self.interface(&format!("{PORT}{endpoint}"))
    }

    /// Says where a local endpoint's port is.
    pub fn plug(&self, endpoint: u16, interface: u32) {
        self.ports.write(endpoint, &Port { interface, mtu: 1500, ..Port::default() });
    }

    pub fn commit(&mut self, image: &Image) -> Result<()> {
        self.loaded.tables.commit(image, Stamp::default())?;
        Ok(())
    }

    pub fn set_next_hop(&self, id: u32, hop: &NextHop) {
        self.next_hops.write(id, hop);
    }

    /// Runs a hook's program; says what it did and which counters moved by how much.
    pub fn run(
        &self,
        hook: Hook,
        interface: u32,
        mark: u32,
        frame: &[u8],
    ) -> Result<(Run, Vec<(&'static str, u64)>)> {
        let program = self.loaded.programs.fd(program(hook))?;
        let before = self.counters.read()?;
        let run = self.netns.run(|| match hook {
            Hook::UplinkIngress => run::xdp(program.as_fd(), interface, frame),
            _ => run::tc(program.as_fd(), interface, mark, frame),
        });
        let run = run.with_context(|| format!("a test run of {hook:?}"))?;
        let after = self.counters.read()?.into_iter().zip(before);
        let moved = after.map(|(after, before)| (after.name, after.packets - before.packets));
        Ok((run, moved.filter(|(_, packets)| *packets != 0).collect()))
    }

    /// Empties the tail-call maps, as when the agent's own died with it.
    pub fn cut_tail_calls(&self) -> Result<()> {
        for map in &self.tail_calls {
            for slot in 0..map.max_entries() {
                map.delete(&slot.to_ne_bytes())?;
            }
        }
        Ok(())
    }

    /// Back to maps that nothing was committed to.
    pub fn forget(&mut self) -> Result<()> {
        let maps = self.loaded.tables.backing();
        let hash_key = SimulatedTables::HASH_KEY;
        maps.initialise(&Control {
            generation: 0,
            hash_key,
            handshake_sample: 1,
            flow4_mask: BUCKETS - 1,
            flow6_mask: BUCKETS - 1,
            ..maps.control()
        });
        for id in 0..IDS {
            self.ports.write(id, &Port::default());
            self.next_hops.clear(id.into());
        }
        self.forget_flows();
        for client in self.affinity.keys() {
            self.affinity.delete(&client)?;
        }
        self.join_tail_calls()
    }

    /// All live entries of both flow tables.
    pub fn live_flows(&self) -> Result<Vec<Flow>> {
        let jiffies = &self.loaded.jiffies;
        Ok(self.flows.list(usize::MAX, jiffies.now()?, jiffies))
    }

    /// Has the flow tables use so many of their buckets only: a power of two from two on. There are no
    /// flows yet.
    pub fn use_buckets(&self, buckets: u32) {
        let maps = self.loaded.tables.backing();
        let mask = buckets.min(BUCKETS) - 1;
        maps.initialise(&Control { flow4_mask: mask, flow6_mask: mask, ..maps.control() });
    }

    /// Has every flow's next packet looked at, as one is anyway after the refresh time.
    pub fn look_again(&self) {
        let maps = self.loaded.tables.backing();
        let control = maps.control();
        maps.initialise(&Control { routes: control.routes.wrapping_add(1), ..control });
    }

    /// Has the handshake of one in so many connections timed.
    pub fn sample_handshakes(&self, sample: u32) {
        let maps = self.loaded.tables.backing();
        maps.configure(&Control { handshake_sample: sample, ..maps.control() });
    }

    /// Ends every flow, and gives back what [`Self::claim_flow_tables`] took.
    pub fn forget_flows(&self) {
        for (table, tag) in self.flow_tags() {
            table.store(tag, 0);
        }
    }

    /// Leaves no entry to new flows, as if other processors were busy with every free one.
    pub fn claim_flow_tables(&self) {
        for (table, tag) in self.flow_tags() {
            if table.load(tag) & tag::STATE == tag::FREE {
                table.store(tag, tag::CLAIMED);
            }
        }
    }

    /// The tags of all entries.
    pub fn tags(&self) -> impl Iterator<Item = u64> {
        self.flow_tags().map(|(table, tag)| table.load(tag))
    }

    /// Where the tags of all entries are.
    fn flow_tags(&self) -> impl Iterator<Item = (&Mapping, usize)> {
        let tables = [&self.flows.v4, &self.flows.v6];
        tables.into_iter().flat_map(|table| table.tags().map(|tag| (&table.buckets, tag)))
    }

    fn join_tail_calls(&self) -> Result<()> {
        for (map, programs) in self.tail_calls.iter().zip([&XDP_PROGRAMS[..], &TC_PROGRAMS]) {
            for (slot, program) in (0_u32..).zip(programs) {
                let program = self.loaded.programs.fd(program)?;
                let fd = program.as_fd().as_raw_fd().to_ne_bytes();
                map.update(&slot.to_ne_bytes(), &fd, MapFlags::ANY)?;
            }
        }
        Ok(())
    }
}

pub(super) const fn program(hook: Hook) -> &'static str {
    match hook {
        Hook::UplinkIngress => "uplink_ingress",
        Hook::UplinkHandover => "uplink_handover",
        Hook::UplinkEgress => "uplink_egress",
        Hook::WorkloadIngress => "workload_ingress",
        Hook::WorkloadEgress => "workload_egress",
        Hook::Socket => panic!("no packets come by sockets"),
    }
}

/// How the interfaces of endpoints without a name are called, by endpoint.
const PORT: &str = "port";

/// Endpoints and next hops that a test's world may have.
const IDS: u16 = 16;
const BUCKETS: u32 = 256;
