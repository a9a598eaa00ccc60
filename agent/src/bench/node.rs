//! The node whose programs are measured: loaded, with the world of the benchmark in their tables.

use abi::{next_hop::NextHop, port::Port};

use super::{
    BenchError,
    bystanders::Bystanders,
    flows,
    options::PathOptions,
    report::Row,
    runner::{self, Amount},
    scenario::{DENIED_FAR, Group, NEW, NEW_FRESH, Scenario},
    statistics::{Summary, lower_quartile},
    stopwatch,
    store::{pins, refused},
    world::{self, NODE},
};
use crate::{
    compile::Compiler,
    config::Config,
    dataplane::Stamp,
    loader::{KernelConfig, Rig},
};

/// Programs and tables that scenarios are run on.
pub struct Node {
    rig: Rig,
    options: PathOptions,
}

impl Node {
    /// Loads and fills everything, and keeps this thread on one processor. Flow tables have room for
    /// `flows` flows; `neighbour` is the one that routes to pods lead to.
    pub fn open(
        options: &PathOptions,
        bystanders: Bystanders,
        flows: u32,
        neighbour: &NextHop,
    ) -> Result<Self, BenchError> {
        stopwatch::pin()?;
        let rig = filled_rig(options.buckets(flows), bystanders)?;
        rig.set_neighbour(neighbour);
        Ok(Self { rig, options: options.clone() })
    }

    /// Opens flows for the scenarios of a group.
    fn open_flows(&mut self, group: &Group, flows: u32) -> Result<(), BenchError> {
        self.rig.empty_flows(self.options.buckets(flows));
        let numbers = flows::open(&mut self.rig, group, flows)?;
        self.rig.prologue.list_flows(&numbers);
        Ok(())
    }

    /// Fills the table that has room for `flows`, so that every packet replaces two entries.
    fn fill(&mut self, flows: u32) -> Result<(), BenchError> {
        let buckets = self.tight_buckets(flows);
        self.rig.empty_flows(buckets);
        self.rig.prologue.set_up(&NEW.packet.setup(0, 0));
        // Sixteen entries for each bucket of four leave none with room.
        runner::run(&mut self.rig, &NEW, Amount { flows, packets: 8 * buckets })
    }

    /// A round of the work that ratios are to.
    fn work(&mut self) -> Result<f64, BenchError> {
        runner::calibrate(&mut self.rig, self.options.packets())
    }

    /// A flow has two entries, a bucket room for four: as many buckets as flows are half full.
    fn tight_buckets(&self, flows: u32) -> u32 {
        flows.max(LEAST_BUCKETS).next_power_of_two().min(self.options.buckets(flows))
    }
}

/// With fewer, a flow would often replace its own other half.
const LEAST_BUCKETS: u32 = 64;

/// The scenarios of a group: rows of each node.
pub fn group(nodes: &mut [Node], group: &Group, flows: u32) -> Result<Vec<Vec<Row>>, BenchError> {
    for node in &mut *nodes {
        node.open_flows(group, flows)?;
    }
    in_turn(nodes, group.scenarios, flows, |node, scenario| {
        let amount = Amount { flows, packets: node.options.packets().max(flows) };
        runner::measure(&mut node.rig, scenario, amount)
    })
}

/// New flows in a full table with room for `flows`.
pub fn replacing(nodes: &mut [Node], flows: u32) -> Result<Vec<Vec<Row>>, BenchError> {
    for node in &mut *nodes {
        node.fill(flows)?;
    }
    in_turn(nodes, &[NEW], flows, |node, scenario| {
        let amount = Amount { flows, packets: node.options.packets() };
        runner::measure_new(&mut node.rig, scenario, amount, 1, |_| ())
    })
}

