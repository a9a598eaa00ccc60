//! What resources must be to each other: references that lead somewhere, frontends of one
//! service only.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::edit::Edit;
use crate::{
    model::{Frontend, FrontendKind, Key, Kind, Policy, Protocol, Rule, Service, World},
    refusal::Refusal,
};

/// Adds what is wrong in `world`, which `edit` has just changed, to `refusals`. What the edit
/// cannot have broken is not looked at.
pub(super) fn check(world: &World, edit: &Edit, refusals: &mut Vec<Refusal>) {
    let changed = edit.keys();
    let touches = |kind: Kind| changed.iter().any(|key| key.kind == kind);
    let gone = |kind: Kind| changed.iter().any(|key| key.kind == kind && !world.contains(key));

    let any = gone(Kind::AddressSet);
    let suspect = |policy: &&Policy| {
        any || changed.contains(&Key { kind: Kind::Policy, name: policy.name.clone() })
    };
    for policy in world.policies.values().filter(suspect) {
        check_policy(world, policy, refusals);
    }
    if !touches(Kind::Service) && !gone(Kind::BackendSet) {
        return;
    }
    let mut frontends = BTreeMap::new();
    for service in world.services.values() {
        if !world.backend_sets.contains_key(&service.backend_set) {
            refusals.push(unknown(key(service), "backend_set", "BackendSet", &service.backend_set));
        }
        check_frontends(service, &mut frontends, &changed, refusals);
    }
}

fn check_policy(world: &World, policy: &Policy, refusals: &mut Vec<Refusal>) {
    let mut check = |path: String, name: &String| {
        if !world.address_sets.contains_key(name) {
            let key = Key { kind: Kind::Policy, name: policy.name.clone() };
            refusals.push(unknown(key, path, "AddressSet", name));
        }
    };
    for (index, name) in policy.subjects.iter().enumerate() {
        check(format!("subjects[{index}]"), name);
    }
    for (direction, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
        for (rule, name_index, name) in peer_names(rules.as_deref().unwrap_or_default()) {
            check(format!("{direction}.rules[{rule}].peer_sets.names[{name_index}]"), name);
        }
    }
}

/// The address sets that rules name, with the rule's index and the index in its list.
fn peer_names(rules: &[Rule]) -> impl Iterator<Item = (usize, usize, &String)> {
    rules.iter().enumerate().flat_map(|(rule, it)| {
        let names = it.peers.as_deref().unwrap_or_default();
        names.iter().enumerate().map(move |(index, name)| (rule, index, name))
    })
}

/// Host ports of two nodes are apart. Of two services with one frontend, the one at fault is the one that was just changed.
fn check_frontends<'a>(
    service: &'a Service,
    frontends: &mut BTreeMap<Socket, Vec<(&'a Service, &'a Frontend, usize)>>,
    changed: &BTreeSet<Key>,
    refusals: &mut Vec<Refusal>,
) {
    for (index, frontend) in service.frontends.iter().enumerate() {
        let Frontend { address, port, protocol, .. } = *frontend;
        let socket = (address, port, protocol);
        let holders = frontends.entry(socket).or_default();
        let apart = |(other, it, _): &(&Service, &Frontend, usize)| {
            let host_ports = [it.kind, frontend.kind] == [FrontendKind::HostPort; 2];
            host_ports && other.node != service.node
        };
        let holder = holders.iter().find(|holder| !apart(holder)).copied();
        holders.push((service, frontend, index));
        let Some((other, _, other_index)) = holder else { continue };
        let (blamed, blamed_index, holder) = if changed.contains(&key(service)) {
            (service, index, other)
        } else {
            (other, other_index, service)
        };
        let reason =
            format!("{protocol} {address} port {port} is a frontend of {} too", key(holder));
        refusals.push(Refusal::new(key(blamed), format!("frontends[{blamed_index}]"), reason));
    }
}

type Socket = (IpAddr, u16, Protocol);

fn unknown(key: Key, field: impl Into<String>, kind: &str, name: &str) -> Refusal {
    Refusal::new(key, field, format!("there is no {kind} {name:?}"))
}

fn key(service: &Service) -> Key {
    Key { kind: Kind::Service, name: service.name.clone() }
}
