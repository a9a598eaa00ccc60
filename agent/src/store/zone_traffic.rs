//! What services carry from zone to zone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::Store;
use crate::{
    dataplane::{Conversation, Counts},
    model::World,
};

/// What one service carried between two zones since the agent started, on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneTraffic {
    pub service: String,
    pub from: Origin,
    /// The backends' zone; empty where it is not known.
    pub to: String,
    pub counts: Counts,
}

/// Where clients are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a zone; empty where a workload's or node's is not known.
    Zone(String),
    /// Neither workloads nor nodes.
    Outside,
}

/// Sums by service and zones: bounded by what is held.
pub(super) type ZoneAccounts = BTreeMap<(String, Origin, String), Counts>;

impl Store {
    /// Adds what was carried since the last time to the sums. Those of services that are gone go.
    pub fn account(&mut self) {
        let world = &self.state.world;
        self.zone_accounts.retain(|(service, ..), _| world.services.contains_key(service));
        let carried = self.parts.dataplane.take_carried();
        if carried.is_empty() {
            return;
        }
        let numbers = carried.keys().map(|it| it.service).collect();
        let names = self.parts.compiler.service_names(&numbers);
        let places = Places::new(world, &carried, &names);
        for (conversation, counts) in &carried {
            let Some(service) = names.get(&conversation.service) else { continue };
            let key = (
                service.clone(),
                places.origin(conversation.client),
                places.zone(service, conversation.backend),
            );
            self.zone_accounts.entry(key).or_default().add_all(counts);
        }
    }

    /// The sums of a service, or of all where its name is empty.
    pub fn zone_traffic(&mut self, service: &str) -> Vec<ZoneTraffic> {
        self.account();
        let wanted = |name: &str| service.is_empty() || service == name;
        let sums = self.zone_accounts.iter().filter(|((name, ..), _)| wanted(name));
        let traffic = sums.map(|((service, from, to), counts)| ZoneTraffic {
            service: service.clone(),
            from: from.clone(),
            to: to.clone(),
            counts: counts.clone(),
        });
        traffic.collect()
    }
}

/// The zones of the addresses that conversations name.
struct Places<'w> {
    /// Of workloads and nodes.
    hosts: HashMap<IpAddr, &'w str>,
    /// Of backends, by service.
    backends: HashMap<(&'w str, SocketAddr), &'w str>,
}

impl<'w> Places<'w> {
    fn new(
        world: &'w World,
        carried: &HashMap<Conversation, Counts>,
        names: &BTreeMap<u32, String>,
    ) -> Self {
        let ends = carried.keys().flat_map(|it| [it.client, it.backend.ip()]);
        let wanted: BTreeSet<IpAddr> = ends.collect();
        let zone = |node: &str| world.nodes.get(node).map_or("", |node| &*node.zone);
        let nodes = world.nodes.values();
        let nodes = nodes.flat_map(|it| it.addresses.iter().map(|at| (*at, &*it.zone)));
        let workloads = world
            .workloads
            .values()
            .flat_map(|it| it.addresses.iter().map(|at| (*at, zone(&it.node))));
        let hosts = nodes.chain(workloads).filter(|(at, _)| wanted.contains(at)).collect();
        let mut backends = HashMap::new();
        for service in names.values().filter_map(|name| world.services.get(name)) {
            let set = world.backend_sets.get(&service.backend_set);
            for backend in set.into_iter().flat_map(|set| &set.backends) {
                let zone = backend.zone_in(&world.nodes);
                backends.insert((&*service.name, backend.address), zone);
            }
        }
        Self { hosts, backends }
    }

    fn origin(&self, client: IpAddr) -> Origin {
        self.hosts.get(&client).map_or(Origin::Outside, |zone| Origin::Zone((*zone).to_owned()))
    }

    /// A backend that is gone from its set is where its workload is.
    fn zone(&self, service: &str, backend: SocketAddr) -> String {
        let zone = self.backends.get(&(service, backend));
        zone.or_else(|| self.hosts.get(&backend.ip())).map_or("", |zone| *zone).to_owned()
    }
}