/// New flows in a table that is empty before the first of `flows`, and half full after the last.
pub fn fresh(nodes: &mut [Node], flows: u32) -> Result<Vec<Vec<Row>>, BenchError> {
    for node in &*nodes {
        node.rig.prologue.set_up(&NEW_FRESH.packet.setup(0, 0));
    }
    in_turn(nodes, &[NEW_FRESH], flows, |node, scenario| {
        let buckets = node.tight_buckets(flows);
        let batches = (node.options.packets() / flows).clamp(1, MOST_BATCHES);
        let amount = Amount { flows, packets: flows };
        let empty = |rig: &Rig| rig.empty_flows(buckets);
        runner::measure_new(&mut node.rig, scenario, amount, batches, empty)
    })
}

/// Each has a fixed cost in time, though not in figures.
const MOST_BATCHES: u32 = 8;

/// Denied packets of `flows` sources in so many prefixes, without order.
pub fn far(nodes: &mut [Node], flows: u32, prefixes: u32) -> Result<Vec<Vec<Row>>, BenchError> {
    let sources = flows::scattered(flows, prefixes);
    for node in &mut *nodes {
        node.rig.empty_flows(node.options.buckets(flows));
        node.rig.prologue.list_flows(&sources);
    }
    in_turn(nodes, &[DENIED_FAR], flows, |node, scenario| {
        let amount = Amount { flows, packets: node.options.packets().max(flows) };
        runner::measure(&mut node.rig, scenario, amount)
    })
}

/// Nodes and scenarios take turns, round after round: what others do on the machine, they do to all.
fn in_turn(
    nodes: &mut [Node],
    scenarios: &[Scenario],
    flows: u32,
    mut measure: impl FnMut(&mut Node, &Scenario) -> Result<f64, BenchError>,
) -> Result<Vec<Vec<Row>>, BenchError> {
    let rounds = nodes.first().map_or(0, |node| node.options.rounds(flows));
    let mut figures = vec![vec![Vec::new(); scenarios.len()]; nodes.len()];
    let mut work = Vec::new();
    for _ in 0..rounds {
        for (node, figures) in nodes.iter_mut().zip(&mut figures) {
            work.push(node.work()?);
            for (scenario, figures) in scenarios.iter().zip(figures) {
                figures.push(measure(node, scenario)?);
            }
        }
    }
    let rows = |(node, figures): (&Node, Vec<Vec<f64>>)| {
        let buckets = node.options.buckets(flows);
        let rows = scenarios.iter().zip(figures);
        rows.map(|(scenario, figures)| row(scenario, flows, buckets, &figures, &work)).collect()
    };
    Ok(nodes.iter().zip(figures).map(rows).collect())
}

fn row(scenario: &Scenario, flows: u32, buckets: u32, figures: &[f64], work: &[f64]) -> Row {
    let ns = Summary::of(figures);
    // What others do on the machine makes some rounds of caches' work slower, and none faster.
    let ratio = lower_quartile(figures) / Summary::of(work).median;
    let ratio = (ratio * 1e3).round() / 1e3;
    Row { scenario: scenario.name, flows, buckets, ns, ratio, hook: scenario.hook.name() }
}

/// The programs, with the world of the benchmark in their tables.
fn filled_rig(buckets: u32, bystanders: Bystanders) -> Result<Rig, BenchError> {
    let config = KernelConfig {
        bpffs: pins(),
        flow4_buckets: Some(buckets),
        tables: bystanders.tables(),
        ..KernelConfig::default()
    };
    let mut rig = Rig::open(&config, buckets)?;
    let world = world::world(bystanders).map_err(|error| refused(error.to_string()))?;
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

/// Back out of the interface that test packets seem to come in by: the loopback's index is 1 in
/// every network namespace.
const NEXT_HOP: NextHop = NextHop {
    destination: [2, 0, 0, 0, 0, 3, 1, 1],
    source: [2, 0, 0, 0, 0, 1, 0, 0],
    interface: 1,
    mtu: 1500,
    padding: 0,
};

/// Every workload is at that interface, too.
const PORT: Port = Port { interface: NEXT_HOP.interface, mtu: 1500, mac: [0; 6], padding: 0 };
