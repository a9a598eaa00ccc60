//! What resources must not be to each other beyond what the store has checked.

use std::collections::BTreeMap;

use crate::{
    model::{Key, Kind, World},
    refusal::Refusal,
};

/// Refuses local workloads that share an address: a packet's endpoint would be a matter of luck.
pub(super) fn check(world: &World, node: &str) -> Result<(), Vec<Refusal>> {
    let mut owners = BTreeMap::new();
    let mut refusals = Vec::new();
    for workload in world.workloads.values().filter(|workload| workload.node == node) {
        for (index, address) in workload.addresses.iter().enumerate() {
            if let Some(owner) = owners.insert(*address, &workload.name) {
                let key = Key { kind: Kind::Workload, name: workload.name.clone() };
                let reason = format!("{address} belongs to workload {owner:?} on the same node");
                refusals.push(Refusal::new(key, format!("addresses[{index}]"), reason));
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
