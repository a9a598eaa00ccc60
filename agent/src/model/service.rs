//! Service addresses and what answers behind them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{Node, Prefix, Protocol};

/// A service address: what clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    pub kind: FrontendKind,
    /// Of a node port the unspecified address of its family: every node answers at its own. Of a
    /// host port the same, for all addresses of its node, or one of them, or the loopback address.
    pub address: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// Where a service address comes from, which decides with the traffic policies who gets which
/// backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// For clients in the cluster.
    Cluster,
    /// A port of every node.
    NodePort,
    /// An address of a load balancer, guarded by the service's source ranges.
    LoadBalancer,
    /// An address that somebody else leads to the nodes.
    External,
    /// A port of one node, the service's.
    HostPort,
}

impl FrontendKind {
    /// Whether the external traffic policy speaks of it.
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::Cluster)
    }
}

/// Which backends a traffic policy admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TrafficPolicy {
    /// Those of the whole cluster.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

/// How packets of outsiders reach backends on other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Forwarding {
    /// With this node's address as source, so that answers come back this way.
    #[default]
    Nat,
    /// Inside another IP header; the backend's node answers the client itself.
    Tunnel,
}

/// How near a backend is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Node,
    Zone,
    Region,
    Any,
}

/// Which backends of the whole cluster are preferred.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topology {
    /// What the backends' hints say. Where none has any, hints are computed for this preference,
    /// if there is one.
    Hints(Option<Nearness>),
    /// Labels of nodes to try in order: the backends whose nodes have this node's value. `*` is
    /// all backends. Past the end there is none; an empty list is all.
    Keys(Vec<String>),
    /// Scopes to try in order; the first that holds a backend supplies all of them. Past the end
    /// there is none, so most lists end in [`Scope::Any`].
    Scopes(Vec<Scope>),
    /// The own zone, as far as its backends carry.
    Spill(Spill),
}

/// How far a zone keeps its own clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spill {
    /// How much more than their share of all clients a zone's backends may get, in thousandths; one
    /// of [`Self::FACTORS`].
    pub factor: u32,
    /// Weights of the clients by zone; empty: the sums of the zones' nodes.
    pub clients: BTreeMap<String, u64>,
}

impl Spill {
    /// What is asked for without a number.
    pub const FACTOR: u32 = 1200;
    /// From a zone's own share to a hundred times as much.
    pub const FACTORS: RangeInclusive<u32> = 1000..=100_000;

    /// There are weights of clients, and they are all 0: no zone would be preferred anywhere, which
    /// nobody means who names zones.
    pub fn knows_no_clients(&self) -> bool {
        !self.clients.is_empty() && self.clients.values().all(|weight| *weight == 0)
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::Hints(None)
    }
}

/// What Kubernetes calls `trafficDistribution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nearness {
    SameZone,
    /// Else the same zone.
    SameNode,
}

/// The key of [`Topology::Keys`] that takes all backends.
pub const ANY_KEY: &str = "*";

/// Frontends that share one set of backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `namespace/name:port` by convention; unique.
    pub name: String,
    pub frontends: Vec<Frontend>,
    /// The [`BackendSet`] that answers, by name.
    pub backend_set: String,
    pub topology: Topology,
    /// For cluster frontends.
    pub internal_policy: TrafficPolicy,
    /// For all other frontends.
    pub external_policy: TrafficPolicy,
    /// Who may use load-balancer frontends; none is everybody.
    pub source_ranges: Vec<Prefix>,
    /// Where load balancers ask a node over HTTP whether it has backends of its own.
    pub health_check_port: Option<u16>,
    /// Whether clients stay with a backend.
    pub affinity: Option<Affinity>,
    /// For all frontends but those of the cluster.
    pub forwarding: Forwarding,
    /// The node that has the host ports, by name; empty where there are none.
    pub node: String,
}

impl Service {
    /// Whether clients find a frontend on a node, or by way of it.
    pub fn is_on(&self, node: &str, frontend: &Frontend) -> bool {
        frontend.kind != FrontendKind::HostPort || self.node == node
    }

    /// A service that prefers no backend, is open to everybody and asks for nothing more.
    pub fn new(name: String, frontends: Vec<Frontend>, backend_set: String) -> Self {
        Self {
            name,
            frontends,
            backend_set,
            topology: Topology::default(),
            internal_policy: TrafficPolicy::default(),
            external_policy: TrafficPolicy::default(),
            source_ranges: Vec::new(),
            health_check_port: None,
            affinity: None,
            forwarding: Forwarding::default(),
            node: String::new(),
        }
    }
}

/// Every client address keeps its backend from one connection to the next, at whatever frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity {
    /// Seconds after a client's last new connection until its backend is forgotten; one of
    /// [`Self::TIMEOUTS`].
    pub timeout: u32,
}

impl Affinity {
    /// Kubernetes' default: three hours.
    pub const TIMEOUT: u32 = 10_800;
    /// Up to a day, as in Kubernetes.
    pub const TIMEOUTS: RangeInclusive<u32> = 1..=86_400;
}

/// A real server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "conditions that sources set independently")]
pub struct Backend {
    pub address: SocketAddr,
    /// The node it runs on, by name; empty when unknown.
    pub node: String,
    /// Empty means the node's zone.
    pub zone: String,
    pub hints: Hints,
    /// Takes new connections, unless it is draining.
    pub ready: bool,
    /// Answers, though perhaps shutting down; the last resort when nothing is ready.
    pub serving: bool,
    pub terminating: bool,
    /// Taken out of service, whatever `ready` says.
    pub draining: bool,
    /// Relative share of new connections, at least 1.
    pub weight: u32,
}

impl Backend {
    /// A backend that takes connections, wherever it is.
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            node: String::new(),
            zone: String::new(),
            hints: Hints { zones: Vec::new(), nodes: Vec::new() },
            ready: true,
            serving: true,
            terminating: false,
            draining: false,
            weight: 1,
        }
    }

    /// The zone it is in; empty where neither it nor its node says.
    pub fn zone_in<'z>(&'z self, nodes: &'z BTreeMap<String, Node>) -> &'z str {
        if !self.zone.is_empty() {
            return &self.zone;
        }
        nodes.get(&self.node).map_or("", |node| &node.zone)
    }

    /// Whether it gets new connections.
    pub const fn is_available(&self) -> bool {
        self.ready && !self.draining
    }

    /// Whether it gets new connections where no backend is available.
    pub const fn is_last_resort(&self) -> bool {
        self.serving && (self.terminating || self.draining)
    }
}

/// Whose clients should use a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    pub zones: Vec<String>,
    pub nodes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSet {
    pub name: String,
    pub backends: Vec<Backend>,
}
