//! Who gets which backends, read straight from the rules: slow, and sharing nothing with the
//! compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use zonegate::model::{
    Backend, Forwarding, Frontend, FrontendKind, Nearness, Scope, Service, Spill, Topology,
    TrafficPolicy, World,
};

/// What a client of a frontend gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Outside the source ranges.
    Forbidden,
    Reject,
    Drop,
    /// The eligible backends, and whether the source is rewritten.
    Backends(BTreeSet<SocketAddr>, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Pod,
    Node,
    Outsider,
}

pub fn outcome(
    world: &World,
    node: &str,
    service: &Service,
    frontend: &Frontend,
    client: IpAddr,
) -> Outcome {
    if frontend.kind == FrontendKind::LoadBalancer && !admits(world, node, service, client) {
        return Outcome::Forbidden;
    }
    let mut all = world.backend_sets[&service.backend_set].backends.clone();
    for backend in all.iter_mut().filter(|backend| backend.draining) {
        (backend.ready, backend.terminating) = (false, true);
    }
    let all = &all;
    let mut backends = Vec::new();
    for backend in all {
        if backend.address.is_ipv4() == frontend.address.is_ipv4() {
            backends.push(backend);
        }
    }
    if !backends.iter().any(|it| it.ready || (it.serving && it.terminating)) {
        return Outcome::Reject;
    }
    let who = who(world, node, client);
    let (local, snat) = if frontend.kind == FrontendKind::Cluster {
        (service.internal_policy == TrafficPolicy::Local, who != Client::Pod)
    } else if service.external_policy == TrafficPolicy::Cluster {
        (false, who != Client::Outsider || service.forwarding == Forwarding::Nat)
    } else {
        (who == Client::Outsider, who == Client::Node)
    };
    let list = if local {
        local_list(node, &backends)
    } else {
        let hinted = all.iter().any(|it| !it.hints.zones.is_empty() || !it.hints.nodes.is_empty());
        cluster_list(world, node, service, &backends, hinted)
    };
    match (list.is_empty(), local) {
        (true, true) => Outcome::Drop,
        // Something can be used, but no topology key leads there.
        (true, false) => Outcome::Reject,
        (false, _) => Outcome::Backends(list.iter().map(|it| it.address).collect(), snat),
    }
}

fn admits(world: &World, node: &str, service: &Service, client: IpAddr) -> bool {
    let ranges = &service.source_ranges;
    let inside = |address: &IpAddr| ranges.iter().any(|range| range.contains(*address));
    if ranges.is_empty() || inside(&client) {
        return true;
    }
    let is_balancer = service
        .frontends
        .iter()
        .any(|it| it.kind == FrontendKind::LoadBalancer && it.address == client);
    let own = world.nodes.get(node).map(|it| it.addresses.clone()).unwrap_or_default();
    is_balancer && own.iter().any(|it| it.is_ipv4() == client.is_ipv4() && inside(it))
}

fn who(world: &World, node: &str, client: IpAddr) -> Client {
    if world.nodes.get(node).is_some_and(|it| it.addresses.contains(&client)) {
        return Client::Node;
    }
    let is_workload = world.workloads.values().any(|it| it.addresses.contains(&client));
    let mut prefixes = world.nodes.values().flat_map(|it| &it.pod_prefixes);
    if is_workload || prefixes.any(|it| it.contains(client)) {
        Client::Pod
    } else {
        Client::Outsider
    }
}

fn local_list<'b>(node: &str, backends: &[&'b Backend]) -> Vec<&'b Backend> {
    let here = |it: &&&Backend| !node.is_empty() && it.node == node;
    let ready: Vec<_> = backends.iter().filter(here).filter(|it| it.ready).copied().collect();
    if !ready.is_empty() {
        return ready;
    }
    backends.iter().filter(here).filter(|it| it.serving && it.terminating).copied().collect()
}

fn cluster_list<'b>(
    world: &World,
    node: &str,
    service: &Service,
    backends: &[&'b Backend],
    hinted: bool,
) -> Vec<&'b Backend> {
    let ready: Vec<&Backend> = backends.iter().filter(|it| it.ready).copied().collect();
    if ready.is_empty() {
        return backends.iter().filter(|it| it.serving && it.terminating).copied().collect();
    }
    match &service.topology {
        Topology::Hints(nearness) => by_hints(world, node, &ready, nearness.filter(|_| !hinted)),
        Topology::Keys(keys) => by_keys(world, node, &ready, keys),
        Topology::Scopes(scopes) => by_scopes(world, node, &ready, scopes),
        Topology::Spill(Spill { factor, clients }) => {
            by_spill(world, node, &ready, *factor, clients)
        }
    }
}

fn zone(world: &World, backend: &Backend) -> String {
    match world.nodes.get(&backend.node) {
        _ if !backend.zone.is_empty() => backend.zone.clone(),
        Some(node) => node.zone.clone(),
        None => String::new(),
    }
}

