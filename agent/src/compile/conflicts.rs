//! What resources must not be to each other beyond what the store has checked.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    model::{Key, Kind},
    refusal::Refusal,
};

/// Refuses local workloads that share an address: a packet's endpoint would be a matter of luck.
pub(super) fn check(local: &BTreeMap<String, Vec<IpAddr>>) -> Result<(), Vec<Refusal>> {
    let mut owners = BTreeMap::new();
    let mut refusals = Vec::new();
    for (name, addresses) in local {
        for (index, address) in addresses.iter().enumerate() {
            if let Some(owner) = owners.insert(*address, name) {
                let key = Key { kind: Kind::Workload, name: name.clone() };
                let reason = format!("{address} belongs to workload {owner:?} on the same node");
                refusals.push(Refusal::new(key, format!("addresses[{index}]"), reason));
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
