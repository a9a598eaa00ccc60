//! One resource of any kind, and all of them together.

use std::{collections::BTreeMap, fmt};

use super::{AddressSet, BackendSet, Node, Policy, Service, Workload};

/// The kinds of resource, in the order in which they are listed to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Node,
    Workload,
    AddressSet,
    Policy,
    BackendSet,
    Service,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Node,
        Self::Workload,
        Self::AddressSet,
        Self::Policy,
        Self::BackendSet,
        Self::Service,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a resource is called by: its kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Node(Node),
    Workload(Workload),
    AddressSet(AddressSet),
    Policy(Policy),
    BackendSet(BackendSet),
    Service(Service),
}

impl Resource {
    pub fn key(&self) -> Key {
        let (kind, name) = match self {
            Self::Node(it) => (Kind::Node, &it.name),
            Self::Workload(it) => (Kind::Workload, &it.name),
            Self::AddressSet(it) => (Kind::AddressSet, &it.name),
            Self::Policy(it) => (Kind::Policy, &it.name),
            Self::BackendSet(it) => (Kind::BackendSet, &it.name),
            Self::Service(it) => (Kind::Service, &it.name),
        };
        Key { kind, name: name.clone() }
    }
}

/// Every resource a node holds, by name: what the compiler reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    pub nodes: BTreeMap<String, Node>,
    pub workloads: BTreeMap<String, Workload>,
    pub address_sets: BTreeMap<String, AddressSet>,
    pub policies: BTreeMap<String, Policy>,
    pub backend_sets: BTreeMap<String, BackendSet>,
    pub services: BTreeMap<String, Service>,
}

impl World {
    /// Adds a resource, or replaces the one of the same kind and name.
    pub fn upsert(&mut self, resource: Resource) {
        match resource {
            Resource::Node(it) => drop(self.nodes.insert(it.name.clone(), it)),
            Resource::Workload(it) => drop(self.workloads.insert(it.name.clone(), it)),
            Resource::AddressSet(it) => drop(self.address_sets.insert(it.name.clone(), it)),
            Resource::Policy(it) => drop(self.policies.insert(it.name.clone(), it)),
            Resource::BackendSet(it) => drop(self.backend_sets.insert(it.name.clone(), it)),
            Resource::Service(it) => drop(self.services.insert(it.name.clone(), it)),
        }
    }

    /// Removes a resource; says whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        match key.kind {
            Kind::Node => self.nodes.remove(&key.name).is_some(),
            Kind::Workload => self.workloads.remove(&key.name).is_some(),
            Kind::AddressSet => self.address_sets.remove(&key.name).is_some(),
            Kind::Policy => self.policies.remove(&key.name).is_some(),
            Kind::BackendSet => self.backend_sets.remove(&key.name).is_some(),
            Kind::Service => self.services.remove(&key.name).is_some(),
        }
    }

    pub fn contains(&self, key: &Key) -> bool {
        match key.kind {
            Kind::Node => self.nodes.contains_key(&key.name),
            Kind::Workload => self.workloads.contains_key(&key.name),
            Kind::AddressSet => self.address_sets.contains_key(&key.name),
            Kind::Policy => self.policies.contains_key(&key.name),
            Kind::BackendSet => self.backend_sets.contains_key(&key.name),
            Kind::Service => self.services.contains_key(&key.name),
        }
    }

    /// The keys of all resources.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        fn of<R>(kind: Kind, map: &BTreeMap<String, R>) -> impl Iterator<Item = Key> {
            map.keys().map(move |name| Key { kind, name: name.clone() })
        }
        of(Kind::Node, &self.nodes)
            .chain(of(Kind::Workload, &self.workloads))
            .chain(of(Kind::AddressSet, &self.address_sets))
            .chain(of(Kind::Policy, &self.policies))
            .chain(of(Kind::BackendSet, &self.backend_sets))
            .chain(of(Kind::Service, &self.services))
    }

    pub fn get(&self, key: &Key) -> Option<Resource> {
        let name = &key.name;
        match key.kind {
            Kind::Node => self.nodes.get(name).cloned().map(Resource::Node),
            Kind::Workload => self.workloads.get(name).cloned().map(Resource::Workload),
            Kind::AddressSet => self.address_sets.get(name).cloned().map(Resource::AddressSet),
            Kind::Policy => self.policies.get(name).cloned().map(Resource::Policy),
            Kind::BackendSet => self.backend_sets.get(name).cloned().map(Resource::BackendSet),
            Kind::Service => self.services.get(name).cloned().map(Resource::Service),
        }
    }
}
