//! The world of the packets: one node with three workloads, another with a pod, an outsider.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use zonegate::model::{
    Action, AddressSet, Backend, BackendSet, Frontend, FrontendKind, Node, Policy, PortMatch,
    PortRange, Protocol, Resource, Rule, Service, Tier, TrafficPolicy, Workload, World,
};

/// The node under test.
pub(super) const HERE: &str = "here";

/// Who has which address of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Local workloads.
    pub web: IpAddr,
    pub shop: IpAddr,
    pub batch: IpAddr,
    /// This node and the other one.
    pub node: IpAddr,
    pub other_node: IpAddr,
    /// A workload on the other node.
    pub pod: IpAddr,
    /// Not of the cluster.
    pub outsider: IpAddr,
    /// Service addresses: TCP 80 and UDP 53 on `pod`; the same on the local `shop`, where outsiders
    /// keep their addresses; and one that nobody answers at.
    pub vip: IpAddr,
    pub local_vip: IpAddr,
    pub lonely_vip: IpAddr,
}

impl Places {
    pub fn v4() -> Self {
        Self::parse([
            "10.1.0.11",
            "10.1.0.12",
            "10.1.0.13",
            "192.168.50.1",
            "192.168.50.2",
            "10.2.1.1",
            "198.51.100.9",
            "10.96.0.1",
            "10.96.0.2",
            "10.96.0.3",
        ])
    }

    pub fn v6() -> Self {
        Self::parse([
            "fd00:1::b",
            "fd00:1::c",
            "fd00:1::d",
            "fd00:50::1",
            "fd00:50::2",
            "fd00:2:1::1",
            "2001:db8::9",
            "fd00:96::1",
            "fd00:96::2",
            "fd00:96::3",
        ])
    }

    pub fn both() -> [Self; 2] {
        [Self::v4(), Self::v6()]
    }

    fn parse(texts: [&str; 10]) -> Self {
        let parsed =
            texts.map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")));
        let [web, shop, batch, node, other_node, pod, outsider, vip, local_vip, lonely_vip] =
            parsed;
        Self { web, shop, batch, node, other_node, pod, outsider, vip, local_vip, lonely_vip }
    }

    /// Ports that services have, and ports that their backends have.
    pub const HTTP: u16 = 80;
    pub const DNS: u16 = 53;
    pub const HTTP_BACKEND: u16 = 8080;
    pub const DNS_BACKEND: u16 = 5353;
}

/// Makes worlds.
pub struct Worlds;

impl Worlds {
    /// Nodes, workloads, address sets named like who is in them, and services.
    pub fn plain() -> World {
        let all = |place: fn(&Places) -> IpAddr| Places::both().iter().map(place).collect();
        let node = |name: &str, addresses| {
            Resource::Node(Node {
                pod_prefixes: Vec::new(),
                weight: 1000,
                name: name.to_owned(),
                addresses,
                zone: String::new(),
                region: String::new(),
                labels: BTreeMap::new(),
            })
        };
        let workload = |name: &str, node: &str, addresses: Vec<IpAddr>| {
            let set = AddressSet {
                name: name.to_owned(),
                prefixes: addresses.iter().map(|it| zonegate::model::Prefix::host(*it)).collect(),
                except: Vec::new(),
            };
            let workload = Workload {
                name: name.to_owned(),
                node: node.to_owned(),
                addresses,
                interface: format!("zg-{name}"),
            };
            [Resource::Workload(workload), Resource::AddressSet(set)]
        };
        let mut world = World::default();
        let resources = [node(HERE, all(|it| it.node)), node("other", all(|it| it.other_node))];
        let resources = resources
            .into_iter()
            .chain(workload("web", HERE, all(|it| it.web)))
            .chain(workload("shop", HERE, all(|it| it.shop)))
            .chain(workload("batch", HERE, all(|it| it.batch)))
            .chain(workload("pod", "other", all(|it| it.pod)));
        resources.for_each(|resource| world.upsert(resource));

        let (http, dns) = (Places::HTTP, Places::DNS);
        let on_pod = |port| Places::both().map(|it| backend(it.pod, port)).to_vec();
        let here = |backend| Backend { node: HERE.to_owned(), ..backend };
        let on_shop = |port| Places::both().map(|it| here(backend(it.shop, port))).to_vec();
        for (name, place, protocol, port, backends) in [
            (
                "http",
                (|it| it.vip) as fn(&Places) -> IpAddr,
                Protocol::Tcp,
                http,
                on_pod(Places::HTTP_BACKEND),
            ),
            ("dns", |it| it.vip, Protocol::Udp, dns, on_pod(Places::DNS_BACKEND)),
            ("local", |it| it.local_vip, Protocol::Tcp, http, on_shop(Places::HTTP_BACKEND)),
            ("local-dns", |it| it.local_vip, Protocol::Udp, dns, on_shop(Places::DNS_BACKEND)),
            ("lonely-http", |it| it.lonely_vip, Protocol::Tcp, http, Vec::new()),
            ("lonely-dns", |it| it.lonely_vip, Protocol::Udp, dns, Vec::new()),
        ] {
            let addresses = Places::both().map(|it| place(&it));
            for mut resource in service(name, &addresses, protocol, port, backends) {
                if let Resource::Service(service) = &mut resource
                    && name.starts_with("local")
                {
                    keep_sources(service);
                }
                world.upsert(resource);
            }
        }
        world
    }

    /// The plain world with more resources, or others of the same names.
    pub fn with(resources: impl IntoIterator<Item = Resource>) -> World {
        let mut world = Self::plain();
        resources.into_iter().for_each(|resource| world.upsert(resource));
        world
    }
}

/// Has outsiders reach the backends of this node with their own addresses.
fn keep_sources(service: &mut Service) {
    service.external_policy = TrafficPolicy::Local;
    for frontend in &mut service.frontends {
        frontend.kind = FrontendKind::External;
    }
}

/// A service at one port of several addresses, and its backends.
pub fn service(
    name: &str,
    addresses: &[IpAddr],
    protocol: Protocol,
    port: u16,
    backends: Vec<Backend>,
) -> [Resource; 2] {
    let kind = FrontendKind::Cluster;
    let frontends = addresses
        .iter()
        .map(|address| Frontend { kind, address: *address, port, protocol })
        .collect();
    [
        Resource::BackendSet(BackendSet { name: name.to_owned(), backends }),
        Resource::Service(Service::new(name.to_owned(), frontends, name.to_owned())),
    ]
}

/// A backend that takes connections.
pub fn backend(address: IpAddr, port: u16) -> Backend {
    Backend::new(SocketAddr::new(address, port))
}

/// Network policies that isolate `subject` in both directions but for peers (by address set) and
/// TCP ports; no ports are all traffic.
pub fn admit(subject: &str, ingress: &[&str], egress: &[&str], ports: &[u16]) -> Resource {
    let rules = |peers: &[&str]| {
        let ports = ports.iter().map(|port| PortMatch {
            protocol: Protocol::Tcp,
            range: PortRange::new((*port).into(), (*port).into()).expect("a port"),
        });
        let ports = Some(ports.collect::<Vec<_>>()).filter(|ports| !ports.is_empty());
        let peers = Some(peers.iter().map(|peer| (*peer).to_owned()).collect());
        Some(vec![Rule { name: String::new(), action: Action::Accept, peers, ports }])
    };
    Resource::Policy(Policy {
        name: format!("only-{subject}"),
        tier: Tier::Network,
        priority: 0,
        subjects: vec![subject.to_owned()],
        ingress: rules(ingress),
        egress: rules(egress),
    })
}
