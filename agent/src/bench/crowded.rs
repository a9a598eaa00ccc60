//! What packets cost beside many resources, and beside few: nodes of both take turns.

use std::io::{self, Write};

use abi::next_hop::NextHop;
use serde::Serialize;

use super::{
    BenchError,
    bystanders::Bystanders,
    node::{self, Node},
    options::PathOptions,
    print,
    report::Row,
    scenario::{self, GROUPS},
    statistics::Summary,
};

#[derive(Debug, Serialize)]
pub struct Crowded {
    few: Bystanders,
    many: Bystanders,
    rows: Vec<Pair>,
}

/// The same packets at both nodes.
#[derive(Debug, Serialize)]
struct Pair {
    scenario: &'static str,
    flows: u32,
    /// Nanoseconds per packet, above an empty program.
    few: Summary,
    many: Summary,
    /// Of the medians, `many` to `few`.
    ratio: f64,
}

impl Crowded {
    /// Needs a thread in the network namespace of `neighbour`.
    pub fn measure(options: &PathOptions, neighbour: &NextHop) -> Result<Self, BenchError> {
        let (few, many) = (Bystanders::FEW, Bystanders::MANY);
        let open = |bystanders| Node::open(options, bystanders, COLD, neighbour);
        let mut nodes = [open(few)?, open(many)?];
        let mut rows = Vec::new();
        for flows in HOT {
            for group in GROUPS {
                rows.extend(pairs(&node::group(&mut nodes, group, flows)?));
            }
            rows.extend(pairs(&node::replacing(&mut nodes, flows)?));
        }
        rows.extend(pairs(&node::far(&mut nodes, COLD, many.far())?));
        let place = |row: &Pair| scenario::order().position(|name| name == row.scenario);
        rows.sort_by_key(|row| (place(row), row.flows));
        Ok(Self { few, many, rows })
    }

    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { few, many, rows } = self;
        writeln!(out, "\nFEW: beside {few}\nMANY: beside {many}\n")?;
        let names = ["SCENARIO", "FLOWS", "FEW", "MIN", "MAX", "MANY", "MIN", "MAX", "RATIO"];
        let rows = rows.iter().map(|Pair { scenario, flows, few, many, ratio }| {
            let figures = [few.median, few.min, few.max, many.median, many.min, many.max];
            let [a, b, c, d, e, f] = figures.map(|it| format!("{it:.1}"));
            let ratio = format!("{ratio:.2}");
            [(*scenario).to_owned(), flows.to_string(), a, b, c, d, e, f, ratio]
        });
        print::table(out, names, 1, rows)
    }
}

/// Flows that caches hold.
const HOT: [u32; 2] = [1, 1 << 10];
/// Sources that they do not hold, with what is looked up for them.
const COLD: u32 = 1 << 16;

/// Rows of the node with few, and of that with many.
fn pairs(nodes: &[Vec<Row>]) -> Vec<Pair> {
    let [few, many] = nodes else { return Vec::new() };
    let pair = |(few, many): (&Row, &Row)| Pair {
        scenario: few.scenario,
        flows: few.flows,
        few: few.ns,
        many: many.ns,
        ratio: (many.ns.median / few.ns.median * 1e3).round() / 1e3,
    };
    few.iter().zip(many).map(pair).collect()
}
