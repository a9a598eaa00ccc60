//! The clusters that are simulated, as resources.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;

use crate::model::{
    Backend, BackendSet, Frontend, FrontendKind, Nearness, Node, Protocol, Resource, Scope,
    Service, Spill, Topology, World,
};

/// What is in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Weight of its node.
    pub clients: u32,
    /// Ready backends of every service.
    pub backends: u32,
}

pub type Zones = [Zone; NAMES.len()];

/// Clients and backends by zone, balanced and not. All but the last stay below the power of two
/// that follows their number of backends whatever changes.
pub const CLUSTERS: &[(&str, &Zones)] = &[
    ("balanced", &zones([1, 1, 1], [8, 8, 8])),
    ("skewed clients", &zones([6, 3, 1], [8, 8, 8])),
    ("skewed backends", &zones([1, 1, 1], [2, 8, 14])),
    ("both", &zones([6, 3, 1], [4, 8, 8])),
    ("none in a", &zones([1, 1, 1], [0, 8, 16])),
    ("16 backends", &zones([6, 3, 1], [5, 6, 5])),
];

const fn zones([a, b, c]: [u32; 3], [for_a, for_b, for_c]: [u32; 3]) -> Zones {
    [
        Zone { clients: a, backends: for_a },
        Zone { clients: b, backends: for_b },
        Zone { clients: c, backends: for_c },
    ]
}

/// Names of zones and of their nodes.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// A way to prefer the own zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    Spill,
    Hints,
    SameZone,
    Random,
}

impl Policy {
    pub const ALL: [Self; 4] = [Self::Spill, Self::Hints, Self::SameZone, Self::Random];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spill => "spill 1.2",
            Self::Hints => "PreferClose",
            Self::SameZone => "Same-Zone",
            Self::Random => "random",
        }
    }

    /// The address of the service that does it.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, 0, self as u8)
    }

    fn topology(self) -> Topology {
        match self {
            Self::Spill => {
                Topology::Spill(Spill { factor: Spill::FACTOR, clients: BTreeMap::new() })
            }
            Self::Hints => Topology::Hints(Some(Nearness::SameZone)),
            Self::SameZone => Topology::Scopes(vec![Scope::Zone]),
            Self::Random => Topology::Scopes(vec![Scope::Any]),
        }
    }
}

pub const PORT: u16 = 80;

/// A node for each zone, and a service for each policy over the same backends. Backend `n` of zone
/// `z` has the address `10.z.0.n`.
pub fn world(zones: &Zones) -> World {
    let mut world = World::default();
    let mut backends = Vec::new();
    for (index, (zone, name)) in zones.iter().zip(NAMES).enumerate() {
        world.upsert(Resource::Node(Node {
            name: name.to_owned(),
            addresses: Vec::new(),
            zone: name.to_owned(),
            region: String::new(),
            labels: BTreeMap::new(),
            pod_prefixes: Vec::new(),
            weight: u64::from(zone.clients) * 1000,
        }));
        backends.extend((0..zone.backends).map(|number| backend(index as u8, number as u8)));
    }
    world.upsert(Resource::BackendSet(BackendSet { name: SET.to_owned(), backends }));
    for policy in Policy::ALL {
        let frontend = Frontend {
            kind: FrontendKind::Cluster,
            address: policy.address().into(),
            port: PORT,
            protocol: Protocol::Tcp,
        };
        world.upsert(Resource::Service(Service {
            topology: policy.topology(),
            ..Service::new(policy.name().to_owned(), vec![frontend], SET.to_owned())
        }));
    }
    world
}

const SET: &str = "backends";

fn backend(zone: u8, number: u8) -> Backend {
    Backend {
        node: NAMES[zone as usize].to_owned(),
        ..Backend::new((Ipv4Addr::new(10, zone, 0, number), PORT).into())
    }
}
