//! `zonegate bench path`: every scenario for every count of flows.

use std::io::Write;

use abi::{next_hop::NextHop, port::Port};

use super::{
    BenchError, flows,
    machine::Machine,
    options::PathOptions,
    report::{Report, Row},
    runner::{self, Amount},
    scenario::{self, GROUPS, Group, NEW, NEW_FRESH, Scenario},
    services::crowd::Crowd,
    statistics::{Summary, lower_quartile},
    stopwatch,
    store::{need_root, pins, refused},
    world::{self, NODE},
};
use crate::{
    compile::Compiler,
    config::Config,
    dataplane::Stamp,
    loader::{KernelConfig, Rig},
};

/// Measures and prints. Needs root, and no interface; a running agent is not disturbed.
pub fn run(options: &PathOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    let (counts, buckets) = (options.flows(), options.table_buckets);
    if let Some(flows) = counts.iter().copied().find(|flows| *flows > buckets) {
        return Err(BenchError::TableTooSmall { flows, buckets });
    }
    let machine = Machine::this();
    let mut bench = PathBench::open(options)?;
    let mut rows = Vec::new();
    for flows in counts {
        for group in GROUPS {
            rows.extend(bench.group(group, flows)?);
        }
        rows.push(bench.replacing(flows)?);
        if flows >= LEAST_FRESH {
            rows.push(bench.fresh(flows)?);
        }
    }
    let place = |row: &Row| scenario::order().position(|name| name == row.scenario);
    rows.sort_by_key(|row| (place(row), row.flows));
    Report { machine, prefixes: options.prefixes, rows }.print(options.output, out)
}

/// The time of fewer new flows cannot be told from that of the system call.
const LEAST_FRESH: u32 = 1 << 10;

/// The programs, with the world of the benchmark in their tables.
fn filled_rig(buckets: u32, options: &PathOptions) -> Result<Rig, BenchError> {
    let crowd = Crowd { services: options.services, endpoints: CROWD_ENDPOINTS };
    let config = KernelConfig {
        bpffs: pins(),
        flow4_buckets: Some(buckets),
        tables: crowd.tables(),
        ..KernelConfig::default()
    };
    let mut rig = Rig::open(&config, buckets)?;
    let mut world = world::world(options.prefixes).map_err(|error| refused(error.to_string()))?;
    crowd.resources().for_each(|resource| world.upsert(resource));
    let limits = Config { kernel: config, ..Config::default() }.table_limits();
    let image =
        Compiler::new(NODE.to_owned(), limits).compile(&world).map_err(BenchError::Refused)?;
    rig.commit(&image, Stamp { lineage: 1, revision: 1 })?;
    for id in image.next_hops.keys() {
        rig.set_next_hop(*id, &NEXT_HOP);
    }
    for id in image.ports.keys() {
        rig.set_port(*id, &PORT);
    }
    Ok(rig)
}

/// Of each service that nobody calls.
const CROWD_ENDPOINTS: u32 = 20;

/// Back out of the interface that test packets seem to come in by: the loopback's index is 1 in
/// every network namespace.
const NEXT_HOP: NextHop = NextHop {
    destination: [2, 0, 0, 0, 0, 3, 1, 0],
    source: [2, 0, 0, 0, 0, 1, 0, 0],
    interface: 1,
    mtu: 1500,
    padding: 0,
};

/// Every workload is at that interface, too.
const PORT: Port = Port { interface: NEXT_HOP.interface, mtu: 1500, mac: [0; 6], padding: 0 };

/// Programs and tables that scenarios are run on.
pub struct PathBench {
    rig: Rig,
    buckets: u32,
    rounds: u32,
    packets: u32,
}

impl PathBench {
    /// Loads and fills everything, and keeps this thread on one processor.
    pub fn open(options: &PathOptions) -> Result<Self, BenchError> {
        stopwatch::pin()?;
        Ok(Self {
            rig: filled_rig(options.table_buckets, options)?,
            buckets: options.table_buckets,
            rounds: options.rounds(),
            packets: options.packets(),
        })
    }

    /// The scenarios of a group in turn, round after round.
    pub fn group(&mut self, group: &Group, flows: u32) -> Result<Vec<Row>, BenchError> {
        self.rig.empty_flows(self.buckets);
        let numbers = flows::open(&mut self.rig, group, flows)?;
        self.rig.prologue.list_flows(&numbers);
        let amount = Amount { flows, packets: self.packets.max(flows) };
        let mut figures = vec![Vec::new(); group.scenarios.len()];
        let mut work = Vec::new();
        for _ in 0..self.rounds {
            work.push(self.work()?);
            for (scenario, figures) in group.scenarios.iter().zip(&mut figures) {
                figures.push(runner::measure(&mut self.rig, scenario, amount)?);
            }
        }
        let rows = group.scenarios.iter().zip(figures);
        Ok(rows.map(|(scenario, figures)| row(scenario, flows, &figures, &work)).collect())
    }

    /// New flows in a full table with room for `flows`: every packet replaces two entries.
    pub fn replacing(&mut self, flows: u32) -> Result<Row, BenchError> {
        let buckets = self.buckets_for(flows);
        self.rig.empty_flows(buckets);
        self.rig.prologue.set_up(&NEW.packet.setup(0, 0));
        // Sixteen entries for each bucket of four leave none with room.
        runner::run(&mut self.rig, &NEW, Amount { flows, packets: 8 * buckets })?;
        let amount = Amount { flows, packets: self.packets };
        let (mut figures, mut work) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            work.push(self.work()?);
            figures.push(runner::measure_new(&mut self.rig, &NEW, amount, 1, |_| ())?);
        }
        Ok(row(&NEW, flows, &figures, &work))
    }

    /// New flows in a table that is empty before the first of `flows`, and half full after the
    /// last.
    fn fresh(&mut self, flows: u32) -> Result<Row, BenchError> {
        let buckets = self.buckets_for(flows);
        self.rig.empty_flows(buckets);
        self.rig.prologue.set_up(&NEW_FRESH.packet.setup(0, 0));
        let batches = (self.packets / flows).clamp(1, MOST_BATCHES);
        let amount = Amount { flows, packets: flows };
        let empty = |rig: &Rig| rig.empty_flows(buckets);
        let (mut figures, mut work) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            work.push(self.work()?);
            let figure = runner::measure_new(&mut self.rig, &NEW_FRESH, amount, batches, empty)?;
            figures.push(figure);
        }
        Ok(row(&NEW_FRESH, flows, &figures, &work))
    }

    /// A round of the work that ratios are to.
    fn work(&mut self) -> Result<f64, BenchError> {
        runner::calibrate(&mut self.rig, self.packets)
    }

    /// A flow has two entries, a bucket room for four: as many buckets as flows are half full.
    fn buckets_for(&self, flows: u32) -> u32 {
        flows.max(LEAST_BUCKETS).next_power_of_two().min(self.buckets)
    }
}

/// Each has a fixed cost in time, though not in figures.
const MOST_BATCHES: u32 = 8;
/// With fewer, a flow would often replace its own other half.
const LEAST_BUCKETS: u32 = 64;

fn row(scenario: &Scenario, flows: u32, figures: &[f64], work: &[f64]) -> Row {
    let ns = Summary::of(figures);
    // What others do on the machine makes some rounds of caches' work slower, and none faster.
    let ratio = lower_quartile(figures) / Summary::of(work).median;
    let ratio = (ratio * 1e3).round() / 1e3;
    Row { scenario: scenario.name, flows, ns, ratio, hook: scenario.hook.name() }
}
