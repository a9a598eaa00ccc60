//! Worlds to compile: builders with named addresses, and random ones.

use std::{collections::BTreeMap, net::IpAddr};

use proptest::{collection::vec, option, prelude::*, sample::select};
use zonegate::{
    compile::{Compiler, Limits},
    model::{
        Action, AddressSet, Backend, BackendSet, Frontend, FrontendKind, Node, Policy, PortMatch,
        PortRange, Prefix, Protocol, Resource, Rule, Scope, Service, Tier, Topology, Workload,
        World,
    },
};

pub const HERE: &str = "here";

pub fn compiler() -> Compiler {
    Compiler::new(HERE.into(), Limits::default())
}

pub fn world(resources: impl IntoIterator<Item = Resource>) -> World {
    let mut world = World::default();
    resources.into_iter().for_each(|resource| world.upsert(resource));
    world
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn node(name: &str, zone: &str, addresses: &[&str]) -> Resource {
    Resource::Node(Node {
        name: name.into(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        zone: zone.into(),
        region: String::new(),
        labels: BTreeMap::new(),
        pod_prefixes: Vec::new(),
        weight: 1000,
    })
}

pub fn workload(name: &str, node: &str, addresses: &[&str]) -> Resource {
    Resource::Workload(Workload {
        name: name.into(),
        node: node.into(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        interface: format!("port-{name}"),
    })
}

pub fn set(name: &str, prefixes: &[&str]) -> Resource {
    let prefixes = prefixes.iter().map(|text| text.parse().unwrap()).collect();
    Resource::AddressSet(AddressSet { name: name.into(), prefixes, except: Vec::new() })
}

/// A network policy that lets `peers` in and nobody else.
pub fn admit(name: &str, subject: &str, peers: &[&str]) -> Resource {
    let peers = Some(peers.iter().map(|name| (*name).to_owned()).collect());
    Resource::Policy(Policy {
        name: name.into(),
        tier: Tier::Network,
        priority: 0,
        subjects: vec![subject.into()],
        ingress: Some(vec![Rule {
            name: String::new(),
            action: Action::Accept,
            peers,
            ports: None,
        }]),
        egress: None,
    })
}

pub fn frontend(text: &str) -> Frontend {
    let socket: std::net::SocketAddr = text.parse().unwrap();
    Frontend {
        kind: FrontendKind::Cluster,
        address: socket.ip(),
        port: socket.port(),
        protocol: Protocol::Tcp,
    }
}

/// A service and its backend set, of the same name.
pub fn service(name: &str, frontends: &[&str], backends: Vec<Backend>) -> [Resource; 2] {
    let frontends = frontends.iter().map(|text| frontend(text)).collect();
    [
        Resource::BackendSet(BackendSet { name: name.into(), backends }),
        Resource::Service(Service {
            topology: Topology::Scopes(vec![Scope::Zone, Scope::Any]),
            ..Service::new(name.into(), frontends, name.into())
        }),
    ]
}

pub fn backend(text: &str, node: &str) -> Backend {
    Backend { node: node.into(), ..Backend::new(text.parse().unwrap()) }
}

/// Few distinct addresses, so that prefixes nest, overlap and meet workloads and services.
const ADDRESSES: &[&str] = &[
    "0.0.0.0",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.128",
    "10.0.1.0",
    "10.0.255.255",
    "10.1.0.0",
    "127.255.255.255",
    "255.255.255.255",
    "::",
    "fd00::",
    "fd00::1",
    "fd00::2",
    "fd00::8000",
    "fd00:0:0:1::",
    "fd00::ffff:ffff:ffff:ffff",
    "ffff:ffff::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

const EDGES: &[u16] = &[1, 63, 64, 79, 80, 443, 65534, 65535];

pub fn any_world() -> impl Strategy<Value = World> {
    let sets = vec((vec(any_prefix(), 0..4), vec(any_prefix(), 0..3)), 5);
    let workloads = vec(select(ADDRESSES), 4);
    (sets, workloads, vec(any_policy(), 0..7), vec(select(ADDRESSES), 2)).prop_map(
        |(sets, workloads, policies, services)| {
            let sets = sets.into_iter().enumerate().map(|(index, (prefixes, except))| {
                Resource::AddressSet(AddressSet { name: set_name(index), prefixes, except })
            });
            let policies = policies.into_iter().enumerate().map(|(index, mut policy)| {
                policy.name = format!("policy-{index}");
                Resource::Policy(policy)
            });
            let frontends: Vec<_> = services
                .iter()
                .map(|text| std::net::SocketAddr::new(address(text), 80).to_string())
                .collect();
            let mut distinct: Vec<&str> = frontends.iter().map(String::as_str).collect();
            distinct.dedup();
            let fixed =
                [node(HERE, "a", &["10.0.0.2", "fd00::2"]), node("far", "b", &["10.0.1.0"])];
            world(
                sets.chain(policies).chain(fixed).chain(any_workloads(&workloads)).chain(service(
                    "shop",
                    &distinct,
                    vec![backend("10.0.0.1:80", HERE)],
                )),
            )
        },
    )
}

/// The last is on another node; local ones share no address.
fn any_workloads(addresses: &[&'static str]) -> Vec<Resource> {
    let (remote, local) = addresses.split_last().unwrap();
    let mut local = local.to_vec();
    local.sort_unstable();
    local.dedup();
    let mut workloads: Vec<_> = local
        .iter()
        .enumerate()
        .map(|(index, address)| workload(&format!("local-{index}"), HERE, &[address]))
        .collect();
    workloads.push(workload("remote", "far", &[remote]));
    workloads
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    let v4 = &[0, 1, 8, 15, 16, 17, 23, 24, 25, 31, 32, 32];
    let v6 = &[0, 1, 16, 63, 64, 65, 112, 113, 127, 128, 128];
    (select(ADDRESSES), select(v4.to_vec()), select(v6.to_vec())).prop_map(|(text, v4, v6)| {
        let address = address(text);
        let bits = if address.is_ipv4() { v4 } else { v6 };
        Prefix::new(ipnet::IpNet::new(address, bits).unwrap().trunc()).unwrap()
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let tier = select(vec![Tier::Admin, Tier::Network, Tier::Baseline]);
    let rules = || option::weighted(0.8, vec(any_rule(), 0..4));
    (tier, 0..3_u32, any_sets(1..3), rules(), rules()).prop_map(
        |(tier, priority, subjects, mut ingress, mut egress)| {
            if tier == Tier::Network {
                for rule in [&mut ingress, &mut egress].into_iter().flatten().flatten() {
                    rule.action = Action::Accept;
                }
            }
            Policy { name: String::new(), tier, priority, subjects, ingress, egress }
        },
    )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let action = select(vec![Action::Accept, Action::Deny, Action::Pass]);
    (action, option::weighted(0.8, any_sets(0..3)), option::of(vec(any_ports(), 0..4)))
        .prop_map(|(action, peers, ports)| Rule { name: String::new(), action, peers, ports })
}

fn any_ports() -> impl Strategy<Value = PortMatch> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    (protocol, select(EDGES), select(EDGES)).prop_map(|(protocol, one, other)| {
        let range = PortRange::new(one.min(other).into(), one.max(other).into()).unwrap();
        PortMatch { protocol, range }
    })
}

fn any_sets(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    vec((0..5_usize).prop_map(set_name), count)
}

fn set_name(index: usize) -> String {
    format!("set-{index}")
}

/// Both sides of every edge in the world, in addresses and in ports.
pub fn probes(world: &World) -> (Vec<IpAddr>, Vec<(u8, u16)>) {
    let mut addresses: Vec<IpAddr> = ADDRESSES.iter().map(|text| address(text)).collect();
    let sets = world.address_sets.values();
    for prefix in sets.flat_map(|set| set.prefixes.iter().chain(&set.except)) {
        for edge in [prefix.net().network(), prefix.net().broadcast()] {
            addresses.extend(beside(edge));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    let ports = EDGES.iter().flat_map(|port| [port - 1, *port, port.saturating_add(1)]);
    let mut services: Vec<_> = ports.flat_map(|port| [6, 17, 132].map(|it| (it, port))).collect();
    services.extend([(1, 0), (58, 80), (47, 443)]);
    services.sort_unstable();
    services.dedup();
    (addresses, services)
}

fn beside(address: IpAddr) -> [IpAddr; 3] {
    match address {
        IpAddr::V4(address) => {
            let number = u32::from(address);
            [number.wrapping_sub(1), number, number.wrapping_add(1)].map(|it| IpAddr::V4(it.into()))
        }
        IpAddr::V6(address) => {
            let number = u128::from(address);
            [number.wrapping_sub(1), number, number.wrapping_add(1)].map(|it| IpAddr::V6(it.into()))
        }
    }
}
