//! The node that is measured: 64 workloads behind a service each, admitted by policy, and as many
//! services with a backend elsewhere.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use abi::bench::SERVERS;

use super::{bystanders::Bystanders, frame::Clients};
use crate::model::{
    Action, AddressSet, Backend, BackendSet, Frontend, FrontendKind, Node, Policy, PortMatch,
    PortRange, PortRangeError, Prefix, Protocol, Resource, Rule, Service, Tier, TrafficPolicy,
    Workload, World,
};

pub const NODE: &str = "bench";

/// The first of all outsiders; 198.18.0.0/15 is for benchmarks (RFC 2544).
pub const OUTSIDER4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
pub const OUTSIDERS4: Clients = Clients { first: IpAddr::V4(OUTSIDER4), spread: 0 };
pub const OUTSIDERS6: Clients = Clients { first: v6(0x2001, 0xdb8), spread: 0 };
/// Outsiders each in another of the prefixes that policies have.
pub const FAR4: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 0);
pub const FAR_CLIENTS: Clients = Clients { first: IpAddr::V4(FAR4), spread: 9 };
/// Pods of another node, which keep their addresses.
pub const PODS4: Clients = Clients { first: IpAddr::V4(Ipv4Addr::new(10, 160, 0, 0)), spread: 0 };
/// The length of the prefix that all of them are in.
pub const PODS4_LENGTH: u8 = 14;

// The first of each kind of server; the others follow.
pub const SERVICE4: SocketAddr = v4([10, 96, 0, 0], 80);
pub const SERVICE6: SocketAddr = SocketAddr::new(v6(0xfd00, 0x96), 80);
pub const WORKLOAD4: SocketAddr = v4([10, 128, 0, 0], 8080);
pub const WORKLOAD6: SocketAddr = SocketAddr::new(v6(0xfd00, 0x128), 8080);
/// The same workloads, at a port that policy keeps closed.
pub const CLOSED4: SocketAddr = v4([10, 128, 0, 0], 8081);
/// Services whose backend is on another node.
pub const REMOTE_SERVICE4: SocketAddr = v4([10, 96, 1, 0], 80);
/// The same for pods.
pub const CLUSTER_SERVICE4: SocketAddr = v4([10, 96, 2, 0], 80);
pub const REMOTE4: SocketAddr = v4([10, 129, 0, 0], 8080);
/// Nobody that the node knows.
pub const STRANGER4: SocketAddr = v4([203, 0, 113, 0], 443);

const fn v4([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

const fn v6(first: u16, second: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0))
}

/// All of it, as sources would tell the store.
pub fn world(bystanders: Bystanders) -> Result<World, PortRangeError> {
    let mut world = World::default();
    let node = |name: &str, address, pod_prefixes| Node {
        pod_prefixes,
        weight: 1000,
        name: name.to_owned(),
        addresses: vec![address],
        zone: "zone-a".to_owned(),
        region: String::new(),
        labels: BTreeMap::new(),
    };
    world.upsert(Resource::Node(node(NODE, Ipv4Addr::new(192, 0, 2, 1).into(), Vec::new())));
    let pods = wider(PODS4.first, PODS4_LENGTH).into_iter().collect();
    world.upsert(Resource::Node(node("other", Ipv4Addr::new(192, 0, 2, 2).into(), pods)));
    for index in 0..SERVERS {
        let (workload4, workload6) = (nth(WORKLOAD4, index), nth(WORKLOAD6, index));
        world.upsert(Resource::Workload(Workload {
            name: format!("workload-{index}"),
            node: NODE.to_owned(),
            addresses: vec![workload4.ip(), workload6.ip()],
            interface: format!("port-{index}"),
        }));
        world.upsert(Resource::AddressSet(AddressSet {
            name: format!("workload-{index}"),
            prefixes: vec![Prefix::host(workload4.ip())],
            except: Vec::new(),
        }));
        let frontends = [nth(SERVICE4, index), nth(SERVICE6, index)];
        add_service(
            &mut world,
            format!("local-{index}"),
            FrontendKind::External,
            &frontends,
            NODE,
            &[workload4, workload6],
        );
        let backend = nth(REMOTE4, index);
        for (name, kind, first) in [
            ("remote", FrontendKind::External, REMOTE_SERVICE4),
            ("cluster", FrontendKind::Cluster, CLUSTER_SERVICE4),
        ] {
            let frontend = nth(first, index);
            let name = format!("{name}-{index}");
            add_service(&mut world, name, kind, &[frontend], "other", &[backend]);
        }
    }
    for (name, first) in [
        ("workloads", [(WORKLOAD4.ip(), 26), (WORKLOAD6.ip(), 122)]),
        (CLIENTS, [(OUTSIDERS4.first, 15), (OUTSIDERS6.first, 64)]),
    ] {
        let prefixes = first.into_iter().filter_map(|(address, length)| wider(address, length));
        let (name, prefixes) = (name.to_owned(), prefixes.collect());
        world.upsert(Resource::AddressSet(AddressSet { name, prefixes, except: Vec::new() }));
    }
    // Lets clients reach one port of every workload, and nobody anything else.
    let peers = vec![CLIENTS.to_owned(), Bystanders::peers_of(0)];
    let port = u32::from(WORKLOAD4.port());
    world.upsert(Resource::Policy(admit("admit-clients".into(), "workloads".into(), peers, port)?));
    bystanders.resources()?.into_iter().for_each(|resource| world.upsert(resource));
    Ok(world)
}

