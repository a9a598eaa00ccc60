//! The services and endpoint slices that are known, and what they become.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::{
    Effect, ObjectKey, ObjectKind, Problem,
    claims::{Claims, Socket, Taken, sockets},
    names::bounded,
    problem::note,
    services::{Service, ServicePort},
    slices::{Endpoint, Slice},
};
use crate::model::{self, Backend, BackendSet, Frontend, FrontendKind, Key, Prefix, Resource};

/// Namespace and name, which much here is kept by.
pub(super) type Name = Arc<(String, String)>;

#[derive(Debug, Default)]
pub(super) struct Balancing {
    services: BTreeMap<Name, Service>,
    /// By service, in the order of their own names. Most services have one.
    slices: BTreeMap<Name, Vec<(String, Slice)>>,
    /// The services that slices belong to.
    owners: BTreeMap<Name, Name>,
    claims: Claims,
    /// What each service became when it was last looked at.
    rendered: BTreeMap<Name, Vec<Key>>,
    touched: BTreeSet<Name>,
    /// What services have, or had, since it was last asked for.
    moved: BTreeSet<Socket>,
}

/// What a service becomes.
#[derive(Debug, Default)]
struct Balanced {
    resources: Vec<Resource>,
    /// Addresses that it cannot have: field and reason.
    refused: BTreeSet<(String, String)>,
}

impl Balancing {
    /// External addresses may be in `external_ranges` only, if there are any.
    pub(super) fn new(external_ranges: Vec<Prefix>) -> Self {
        Self { claims: Claims::new(external_ranges), ..Self::default() }
    }

    /// The form of a service that holds from now on.
    pub(super) fn set_service(&mut self, name: &Name, service: Option<Service>) {
        if self.services.get(name) == service.as_ref() {
            return;
        }
        if let Some(old) = self.services.remove(name) {
            self.claims.withdraw(name, &old, &mut self.touched);
            self.moved.extend(sockets(&old).map(|(_, socket)| socket));
        }
        if let Some(service) = service {
            self.claims.enter(name, &service, &mut self.touched);
            self.services.insert(name.clone(), service);
        }
        self.touched.insert(name.clone());
    }

    pub(super) fn set_slice(&mut self, name: &Name, slice: Option<Slice>) {
        let (namespace, own) = &**name;
        if let Some(owner) = self.owners.remove(name) {
            if let Some(slices) = self.slices.get_mut(&owner) {
                slices.retain(|(name, _)| name != own);
                if slices.is_empty() {
                    self.slices.remove(&owner);
                }
            }
            self.touched.insert(owner);
        }
        if let Some(slice) = slice {
            let owner = Arc::new((namespace.clone(), slice.service.clone()));
            match self.slices.entry(owner.clone()) {
                Entry::Vacant(place) => drop(place.insert(vec![(own.clone(), slice)])),
                Entry::Occupied(slices) => {
                    let slices = slices.into_mut();
                    let place = slices.partition_point(|(name, _)| name < own);
                    slices.insert(place, (own.clone(), slice));
                }
            }
            self.owners.insert(name.clone(), owner.clone());
            self.touched.insert(owner);
        }
    }

    /// A pod's addresses are others than before.
    pub(super) fn move_pod(&mut self, before: &BTreeSet<IpAddr>, after: &BTreeSet<IpAddr>) {
        self.claims.move_pod(before, after, &mut self.touched);
    }

    pub(super) fn service(&self, name: &Name) -> Option<&Service> {
        self.services.get(name)
    }

    /// Brings what services become, and what they cannot have, up to date.
    pub(super) fn settle(
        &mut self,
        resources: &mut BTreeMap<Key, Option<Resource>>,
        conflicts: &mut BTreeMap<ObjectKey, Vec<Problem>>,
    ) {
        for name in mem::take(&mut self.touched) {
            let service = self.services.get(&name).into_iter();
            self.moved.extend(service.flat_map(sockets).map(|(_, socket)| socket));
            let Balanced { resources: new, refused } = self.render(&name);
            for old in self.rendered.remove(&name).into_iter().flatten() {
                resources.insert(old, None);
            }
            if !new.is_empty() {
                self.rendered.insert(name.clone(), new.iter().map(Resource::key).collect());
            }
            resources.extend(new.into_iter().map(|resource| (resource.key(), Some(resource))));
            let (namespace, own) = Arc::unwrap_or_clone(name);
            let object = ObjectKey { kind: ObjectKind::Service, namespace, name: own };
            let problem = |(field, reason)| Problem {
                object: object.clone(),
                field,
                reason,
                effect: Effect::FieldIgnored,
            };
            let problems: Vec<Problem> = refused.into_iter().map(problem).collect();
            note(conflicts, object, problems);
        }
    }

