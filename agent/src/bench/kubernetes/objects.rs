//! The cluster's objects, as both proxies see them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::bench::wire::{BACKEND_PORT, CLIENTS, SERVICE_PORT};

/// The node that both proxies are on, each in its own namespace.
pub const NODE: &str = "node";

/// Which of its two backends a service that changes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Where packets arrive.
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 129, 255, if matches!(self, Self::A) { 1 } else { 2 })
    }
}

/// Clients are pods of a node beyond the one wire, backends pods of one beyond the other: no address
/// but the service's is translated.
pub fn nodes() -> impl Iterator<Item = Value> {
    [
        node(NODE, "10.200.0.1", "10.130.0.0/24"),
        node("clients", "10.200.0.2", CLIENTS),
        node("backends", "10.201.0.2", "10.129.0.0/16"),
    ]
    .into_iter()
}

pub fn node(name: &str, address: &str, pods: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDR": pods, "podCIDRs": [pods] },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    })
}

pub const fn address(service: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24 | 97 << 16) + service)
}

/// Of services that come and go.
pub const fn new_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24 | 100 << 16) + number % (1 << 16))
}

pub fn service_name(service: u32) -> String {
    format!("service-{service}")
}

pub fn service(name: &str, address: Ipv4Addr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "clusterIP": address,
            "ports": [{ "port": SERVICE_PORT, "targetPort": BACKEND_PORT, "protocol": "UDP" }],
        },
    })
}

/// The only slice of a service.
pub fn slice(service: &str, endpoints: &[Value]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": service, "namespace": "default",
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{ "name": "", "port": BACKEND_PORT, "protocol": "UDP" }],
    })
}

/// With one backend.
pub fn sided_slice(service: &str, side: Side) -> Value {
    slice(service, &[endpoint(side.address(), "backends")])
}

pub fn endpoint(address: Ipv4Addr, node: &str) -> Value {
    json!({ "addresses": [address], "conditions": { "ready": true }, "nodeName": node })
}

/// The endpoints of a service that does not change.
pub fn endpoints(service: u32) -> Vec<Value> {
    let first = service * ENDPOINTS;
    let address = |number| Ipv4Addr::from_bits((10 << 24 | 129 << 16) + 1 + number % ADDRESSES);
    (first..first + ENDPOINTS).map(|number| endpoint(address(number), "backends")).collect()
}

pub const ENDPOINTS: u32 = 3;
/// Below those of services that change.
const ADDRESSES: u32 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Object;

    #[test]
    fn what_is_written_is_what_the_agent_reads() {
        let own = [service("s", address(1)), sided_slice("s", Side::B), slice("t", &endpoints(7))];
        for object in nodes().chain(own) {
            Object::parse(object).unwrap();
        }
    }

    #[test]
    fn addresses_are_of_one_purpose() {
        let most = Ipv4Addr::from_bits((10 << 24 | 129 << 16) + ADDRESSES);
        assert!(most < Side::A.address() && most < Side::B.address());
        assert!(address(19_999) < new_address(0));
    }
}
