//! What must hold between resources before they can be compiled.

use std::collections::{BTreeMap, BTreeSet};

use super::tiers::Direction;
use crate::{
    model::{Action, BackendSet, Key, Kind, Policy, Tier, World},
    refusal::Refusal,
};

/// Every contradiction in the world of a node.
pub(super) fn check(world: &World, node: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for policy in world.policies.values() {
        check_policy(world, policy, &mut refusals);
    }
    for set in world.backend_sets.values() {
        check_backends(set, &mut refusals);
    }
    check_services(world, &mut refusals);
    check_workloads(world, node, &mut refusals);
    refusals
}

fn check_policy(world: &World, policy: &Policy, refusals: &mut Vec<Refusal>) {
    let mut refuse = |field: String, reason: String| {
        let key = Key { kind: Kind::Policy, name: policy.name.clone() };
        refusals.push(Refusal::new(key, field, reason));
    };
    let unknown = |name: &String| !world.address_sets.contains_key(name);
    for (index, name) in policy.subjects.iter().enumerate() {
        if unknown(name) {
            refuse(format!("subjects[{index}]"), format!("no address set {name:?}"));
        }
    }
    for (path, direction) in [("ingress", Direction::Ingress), ("egress", Direction::Egress)] {
        for (index, rule) in direction.rules(policy).into_iter().flatten().enumerate() {
            let path = format!("{path}.rules[{index}]");
            for (peer, name) in rule.peers.iter().flatten().enumerate() {
                if unknown(name) {
                    refuse(format!("{path}.peers[{peer}]"), format!("no address set {name:?}"));
                }
            }
            if policy.tier == Tier::Network && rule.action != Action::Accept {
                refuse(format!("{path}.action"), "the network tier can only accept".into());
            }
        }
    }
}

fn check_backends(set: &BackendSet, refusals: &mut Vec<Refusal>) {
    let mut seen = BTreeSet::new();
    for (index, backend) in set.backends.iter().enumerate() {
        if !seen.insert(backend.address) {
            let key = Key { kind: Kind::BackendSet, name: set.name.clone() };
            let reason = format!("{} is in the set twice", backend.address);
            refusals.push(Refusal::new(key, format!("backends[{index}].address"), reason));
        }
    }
}

fn check_services(world: &World, refusals: &mut Vec<Refusal>) {
    let mut owners = BTreeMap::new();
    for service in world.services.values() {
        let key = || Key { kind: Kind::Service, name: service.name.clone() };
        if !world.backend_sets.contains_key(&service.backend_set) {
            let reason = format!("no backend set {:?}", service.backend_set);
            refusals.push(Refusal::new(key(), "backend_set", reason));
        }
        for (index, frontend) in service.frontends.iter().enumerate() {
            if let Some(owner) = owners.insert(*frontend, &service.name) {
                let reason = format!(
                    "{} port {}/{} is a frontend of service {owner:?} already",
                    frontend.address, frontend.port, frontend.protocol,
                );
                refusals.push(Refusal::new(key(), format!("frontends[{index}]"), reason));
            }
        }
    }
}

fn check_workloads(world: &World, node: &str, refusals: &mut Vec<Refusal>) {
    let mut owners = BTreeMap::new();
    for workload in world.workloads.values().filter(|workload| workload.node == node) {
        for (index, address) in workload.addresses.iter().enumerate() {
            if let Some(owner) = owners.insert(*address, &workload.name) {
                let key = Key { kind: Kind::Workload, name: workload.name.clone() };
                let reason = format!("{address} belongs to workload {owner:?} on the same node");
                refusals.push(Refusal::new(key, format!("addresses[{index}]"), reason));
            }
        }
    }
}
