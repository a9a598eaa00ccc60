//! The resources a node is told about, validated by construction.
//!
//! This is the only vocabulary below the sources: gRPC messages, Kubernetes objects and files
//! are all translated to these types, and the compiler reads nothing else. Nothing here does I/O.

mod address;
mod policy;
mod resource;
mod service;

pub use address::{AddressSet, Node, Prefix, PrefixError, Workload};
pub use policy::{Action, Policy, PortMatch, PortRange, PortRangeError, Protocol, Rule, Tier};
pub use resource::{Key, Kind, Resource, World};
pub use service::{
    ANY_KEY, Affinity, Backend, BackendSet, Forwarding, Frontend, FrontendKind, Hints, Nearness,
    Scope, Service, Spill, Topology, TrafficPolicy,
};
