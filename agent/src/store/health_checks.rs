//! What load balancers are told of this node: how many ready backends it has of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::Store;
use crate::model::{Key, Kind, World};

/// What is asked for, by port. The same pointer as long as nothing changes.
pub type HealthChecks = Arc<BTreeMap<u16, HealthCheck>>;

/// What a node says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub namespace: String,
    pub name: String,
    /// Addresses of this node at which the service has a ready backend.
    pub ready: usize,
}

/// The checks as of the last commit.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Services with a port for checks, by name.
    services: BTreeSet<String>,
    /// The backend sets of these.
    backend_sets: BTreeSet<String>,
    checks: HealthChecks,
    /// Something was committed: what a change does not name is known.
    begun: bool,
}

impl Store {
    /// What load balancers ask this node for, as packets see it.
    pub fn health_checks(&self) -> HealthChecks {
        Arc::clone(&self.checked.checks)
    }
}

impl Checked {
    /// Takes in what a commit changed. Costs as much as all services with checks where one of
    /// these or its backends changed, and nothing else.
    pub(super) fn update(&mut self, world: &World, node: &str, changed: &BTreeSet<Key>) {
        if !self.begun {
            self.begun = true;
            let everything = world.keys().collect();
            return self.update(world, node, &everything);
        }
        let mut concerned = false;
        for Key { kind, name } in changed {
            match kind {
                Kind::Service => {
                    let service = world.services.get(name);
                    let is_checked = service.is_some_and(|it| it.health_check_port.is_some());
                    concerned |= match is_checked {
                        true => {
                            self.services.insert(name.clone());
                            true
                        }
                        false => self.services.remove(name),
                    };
                }
                Kind::BackendSet => concerned |= self.backend_sets.contains(name),
                Kind::Node | Kind::Workload | Kind::AddressSet | Kind::Policy => {}
            }
        }
        if concerned {
            self.count(world, node);
        }
    }

    /// An address counts once for a port, however many services share both.
    fn count(&mut self, world: &World, node: &str) {
        let mut ready: BTreeMap<u16, (&str, BTreeSet<IpAddr>)> = BTreeMap::new();
        self.backend_sets.clear();
        for service in self.services.iter().filter_map(|name| world.services.get(name)) {
            let Some(port) = service.health_check_port else { continue };
            let (_, addresses) = ready.entry(port).or_insert((&service.name, BTreeSet::new()));
            let set = world.backend_sets.get(&service.backend_set);
            let backends = set.into_iter().flat_map(|set| &set.backends);
            let own = backends.filter(|backend| backend.is_available() && backend.node == node);
            addresses.extend(own.map(|backend| backend.address.ip()));
            self.backend_sets.insert(service.backend_set.clone());
        }
        let checks = ready.into_iter().map(|(port, (service, addresses))| {
            let (namespace, name) = namespaced(service);
            (port, HealthCheck { namespace, name, ready: addresses.len() })
        });
        let checks: BTreeMap<_, _> = checks.collect();
        if *self.checks != checks {
            self.checks = Arc::new(checks);
        }
    }
}

/// Namespace and name of a service by the convention `namespace/name:port`.
fn namespaced(service: &str) -> (String, String) {
    let (namespace, rest) = service.split_once('/').unwrap_or(("", service));
    let name = rest.rsplit_once(':').map_or(rest, |(name, _)| name);
    (namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Backend, BackendSet, Resource, Service, TrafficPolicy};

    fn service(name: &str, set: &str, health_check_port: Option<u16>) -> Resource {
        Resource::Service(Service {
            external_policy: TrafficPolicy::Local,
            health_check_port,
            ..Service::new(name.to_owned(), Vec::new(), set.to_owned())
        })
    }

    /// Backends as `address:port@node`, with `-` after those that are not ready.
    fn backends(name: &str, backends: &[&str]) -> Resource {
        let backend = |text: &&str| {
            let ready = !text.ends_with('-');
            let (address, node) = text.trim_end_matches('-').split_once('@').unwrap();
            Backend {
                node: node.to_owned(),
                ready,
                terminating: !ready,
                ..Backend::new(address.parse().unwrap())
            }
        };
        let backends = backends.iter().map(backend).collect();
        Resource::BackendSet(BackendSet { name: name.to_owned(), backends })
    }

    #[test]
    fn ready_addresses_of_the_node_are_counted_as_they_change() {
        let (mut world, mut checked) = (World::default(), Checked::default());
        let mut commit = |change: Result<Resource, Key>| {
            let key = match change {
                Ok(resource) => {
                    let key = resource.key();
                    world.upsert(resource);
                    key
                }
                Err(key) => {
                    world.remove(&key);
                    key
                }
            };
            let before = Arc::clone(&checked.checks);
            checked.update(&world, "n1", &BTreeSet::from([key]));
            let texts = checked
                .checks
                .iter()
                .map(|(port, it)| format!("{port} {}/{} {}", it.namespace, it.name, it.ready));
            (texts.collect::<Vec<_>>(), Arc::ptr_eq(&before, &checked.checks))
        };
        let says = |texts: &[&str], same| (texts.iter().map(ToString::to_string).collect(), same);

        let first = ["10.0.0.1:80@n1", "10.0.0.2:80@n1-", "10.0.0.3:80@n2"];
        assert_eq!(commit(Ok(backends("web", &first))), says(&[], true));
        assert_eq!(commit(Ok(service("plain:80", "web", None))), says(&[], true));
        assert_eq!(commit(Ok(service("x/s:80", "web", Some(7)))), says(&["7 x/s 1"], false));
        let ready = ["10.0.0.1:80@n1", "10.0.0.2:80@n1", "[fd00::1]:80@n1"];
        assert_eq!(commit(Ok(backends("web", &ready))), says(&["7 x/s 3"], false));
        assert_eq!(commit(Ok(backends("tls", &["10.0.0.1:443@n1"]))), says(&["7 x/s 3"], true));
        let both = says(&["7 x/s 3"], true);
        assert_eq!(commit(Ok(service("x/s:tls", "tls", Some(7)))), both, "one address, two ports");
        assert_eq!(commit(Ok(backends("web", &[]))), says(&["7 x/s 1"], false));
        assert_eq!(
            commit(Ok(service("x/s:80", "web", Some(8)))),
            says(&["7 x/s 1", "8 x/s 0"], false)
        );
        let gone = Key { kind: Kind::Service, name: "x/s:tls".to_owned() };
        assert_eq!(commit(Err(gone)), says(&["8 x/s 0"], false));
    }
}
