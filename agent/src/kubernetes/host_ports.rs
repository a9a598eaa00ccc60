//! Host ports: ports of a node that lead to a pod on it, as the network plugin `portmap` has them.
//!
//! Whatever is at all addresses of a node yields to what names one of them, on the node itself. Of
//! those that ask for the same, a service comes before pods, and of pods the one that was created
//! first: the kubelet, too, refuses the later ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Effect, ObjectKey, Problem, balancing::Balancing, claims::Socket, cluster::Cluster,
    key::host_port_name, named_ports::PortNumber, pods::Pod, problem::note,
};
use crate::{
    few::{Few, insert, remove},
    model::{Backend, BackendSet, Frontend, FrontendKind, Key, Resource, Service, TrafficPolicy},
};

/// A port of its node that a pod's container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    /// That asks for it.
    pub field: String,
    /// `None`: the node's addresses of both families; unspecified: those of one.
    pub address: Option<IpAddr>,
    pub number: PortNumber,
    pub container_port: u16,
}

#[derive(Debug, Default)]
pub(super) struct HostPorts {
    pods: BTreeMap<ObjectKey, Claimant>,
    /// By address, port and node.
    claims: BTreeMap<(Socket, String), Few<Claim>>,
    by_node: BTreeMap<String, Few<ObjectKey>>,
    /// What each pod's ports became when they were last looked at.
    rendered: BTreeMap<ObjectKey, Vec<Key>>,
    problems: BTreeMap<ObjectKey, Vec<Problem>>,
    touched: BTreeSet<ObjectKey>,
}

/// Creation and pod: the first has the port.
type Claim = (Option<Time>, ObjectKey);

/// A pod that asks for ports of its node.
#[derive(Debug, PartialEq, Eq)]
struct Claimant {
    node: String,
    created: Option<Time>,
    /// At most one of each family.
    addresses: Vec<IpAddr>,
    ports: Vec<HostPort>,
}

impl HostPorts {
    /// Follows a pod, whose addresses are those that it `has`.
    pub(super) fn set_pod(
        &mut self,
        key: &ObjectKey,
        pod: Option<&Pod>,
        has: impl Fn(IpAddr) -> bool,
    ) {
        let asking = pod.filter(|pod| !pod.node.is_empty() && !pod.host_ports.is_empty());
        let new = asking.map(|pod| Claimant::new(pod, has));
        if self.pods.get(key) == new.as_ref() {
            return;
        }
        if let Some(old) = self.pods.remove(key) {
            self.withdraw(key, &old);
        }
        if let Some(new) = new {
            self.enter(key, &new);
            self.pods.insert(key.clone(), new);
        }
        self.touched.insert(key.clone());
    }

    /// A node's addresses may be others than before.
    pub(super) fn touch_node(&mut self, name: &str) {
        self.touched.extend(self.by_node.get(name).into_iter().flatten().cloned());
    }

    /// Other services than before may have these.
    pub(super) fn touch_sockets(&mut self, sockets: impl IntoIterator<Item = Socket>) {
        for socket in sockets {
            let claims = self.claims.range((socket, String::new())..);
            for (_, claims) in claims.take_while(|((of, _), _)| *of == socket) {
                self.touched.extend(claims.iter().map(|(_, pod)| pod.clone()));
            }
        }
    }

    pub(super) fn problems(&self) -> &BTreeMap<ObjectKey, Vec<Problem>> {
        &self.problems
    }

    /// Brings what the ports become, and which pods cannot have, up to date.
    pub(super) fn settle(
        &mut self,
        balancing: &Balancing,
        cluster: &Cluster,
        resources: &mut BTreeMap<Key, Option<Resource>>,
    ) {
        for key in mem::take(&mut self.touched) {
            let (new, problems) = self.render(&key, balancing, cluster);
            for old in self.rendered.remove(&key).into_iter().flatten() {
                resources.insert(old, None);
            }
            if !new.is_empty() {
                self.rendered.insert(key.clone(), new.iter().map(Resource::key).collect());
            }
            resources.extend(new.into_iter().map(|resource| (resource.key(), Some(resource))));
            note(&mut self.problems, key, problems);
        }
    }

