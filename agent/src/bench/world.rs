//! The node that is measured: 64 workloads behind a service each, admitted by policy, and as many
//! services with a backend elsewhere.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use abi::bench::SERVERS;

use crate::model::{
    Action, AddressSet, Backend, BackendSet, Frontend, FrontendKind, Node, Policy, PortMatch,
    PortRange, PortRangeError, Prefix, Protocol, Resource, Rule, Service, Tier, TrafficPolicy,
    Workload, World,
};

pub const NODE: &str = "bench";

/// The first client; 198.18.0.0/15 is for benchmarks (RFC 2544).
pub const CLIENT4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0));
pub const CLIENT6: IpAddr = v6(0x2001, 0xdb8);

// The first of each kind of server; the others follow.
pub const SERVICE4: SocketAddr = v4([10, 96, 0, 0], 80);
pub const SERVICE6: SocketAddr = SocketAddr::new(v6(0xfd00, 0x96), 80);
pub const WORKLOAD4: SocketAddr = v4([10, 128, 0, 0], 8080);
pub const WORKLOAD6: SocketAddr = SocketAddr::new(v6(0xfd00, 0x128), 8080);
/// The same workloads, at a port that policy keeps closed.
pub const CLOSED4: SocketAddr = v4([10, 128, 0, 0], 8081);
/// Services whose backend is on another node.
pub const REMOTE_SERVICE4: SocketAddr = v4([10, 96, 1, 0], 80);
pub const REMOTE4: SocketAddr = v4([10, 129, 0, 0], 8080);
/// Nobody that the node knows.
pub const STRANGER4: SocketAddr = v4([203, 0, 113, 0], 443);

const fn v4([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

const fn v6(first: u16, second: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0))
}

/// All of it, as sources would tell the store; `prefixes` is how many the policy's peers have.
pub fn world(prefixes: u32) -> Result<World, PortRangeError> {
    let mut world = World::default();
    let node = |name: &str, address| Node {
        pod_prefixes: Vec::new(),
        weight: 1000,
        name: name.to_owned(),
        addresses: vec![address],
        zone: "zone-a".to_owned(),
        region: String::new(),
        labels: BTreeMap::new(),
    };
    world.upsert(Resource::Node(node(NODE, Ipv4Addr::new(192, 0, 2, 1).into())));
    world.upsert(Resource::Node(node("other", Ipv4Addr::new(192, 0, 2, 2).into())));
    for index in 0..SERVERS {
        let (workload4, workload6) = (nth(WORKLOAD4, index), nth(WORKLOAD6, index));
        world.upsert(Resource::Workload(Workload {
            name: format!("workload-{index}"),
            node: NODE.to_owned(),
            addresses: vec![workload4.ip(), workload6.ip()],
            interface: format!("port-{index}"),
        }));
        let frontends = [nth(SERVICE4, index), nth(SERVICE6, index)];
        add_service(
            &mut world,
            format!("local-{index}"),
            &frontends,
            NODE,
            &[workload4, workload6],
        );
        let (frontend, backend) = (nth(REMOTE_SERVICE4, index), nth(REMOTE4, index));
        add_service(&mut world, format!("remote-{index}"), &[frontend], "other", &[backend]);
    }
    let workloads = [Prefix::host(WORKLOAD4.ip()), Prefix::host(WORKLOAD6.ip())];
    world.upsert(Resource::AddressSet(set("workloads", workloads, [26, 122])));
    let clients = [Prefix::host(CLIENT4), Prefix::host(CLIENT6)];
    world.upsert(Resource::AddressSet(set("clients", clients, [15, 64])));
    world.upsert(Resource::AddressSet(crowd(prefixes.saturating_sub(1))));
    world.upsert(Resource::Policy(admit_clients()?));
    Ok(world)
}

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
    frontends: &[SocketAddr],
    node: &str,
    backends: &[SocketAddr],
) {
    // With backends here outsiders keep their addresses; elsewhere they cannot.
    let policy = if node == NODE { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
    let frontend = |socket: &SocketAddr| Frontend {
        kind: FrontendKind::External,
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

/// The prefixes of these lengths around these addresses.
fn set(name: &str, around: [Prefix; 2], lengths: [u8; 2]) -> AddressSet {
    let wider = around.into_iter().zip(lengths).filter_map(|(prefix, length)| {
        let net = ipnet::IpNet::new(prefix.net().addr(), length).ok()?;
        Prefix::new(net).ok()
    });
    AddressSet { name: name.to_owned(), prefixes: wider.collect(), except: Vec::new() }
}

/// Peers that never call: half of each /24 of the clients' own range first, so that looking a
/// client up takes every level of the address table, then every second /24 from 20.0.0.0 on.
fn crowd(prefixes: u32) -> AddressSet {
    const CLIENTS: u32 = 512;
    let prefix = |address: u32, length: u8| {
        let net = ipnet::IpNet::new(Ipv4Addr::from_bits(address).into(), length).ok()?;
        Prefix::new(net).ok()
    };
    let near =
        (0..prefixes.min(CLIENTS)).filter_map(|n| prefix((198 << 24 | 18 << 16) + (n << 8), 25));
    let far =
        (0..prefixes.saturating_sub(CLIENTS)).filter_map(|n| prefix((20 << 24) + (n << 9), 24));
    AddressSet { name: CROWD.to_owned(), prefixes: near.chain(far).collect(), except: Vec::new() }
}

const CROWD: &str = "crowd";

/// Lets clients reach one port of every workload, and nobody anything else.
fn admit_clients() -> Result<Policy, PortRangeError> {
    let port = u32::from(WORKLOAD4.port());
    let ports = vec![PortMatch { protocol: Protocol::Tcp, range: PortRange::new(port, port)? }];
    let rule = Rule {
        name: String::new(),
        action: Action::Accept,
        peers: Some(vec!["clients".to_owned(), CROWD.to_owned()]),
        ports: Some(ports),
    };
    Ok(Policy {
        name: "admit-clients".to_owned(),
        tier: Tier::Network,
        priority: 0,
        subjects: vec!["workloads".to_owned()],
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
        let world = world(1000).unwrap();
        assert_eq!(world.address_sets[CROWD].prefixes.len(), 999);
        let image = Compiler::new(NODE.into(), Limits::default()).compile(&world).unwrap();
        assert_eq!(image.ports.len(), SERVERS as usize);
        assert_eq!(image.frontends.len(), 3 * SERVERS as usize);
        assert_eq!(image.next_hops.len(), SERVERS as usize);
        let sets = world.address_sets;
        assert!(sets["clients"].contains(CLIENT4) && sets["clients"].contains(CLIENT6));
        assert!(sets["workloads"].contains(nth(WORKLOAD4, SERVERS - 1).ip()));
        assert!(sets["workloads"].contains(nth(WORKLOAD6, SERVERS - 1).ip()));
    }
}
