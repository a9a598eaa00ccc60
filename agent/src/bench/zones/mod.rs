//! `zonegate bench zones`: what ways to prefer the own zone do to clusters.
//!
//! The compiler is the agent's own, run for a node of each zone, and figures are counted from the
//! slots that it deals. Nothing is measured on a clock and nothing is random, so they are the same
//! on every machine: docs/zones.md has them.

mod cluster;
mod flows;
mod options;
mod plot;
mod report;

use std::{fs, io::Write};

use self::{
    cluster::{CLUSTERS, Policy, Zone, Zones},
    flows::{flows, moves, outcome},
    plot::Point,
    report::{Row, ZonesReport},
};
use super::BenchError;
pub use options::ZonesOptions;

/// Simulates and prints.
pub fn run(options: &ZonesOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    let mut rows = Vec::new();
    for (name, zones) in CLUSTERS {
        rows.extend(compare(name, zones)?);
    }
    if let Some(path) = &options.svg {
        fs::write(path, plot::draw(&curve()?)?)?;
    }
    ZonesReport { rows }.print(options.output, out)
}

/// What each policy does to a cluster, and to the same one when something changes.
fn compare(cluster: &'static str, zones: &Zones) -> Result<Vec<Row>, BenchError> {
    let before = flows(zones)?;
    let others = [leaves(zones), clients_double(zones), backends_double(zones)];
    let mut after = Vec::new();
    for other in &others {
        after.push(flows(other)?);
    }
    let row = |policy: Policy| {
        let moves = |index: usize| {
            let after: &flows::Flows = &after[index];
            moves(&others[index], &before[policy as usize], &after[policy as usize])
        };
        Row {
            cluster,
            zones: *zones,
            policy,
            outcome: outcome(zones, &before[policy as usize]),
            backend_leaves: moves(0),
            clients_double: moves(1),
            backends_double: moves(2),
        }
    };
    Ok(Policy::ALL.map(row).into())
}

/// A backend leaves the first zone that has any.
fn leaves(zones: &Zones) -> Zones {
    let mut zones = *zones;
    if let Some(zone) = zones.iter_mut().find(|zone| zone.backends > 0) {
        zone.backends -= 1;
    }
    zones
}

/// The first zone's nodes double.
fn clients_double(zones: &Zones) -> Zones {
    let mut zones = *zones;
    zones[0].clients *= 2;
    zones
}

/// The second zone's backends double.
fn backends_double(zones: &Zones) -> Zones {
    let mut zones = *zones;
    zones[1].backends *= 2;
    zones
}

/// What policies do while ever more of the clients are in one of three zones with equal backends.
fn curve() -> Result<Vec<Point>, BenchError> {
    let mut points = Vec::new();
    for tenths in 0..=10 {
        let zone = |clients| Zone { clients, backends: 8 };
        let zones = [zone(2 * tenths), zone(10 - tenths), zone(10 - tenths)];
        let flows = flows(&zones)?;
        let outcomes = Policy::ALL.map(|policy| outcome(&zones, &flows[policy as usize]));
        points.push(Point { clients: f64::from(tenths) * 10.0, outcomes });
    }
    Ok(points)
}