    /// A service and a backend set for each port of the pod that ports of the node lead to.
    fn render(
        &self,
        key: &ObjectKey,
        balancing: &Balancing,
        cluster: &Cluster,
    ) -> (Vec<Resource>, Vec<Problem>) {
        let Some(pod) = self.pods.get(key) else { return Default::default() };
        let mut frontends: BTreeMap<PortNumber, Vec<Frontend>> = BTreeMap::new();
        let mut problems = Vec::new();
        let mut own = BTreeSet::new();
        for port in &pod.ports {
            let mut refuse = |reason| {
                let (object, field) = (key.clone(), port.field.clone());
                problems.push(Problem { object, field, reason, effect: Effect::FieldIgnored });
            };
            let (protocol, number) = port.number;
            for socket in pod.sockets(port) {
                let (address, ..) = socket;
                let taken = || format!("{protocol} {address} port {number} belongs to");
                if !own.insert(socket) {
                    refuse(format!("{} another container of the pod", taken()));
                } else if let Some((namespace, name)) = balancing.holder_of(socket) {
                    refuse(format!("{} the service {namespace}/{name}", taken()));
                } else if let Some(holder) = self.earlier(socket, &pod.node, key) {
                    refuse(format!("{} {holder}, which is older", taken()));
                } else if !is_on(address, &pod.node, cluster) {
                    refuse(format!("{address} is no address of the node {}", pod.node));
                } else {
                    let kind = FrontendKind::HostPort;
                    let frontend = Frontend { kind, address, port: number, protocol };
                    frontends.entry((protocol, port.container_port)).or_default().push(frontend);
                }
            }
        }
        let resources = frontends.into_iter().flat_map(|(port, it)| pod.resources(key, port, it));
        (resources.collect(), problems)
    }

    /// The pod that has an address and port of a node rather than this one.
    fn earlier(&self, socket: Socket, node: &str, key: &ObjectKey) -> Option<&ObjectKey> {
        let claims = self.claims.get(&(socket, node.to_owned()))?;
        claims.first().map(|(_, holder)| holder).filter(|holder| *holder != key)
    }

    fn enter(&mut self, key: &ObjectKey, pod: &Claimant) {
        for socket in pod.all_sockets() {
            let claim = (pod.created.clone(), key.clone());
            insert(&mut self.claims, (socket, pod.node.clone()), claim);
        }
        self.touch_sockets(pod.all_sockets());
        insert(&mut self.by_node, pod.node.clone(), key.clone());
    }

    /// Undoes [`Self::enter`].
    fn withdraw(&mut self, key: &ObjectKey, pod: &Claimant) {
        self.touch_sockets(pod.all_sockets());
        for socket in pod.all_sockets() {
            let claim = (pod.created.clone(), key.clone());
            remove(&mut self.claims, &(socket, pod.node.clone()), &claim);
        }
        remove(&mut self.by_node, &pod.node, key);
    }
}

impl Claimant {
    fn new(pod: &Pod, has: impl Fn(IpAddr) -> bool) -> Self {
        let own = pod.addresses.iter().copied().filter(|it| has(*it));
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in own {
            if addresses.iter().all(|it| it.is_ipv4() != address.is_ipv4()) {
                addresses.push(address);
            }
        }
        let (node, created) = (pod.node.clone(), pod.created.clone());
        Self { node, created, addresses, ports: pod.host_ports.clone() }
    }

    /// What a port is reached at, in the families that the pod has an address of.
    fn sockets(&self, port: &HostPort) -> impl Iterator<Item = Socket> {
        let (protocol, number) = port.number;
        let address = port.address;
        let of_family = self.addresses.iter().filter_map(move |own| match (address, own) {
            (Some(it), own) => (it.is_ipv4() == own.is_ipv4()).then_some(it),
            (None, IpAddr::V4(_)) => Some(Ipv4Addr::UNSPECIFIED.into()),
            (None, IpAddr::V6(_)) => Some(Ipv6Addr::UNSPECIFIED.into()),
        });
        of_family.map(move |address| (address, number, protocol))
    }

    fn all_sockets(&self) -> BTreeSet<Socket> {
        self.ports.iter().flat_map(|port| self.sockets(port)).collect()
    }

    /// Readiness does not matter: who asks for a port of a node gets it.
    fn resources(
        &self,
        key: &ObjectKey,
        (protocol, port): PortNumber,
        frontends: Vec<Frontend>,
    ) -> [Resource; 2] {
        let name = host_port_name(key, protocol, port);
        let backends = self.addresses.iter().map(|address| Backend {
            node: self.node.clone(),
            ..Backend::new(SocketAddr::new(*address, port))
        });
        let set = BackendSet { name: name.clone(), backends: backends.collect() };
        let service = Service {
            external_policy: TrafficPolicy::Local,
            node: self.node.clone(),
            ..Service::new(name.clone(), frontends, name)
        };
        [Resource::BackendSet(set), Resource::Service(service)]
    }
}

/// Whether a node may have ports at an address. Of one that is not known everything is possible.
fn is_on(address: IpAddr, node: &str, cluster: &Cluster) -> bool {
    let everywhere = address.is_unspecified() || address.is_loopback();
    everywhere || cluster.node(node).is_none_or(|node| node.addresses.contains(&address))
}
