//! Endpoint slices: who answers for a service, at which ports.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1;

use super::{ObjectKey, address, pods::protocol, problem::Findings, services::PROXY_NAME};
use crate::model::{Hints, Protocol};

/// An endpoint slice as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceObject {
    pub(super) key: ObjectKey,
    /// `None` where it belongs to no service, or to one that is not ours.
    pub(super) slice: Option<Slice>,
    pub(super) findings: Findings,
}

/// What balancing knows of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    /// The name of the service, in the slice's namespace.
    pub service: String,
    /// Ports of all endpoints, by the names that the service has for them.
    pub ports: Vec<SlicePort>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlicePort {
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub address: IpAddr,
    pub node: String,
    pub zone: String,
    pub hints: Hints,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}

impl SliceObject {
    pub(super) fn new(key: ObjectKey, slice: v1::EndpointSlice) -> Self {
        let mut findings = Findings::default();
        let labels = slice.metadata.labels.unwrap_or_default();
        let is_of_addresses = matches!(slice.address_type.as_str(), "IPv4" | "IPv6");
        // Its own labels count: those of the service may be others by now (kube-proxy, `informers`).
        let is_ours = [PROXY_NAME, HEADLESS].iter().all(|label| !labels.contains_key(*label));
        let is_used = is_of_addresses && is_ours;
        let service = labels.get(SERVICE_NAME).filter(|name| is_used && !name.is_empty());
        let slice = service.map(|service| Slice {
            service: service.clone(),
            ports: ports(slice.ports.unwrap_or_default(), &mut findings),
            endpoints: endpoints(slice.endpoints.unwrap_or_default(), &mut findings),
        });
        Self { key, slice, findings }
    }
}

/// A port without a number means all of them, which no service port leads to.
fn ports(given: Vec<v1::EndpointPort>, findings: &mut Findings) -> Vec<SlicePort> {
    let mut ports = Vec::with_capacity(given.len());
    for (index, port) in given.into_iter().enumerate() {
        let Some(number) = port.port else { continue };
        let protocol = match protocol(port.protocol.as_deref()) {
            Ok(protocol) => protocol,
            Err(reason) => {
                findings.ignore(format!("ports[{index}].protocol"), reason);
                continue;
            }
        };
        match u16::try_from(number) {
            Ok(number) if number > 0 => {
                ports.push(SlicePort { name: port.name.unwrap_or_default(), protocol, number });
            }
            _ => findings.ignore(
                format!("ports[{index}].port"),
                format!("port {number} is outside 1-65535"),
            ),
        }
    }
    ports
}

/// Of several addresses of an endpoint the first counts, as for kube-proxy.
fn endpoints(given: Vec<v1::Endpoint>, findings: &mut Findings) -> Vec<Endpoint> {
    let mut endpoints = Vec::with_capacity(given.len());
    for (index, endpoint) in given.into_iter().enumerate() {
        let Some(text) = endpoint.addresses.first() else { continue };
        let address = match address::address(text) {
            Ok(address) => address,
            Err(error) => {
                findings.ignore(format!("endpoints[{index}].addresses[0]"), error);
                continue;
            }
        };
        let conditions = endpoint.conditions.unwrap_or_default();
        let hints = endpoint.hints.unwrap_or_default();
        let zones = hints.for_zones.into_iter().flatten().map(|zone| zone.name);
        let nodes = hints.for_nodes.into_iter().flatten().map(|node| node.name);
        endpoints.push(Endpoint {
            address,
            node: endpoint.node_name.unwrap_or_default(),
            zone: endpoint.zone.unwrap_or_default(),
            hints: Hints { zones: zones.collect(), nodes: nodes.collect() },
            ready: conditions.ready.unwrap_or(true),
            serving: conditions.serving.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or(false),
        });
    }
    endpoints
}

/// On slices of services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
