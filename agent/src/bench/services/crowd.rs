//! Many services with the same number of endpoints, on pods that they share.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use abi::table::Block;

use crate::{
    loader::TableSizes,
    model::{Backend, BackendSet, Frontend, FrontendKind, Node, Protocol, Resource, Service},
};

/// The node that is measured.
pub const NODE: &str = "node-0";

#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub services: u32,
    pub endpoints: u32,
    /// That endpoints are on, in turn; no more than there are endpoints, or next hops.
    pub pods: u32,
}

/// From these on; services have an address each, in 172.16.0.0/12 and on.
const SERVICES: u32 = 172 << 24 | 16 << 16;
pub const PODS: u32 = 10 << 24 | 192 << 16;
/// As many as there are next hops for.
pub const MOST_PODS: u32 = 60_000;
const PODS_PER_NODE: u32 = 100;
/// What a slot weighs, on both sides.
const SLOT: u32 = 2 * size_of::<u32>() as u32;

impl Crowd {
    pub fn resources(self) -> impl Iterator<Item = Resource> {
        let nodes = (0..self.pods().div_ceil(PODS_PER_NODE)).map(node);
        nodes.chain((0..self.services).flat_map(move |it| [self.backends(it, false), service(it)]))
    }

    /// The endpoints of a service, of which the first may have `left`.
    pub fn backends(self, service: u32, left: bool) -> Resource {
        let backends = (0..self.endpoints).skip(usize::from(left)).map(|endpoint| {
            let number = u64::from(service) * u64::from(self.endpoints) + u64::from(endpoint);
            let pods = u64::from(self.pods());
            let (pod, port) = ((number % pods) as u32, (number / pods) as u16);
            let address = SocketAddr::new(Ipv4Addr::from_bits(PODS + pod).into(), 8000 + port);
            let node = format!("node-{}", pod / PODS_PER_NODE);
            Backend { node, ..Backend::new(address) }
        });
        Resource::BackendSet(BackendSet { name: name(service), backends: backends.collect() })
    }

    /// Tables with room for all of it and the defaults besides. Slots are as many as every
    /// endpoint gets when they are scarce.
    pub fn tables(self) -> TableSizes {
        let default = TableSizes::default();
        let endpoints = self.services.saturating_mul(self.endpoints);
        TableSizes {
            services: default.services + self.services,
            frontends: default.frontends + self.services,
            backends: default.backends + endpoints,
            slots: default.slots + (self.slots() * u64::from(self.services) / 16) as u32,
            ..default
        }
    }

    /// What each endpoint adds to the maps: its record and its slots, on both sides.
    pub fn bytes_per_endpoint(self) -> u64 {
        let slots = self.slots() * u64::from(SLOT) / u64::from(self.endpoints);
        2 * size_of::<Block>() as u64 + slots
    }

    /// Slots of a service: eight for each endpoint, those counted in powers of two, and what is
    /// lost to the next prime.
    fn slots(self) -> u64 {
        u64::from(self.endpoints.next_power_of_two()) * 9
    }

    fn pods(self) -> u32 {
        let endpoints = self.services.saturating_mul(self.endpoints);
        endpoints.min(self.pods).clamp(1, MOST_PODS)
    }
}

fn name(service: u32) -> String {
    format!("crowd/service-{service}:http")
}

fn service(index: u32) -> Resource {
    let frontend = Frontend {
        kind: FrontendKind::Cluster,
        address: Ipv4Addr::from_bits(SERVICES + index).into(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    Resource::Service(Service::new(name(index), vec![frontend], name(index)))
}

fn node(index: u32) -> Resource {
    Resource::Node(Node {
        name: format!("node-{index}"),
        addresses: vec![Ipv4Addr::from_bits((100 << 24 | 64 << 16) + index).into()],
        zone: format!("zone-{}", index % 3),
        region: String::new(),
        labels: BTreeMap::new(),
        pod_prefixes: Vec::new(),
        weight: 1000,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use abi::table::Table;

    use super::*;
    use crate::{
        compile::{Compiler, Limits},
        model::World,
    };

    #[test]
    fn all_of_it_fits_its_tables() {
        let crowd = Crowd { services: 300, endpoints: 20, pods: MOST_PODS };
        let mut world = World::default();
        crowd.resources().for_each(|resource| world.upsert(resource));
        let sets = world.backend_sets.values();
        let distinct: BTreeSet<_> =
            sets.flat_map(|set| &set.backends).map(|it| it.address).collect();
        assert_eq!(distinct.len(), 300 * 20);
        let mut limits = Limits::default();
        for table in [Table::Services, Table::Backends, Table::Slots] {
            let room = crowd.tables().blocks(table) - TableSizes::default().blocks(table);
            limits.blocks[table as usize] = room + 1;
        }
        let image = Compiler::new(NODE.into(), limits).compile(&world).unwrap();
        assert_eq!(image.frontends.len(), 300);
    }
}