    /// The service that has an address and port.
    pub(super) fn holder_of(&self, socket: Socket) -> Option<&(String, String)> {
        self.claims.first(socket).map(|(_, name)| &**name)
    }

    /// The addresses and ports that may be another service's since this was last asked.
    pub(super) fn take_moved(&mut self) -> BTreeSet<Socket> {
        mem::take(&mut self.moved)
    }

    /// A service and a backend set for each port that has frontends.
    fn render(&self, name: &Name) -> Balanced {
        let mut balanced = Balanced::default();
        let Some(service) = self.services.get(name).filter(|service| service.ours) else {
            return balanced;
        };
        for port in &service.ports {
            let frontends = self.frontends(name, service, port, &mut balanced.refused);
            if frontends.is_empty() {
                continue;
            }
            let resource = resource_name(name, port);
            let backends = self.backends(name, service, port);
            let set = BackendSet { name: resource.clone(), backends };
            balanced.resources.push(Resource::BackendSet(set));
            balanced.resources.push(Resource::Service(model::Service {
                name: resource.clone(),
                frontends,
                backend_set: resource,
                topology: service.policies.topology.clone(),
                internal_policy: service.policies.internal,
                external_policy: service.policies.external,
                source_ranges: service.source_ranges.clone(),
                health_check_port: service.health_check_port,
                affinity: service.policies.affinity,
                forwarding: service.policies.forwarding,
                node: String::new(),
            }));
        }
        balanced
    }

    fn frontends(
        &self,
        name: &Name,
        service: &Service,
        port: &ServicePort,
        refused: &mut BTreeSet<(String, String)>,
    ) -> Vec<Frontend> {
        let mut frontends = Vec::new();
        for (field, frontend) in wanted(service, port) {
            match self.claims.holder(name, &frontend) {
                Ok(()) => frontends.push(frontend),
                Err(Taken::ByItself) => {}
                Err(taken) => drop(refused.insert((field, taken.to_string()))),
            }
        }
        frontends
    }

    /// The endpoints of a port. Of endpoints that several slices list, as they do while one moves,
    /// the most useful form counts.
    fn backends(&self, name: &Name, service: &Service, port: &ServicePort) -> Vec<Backend> {
        let mut backends: BTreeMap<SocketAddr, Backend> = BTreeMap::new();
        for (_, slice) in self.slices.get(name).into_iter().flatten() {
            let same = slice.ports.iter();
            let same = same.filter(|it| it.name == port.name && it.protocol == port.protocol);
            for number in same.map(|it| it.number) {
                for endpoint in &slice.endpoints {
                    let backend = backend(endpoint, number, service.publish_not_ready);
                    let usefulness = |it: &Backend| (it.ready, it.serving, !it.terminating);
                    let known = backends.get(&backend.address);
                    if known.is_none_or(|known| usefulness(known) < usefulness(&backend)) {
                        backends.insert(backend.address, backend);
                    }
                }
            }
        }
        backends.into_values().collect()
    }
}

/// The frontends that a port asks for, with the fields that do.
pub(super) fn wanted(service: &Service, port: &ServicePort) -> Vec<(String, Frontend)> {
    let ServicePort { number, protocol, .. } = *port;
    let frontend = |kind, address, port| Frontend { kind, address, port, protocol };
    let mut wanted = Vec::new();
    for address in &service.cluster {
        let field = "spec.clusterIPs".to_owned();
        wanted.push((field, frontend(FrontendKind::Cluster, *address, number)));
        if let Some(node_port) = port.node_port {
            let any = match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let field = "spec.ports".to_owned();
            wanted.push((field, frontend(FrontendKind::NodePort, any, node_port)));
        }
    }
    for address in service.balancers.iter().filter(|it| service.is_of_family(**it)) {
        let field = "status.loadBalancer.ingress".to_owned();
        wanted.push((field, frontend(FrontendKind::LoadBalancer, *address, number)));
    }
    for (field, address) in service.external.iter().filter(|(_, it)| service.is_of_family(*it)) {
        wanted.push((field.clone(), frontend(FrontendKind::External, *address, number)));
    }
    wanted
}

fn backend(endpoint: &Endpoint, port: u16, publish_not_ready: bool) -> Backend {
    Backend {
        address: SocketAddr::new(endpoint.address, port),
        node: endpoint.node.clone(),
        zone: endpoint.zone.clone(),
        hints: endpoint.hints.clone(),
        ready: endpoint.ready || publish_not_ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
        draining: false,
        weight: 1,
    }
}

/// `namespace/name:port`, by the port's name if it has one.
fn resource_name(name: &Name, port: &ServicePort) -> String {
    let (namespace, name) = &**name;
    let number = port.number.to_string();
    let port = if port.name.is_empty() { &number } else { &port.name };
    bounded(format!("{namespace}/{name}:{port}"))
}
