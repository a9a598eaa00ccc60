//! Where the flows of a cluster go, and what follows from it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use abi::{
    record::{Backend as BackendRecord, Range},
    table::Table,
};
use serde::Serialize;

use super::cluster::{NAMES, PORT, Policy, Zones, world};
use crate::{
    bench::BenchError,
    compile::{Compiler, Limits},
    image::Image,
    simulate::{self, Query, SimulatedTables},
};

/// By policy and zone of the client: the backend of each of [`HASHES`] flows, `None` where they are
/// refused.
pub type Flows = [ByZone; Policy::ALL.len()];
pub type ByZone = [Vec<Option<Owner>>; NAMES.len()];

/// Zone and number of a backend.
pub type Owner = (u8, u8);

/// What becomes of the flows of all clients, in per cent of them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Outcome {
    pub in_zone: f64,
    pub refused: f64,
    /// What the backend with the most flows gets, in per cent of what all would get if all got the
    /// same.
    pub worst_backend: f64,
}

/// Flows that have another backend after a change, in per cent of all.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Moves {
    pub moved: f64,
    /// What the shares of the backends ask for.
    pub least: f64,
}

/// Evenly spread over the 32 bits of a hash: several for each slot.
const HASHES: u32 = 1 << 16;

/// Compiles a node of each zone, and asks what its services offer.
pub fn flows(zones: &Zones) -> Result<Flows, BenchError> {
    let mut flows = Flows::default();
    let world = world(zones);
    for (zone, name) in NAMES.iter().enumerate() {
        let mut compiler = Compiler::new((*name).to_owned(), Limits::default());
        let image = compiler.compile(&world).map_err(BenchError::Refused)?;
        let tables = SimulatedTables::new(&image);
        for policy in Policy::ALL {
            flows[policy as usize][zone] = offered(&image, &tables, policy);
        }
    }
    Ok(flows)
}

fn offered(image: &Image, tables: &SimulatedTables, policy: Policy) -> Vec<Option<Owner>> {
    let query = Query {
        source: Ipv4Addr::new(10, 200, 0, 1).into(),
        destination: (policy.address(), PORT).into(),
        protocol: 6,
    };
    let range = match simulate::offer(tables, query) {
        Ok(Some(offer)) if ![Range::REJECT, Range::DROP].contains(&offer.range) => offer.range,
        _ => return vec![None; HASHES as usize],
    };
    let owner = |slot: u32| {
        let word = image.word(Table::Slots, slot as usize / 2);
        let record: BackendRecord = image.record(Table::Backends, (word >> (slot % 2 * 32)) as u32);
        let [_, zone, _, number, ..] = record.address;
        (zone, number)
    };
    let owners: Vec<Owner> = (range.start()..range.start() + range.size()).map(owner).collect();
    // As the datapath reduces hashes to slots.
    let slot = |hash: u32| (u64::from(hash) * owners.len() as u64 / u64::from(HASHES)) as usize;
    (0..HASHES).map(|hash| owners.get(slot(hash)).copied()).collect()
}

pub fn outcome(zones: &Zones, flows: &ByZone) -> Outcome {
    let whole = whole(zones);
    let (mut kept, mut refused) = (0.0, 0.0);
    let mut loads: BTreeMap<Owner, f64> = BTreeMap::new();
    for (index, (zone, flows)) in zones.iter().zip(flows).enumerate() {
        for (owner, count) in counts(flows) {
            let part = f64::from(zone.clients) * f64::from(count) * 100.0 / whole;
            let Some(owner) = owner else {
                refused += part;
                continue;
            };
            if usize::from(owner.0) == index {
                kept += part;
            }
            *loads.entry(owner).or_default() += part;
        }
    }
    let backends: u32 = zones.iter().map(|zone| zone.backends).sum();
    let worst = loads.into_values().fold(0.0, f64::max) * f64::from(backends);
    Outcome { in_zone: kept, refused, worst_backend: worst }
}

/// What a change does that leads to `zones`.
pub fn moves(zones: &Zones, before: &ByZone, after: &ByZone) -> Moves {
    let (mut moved, mut least) = (0.0, 0.0);
    for ((zone, before), after) in zones.iter().zip(before).zip(after) {
        let part = f64::from(zone.clients) * 100.0 / whole(zones);
        let changed = before.iter().zip(after).filter(|(one, other)| one != other).count();
        moved += part * f64::from(changed as u32);
        let had = counts(before);
        for (owner, count) in counts(after) {
            let gain = count.saturating_sub(had.get(&owner).copied().unwrap_or(0));
            least += part * f64::from(gain);
        }
    }
    Moves { moved, least }
}

/// The flows of all zones, weighted by clients.
fn whole(zones: &Zones) -> f64 {
    let clients: u32 = zones.iter().map(|zone| zone.clients).sum();
    f64::from(clients) * f64::from(HASHES)
}

fn counts(flows: &[Option<Owner>]) -> BTreeMap<Option<Owner>, u32> {
    let mut counts = BTreeMap::new();
    for owner in flows {
        *counts.entry(*owner).or_default() += 1;
    }
    counts
}