const CLIENTS: &str = "clients";

/// The `index`-th server of those that begin with `first`.
fn nth(first: SocketAddr, index: u32) -> SocketAddr {
    let address = match first.ip() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + index).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(index)).into(),
    };
    SocketAddr::new(address, first.port())
}

fn add_service(
    world: &mut World,
    name: String,
    kind: FrontendKind,
    frontends: &[SocketAddr],
    node: &str,
    backends: &[SocketAddr],
) {
    // With backends here outsiders keep their addresses; elsewhere they cannot.
    let policy = if node == NODE { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
    let frontend = |socket: &SocketAddr| Frontend {
        kind,
        address: socket.ip(),
        port: socket.port(),
        protocol: Protocol::Tcp,
    };
    let backend =
        |address: &SocketAddr| Backend { node: node.to_owned(), ..Backend::new(*address) };
    world.upsert(Resource::BackendSet(BackendSet {
        name: name.clone(),
        backends: backends.iter().map(backend).collect(),
    }));
    let frontends = frontends.iter().map(frontend).collect();
    world.upsert(Resource::Service(Service {
        external_policy: policy,
        ..Service::new(name.clone(), frontends, name)
    }));
}

/// The prefix of this length that an address is in.
fn wider(address: IpAddr, length: u8) -> Option<Prefix> {
    Prefix::new(ipnet::IpNet::new(address, length).ok()?).ok()
}

/// A policy that admits peers to one port of its subject, both sets by their names.
pub fn admit(
    name: String,
    subject: String,
    peers: Vec<String>,
    port: u32,
) -> Result<Policy, PortRangeError> {
    let ports = vec![PortMatch { protocol: Protocol::Tcp, range: PortRange::new(port, port)? }];
    let rule = Rule {
        name: String::new(),
        action: Action::Accept,
        peers: Some(peers),
        ports: Some(ports),
    };
    Ok(Policy {
        name,
        tier: Tier::Network,
        priority: 0,
        subjects: vec![subject],
        ingress: Some(vec![rule]),
        egress: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Compiler, Limits};

    #[test]
    fn the_world_compiles_and_knows_its_servers() {
        let bystanders = Bystanders { services: 3, pods: 2, policies: 7, prefixes: 1000 };
        let world = world(bystanders).unwrap();
        let dealt = (0..7).map(|it| world.address_sets[&Bystanders::peers_of(it)].prefixes.len());
        assert_eq!(dealt.sum::<usize>(), 999 + 2);
        assert_eq!(world.policies.len(), 7);
        let image = Compiler::new(NODE.into(), Limits::default()).compile(&world).unwrap();
        assert_eq!(image.ports.len(), SERVERS as usize);
        assert_eq!(image.frontends.len(), 4 * SERVERS as usize + 3);
        assert_eq!(image.next_hops.len(), SERVERS as usize + 2);
        let sets = world.address_sets;
        for clients in [OUTSIDERS4, OUTSIDERS6] {
            assert!(sets[CLIENTS].contains(clients.first));
        }
        let far = IpAddr::V4(Ipv4Addr::from_bits(FAR4.to_bits() + (3 << FAR_CLIENTS.spread)));
        assert!(sets[&Bystanders::peers_of((512 + 3) % 7)].contains(far));
        assert!(sets["workloads"].contains(nth(WORKLOAD4, SERVERS - 1).ip()));
        assert!(sets["workloads"].contains(nth(WORKLOAD6, SERVERS - 1).ip()));
    }
}
