//! `zonegate bench path`: every scenario for every count of flows.

use std::{fs, io::Write, slice};

use super::{
    BenchError,
    crowded::Crowded,
    machine::Machine,
    node::{self, Node},
    options::PathOptions,
    plot,
    report::{Report, Row},
    scenario::{self, GROUPS},
    store::need_root,
    way,
};

/// Measures and prints. Needs root, and no interface that was there before; a running agent is not
/// disturbed.
pub fn run(options: &PathOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    let (counts, bystanders) = (options.flows(), options.bystanders);
    let mut sizes = counts.iter().map(|flows| (*flows, options.buckets(*flows)));
    if let Some((flows, buckets)) = sizes.find(|(flows, buckets)| flows > buckets) {
        return Err(BenchError::TableTooSmall { flows, buckets });
    }
    let machine = Machine::this();
    let neighbour = way::open()?;
    let most = counts.iter().copied().max().unwrap_or_default();
    let mut node = Node::open(options, bystanders, most, &neighbour)?;
    let mut rows = Vec::new();
    for flows in counts {
        rows.extend(measure(&mut node, flows, bystanders.far())?);
    }
    // Its tables take memory.
    drop(node);
    let place = |row: &Row| scenario::order().position(|name| name == row.scenario);
    rows.sort_by_key(|row| (place(row), row.flows));
    let everything = options.is_everything();
    let crowded = everything.then(|| Crowded::measure(options, &neighbour)).transpose()?;
    if let Some(path) = &options.svg {
        fs::write(path, plot::draw(&rows)?)?;
    }
    Report { machine, bystanders, rows, crowded }.print(options.output, out)
}

/// All scenarios of so many flows; `prefixes` is how many policies have beyond the clients' range.
fn measure(node: &mut Node, flows: u32, prefixes: u32) -> Result<Vec<Row>, BenchError> {
    let nodes = slice::from_mut(node);
    let mut rows = Vec::new();
    for group in GROUPS.iter().filter(|group| flows <= group.most) {
        rows.extend(node::group(nodes, group, flows)?);
    }
    rows.extend(node::replacing(nodes, flows)?);
    if flows >= LEAST_FRESH {
        rows.extend(node::fresh(nodes, flows)?);
    }
    if prefixes > 0 {
        rows.extend(node::far(nodes, flows, prefixes)?);
    }
    Ok(rows.into_iter().flatten().collect())
}

/// The time of fewer new flows cannot be told from that of the system call.
const LEAST_FRESH: u32 = 1 << 10;
