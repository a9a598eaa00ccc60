//! Service addresses and what answers behind them.

use std::net::{IpAddr, SocketAddr};

use super::Protocol;

/// A service address: what clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    pub address: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// How near a backend is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Node,
    Zone,
    Region,
    Any,
}

/// Scopes to try in order; the first that holds a backend supplies all of them.
///
/// Past the end of the list there is no backend, so most lists end in [`Scope::Any`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Preference(pub Vec<Scope>);

impl Default for Preference {
    fn default() -> Self {
        Self(vec![Scope::Any])
    }
}

/// Frontends that share one set of backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `namespace/name:port` by convention; unique.
    pub name: String,
    pub frontends: Vec<Frontend>,
    /// The [`BackendSet`] that answers, by name.
    pub backend_set: String,
    pub preference: Preference,
}

/// A real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    pub address: SocketAddr,
    /// The node it runs on, by name; empty when unknown.
    pub node: String,
    /// Empty means the node's zone.
    pub zone: String,
    /// Takes new connections.
    pub ready: bool,
    /// Answers, though perhaps shutting down; the last resort when nothing is ready.
    pub serving: bool,
    pub terminating: bool,
    /// Relative share of new connections, at least 1.
    pub weight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSet {
    pub name: String,
    pub backends: Vec<Backend>,
}