fn by_hints<'b>(
    world: &World,
    node: &str,
    ready: &[&'b Backend],
    computed: Option<Nearness>,
) -> Vec<&'b Backend> {
    let one = |text: String| if text.is_empty() { vec![] } else { vec![text] };
    let for_nodes = |it: &Backend| match computed {
        None => it.hints.nodes.clone(),
        Some(Nearness::SameNode) => one(it.node.clone()),
        Some(Nearness::SameZone) => vec![],
    };
    let for_zones = |it: &Backend| match computed {
        None => it.hints.zones.clone(),
        Some(_) => one(zone(world, it)),
    };
    let mut same_node = Vec::new();
    let mut same_zone = Vec::new();
    let (mut all_have_nodes, mut all_have_zones) = (true, true);
    let here = world.nodes.get(node).map(|it| it.zone.clone()).unwrap_or_default();
    for backend in ready {
        let (nodes, zones) = (for_nodes(backend), for_zones(backend));
        all_have_nodes &= !nodes.is_empty();
        all_have_zones &= !zones.is_empty();
        if nodes.iter().any(|it| it == node) {
            same_node.push(*backend);
        }
        if !here.is_empty() && zones.contains(&here) {
            same_zone.push(*backend);
        }
    }
    if all_have_nodes && !same_node.is_empty() {
        same_node
    } else if all_have_zones && !same_zone.is_empty() {
        same_zone
    } else {
        ready.to_vec()
    }
}

/// The backends of the own zone if it may keep some clients, and those of zones with room for what
/// it does not keep. Shares are compared across denominators.
fn by_spill<'b>(
    world: &World,
    node: &str,
    ready: &[&'b Backend],
    factor: u32,
    clients: &BTreeMap<String, u64>,
) -> Vec<&'b Backend> {
    let here = world.nodes.get(node).map(|it| it.zone.clone()).unwrap_or_default();
    let clients_in = |zone: &str| -> i128 {
        if clients.is_empty() {
            let nodes = world.nodes.values().filter(|it| it.zone == zone && !zone.is_empty());
            nodes.map(|it| i128::from(it.weight)).sum()
        } else {
            clients.get(zone).copied().unwrap_or(0).into()
        }
    };
    let backends_in = |name: &str| -> i128 {
        let there = ready.iter().filter(|it| zone(world, it) == name);
        there.map(|it| i128::from(it.weight)).sum()
    };
    let mut names: BTreeSet<String> = world.nodes.values().map(|it| it.zone.clone()).collect();
    names.extend(clients.keys().cloned());
    let all_clients: i128 = names.iter().map(|it| clients_in(it)).sum();
    let all_backends: i128 = ready.iter().map(|it| i128::from(it.weight)).sum();
    if clients_in(&here) == 0 {
        return ready.to_vec();
    }
    // How many more clients a zone could take than it has; in units of a common denominator.
    let surplus = |zone: &str| {
        backends_in(zone) * all_clients * i128::from(factor)
            - clients_in(zone) * all_backends * 1000
    };
    let overflows = surplus(&here) < 0;
    let gets = |it: &&&Backend| {
        let there = zone(world, it);
        there == here || (overflows && surplus(&there) > 0)
    };
    ready.iter().filter(gets).copied().collect()
}

fn by_keys<'b>(
    world: &World,
    node: &str,
    ready: &[&'b Backend],
    keys: &[String],
) -> Vec<&'b Backend> {
    let none = BTreeMap::new();
    let labels = |node: &str| world.nodes.get(node).map_or(none.clone(), |it| it.labels.clone());
    let here = labels(node);
    if keys.is_empty() {
        return ready.to_vec();
    }
    if here.is_empty() {
        return if keys.last().unwrap() == "*" { ready.to_vec() } else { vec![] };
    }
    for key in keys {
        let matching: Vec<&Backend> = ready
            .iter()
            .filter(|it| {
                let there = labels(&it.node);
                key == "*" || (here.contains_key(key) && there.get(key) == here.get(key))
            })
            .copied()
            .collect();
        if !matching.is_empty() {
            return matching;
        }
    }
    vec![]
}

fn by_scopes<'b>(
    world: &World,
    node: &str,
    ready: &[&'b Backend],
    scopes: &[Scope],
) -> Vec<&'b Backend> {
    let region = |node: &str| world.nodes.get(node).map(|it| it.region.clone()).unwrap_or_default();
    let here = world.nodes.get(node).map(|it| it.zone.clone()).unwrap_or_default();
    for scope in scopes {
        let mut found = Vec::new();
        for backend in ready {
            let near = match scope {
                Scope::Node => backend.node == node,
                Scope::Zone => !here.is_empty() && zone(world, backend) == here,
                Scope::Region => !region(node).is_empty() && region(&backend.node) == region(node),
                Scope::Any => true,
            };
            if near {
                found.push(*backend);
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    vec![]
}
