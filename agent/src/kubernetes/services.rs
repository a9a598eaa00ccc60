//! Services: where clients find them, and which of their endpoints are for whom.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1;
use serde_json::Value;

use super::{
    ObjectKey, address, object::deserialize, pods::protocol, problem::Findings,
    service_policies::Policies,
};
use crate::model::{Prefix, Protocol};

/// A service as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceObject {
    pub(super) key: ObjectKey,
    /// `None` where it cannot be used.
    pub(super) service: Option<Service>,
    pub(super) findings: Findings,
}

/// What balancing knows of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Somebody else may be asked to proxy it.
    pub ours: bool,
    pub ports: Vec<ServicePort>,
    /// Of the families that it is there for; empty for headless services and external names.
    pub cluster: Vec<IpAddr>,
    /// With the field that names it.
    pub external: Vec<(String, IpAddr)>,
    pub balancers: Vec<IpAddr>,
    /// Who may use `balancers`; none is everybody.
    pub source_ranges: Vec<Prefix>,
    pub policies: Policies,
    pub health_check_port: Option<u16>,
    pub publish_not_ready: bool,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServicePort {
    /// Empty where there is only one.
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
    pub node_port: Option<u16>,
}

impl ServiceObject {
    /// Reads the service of `key`. It is an object however bad the rest: its last form may have
    /// to be kept.
    pub(super) fn parse(key: ObjectKey, document: &Value) -> Self {
        let mut findings = Findings::default();
        let service = match deserialize::<v1::Service>(document) {
            Ok(service) => Service::new(service, &mut findings),
            Err((field, reason)) => {
                findings.refuse::<()>(field, reason);
                None
            }
        };
        let service = service.filter(|_| !findings.refused());
        Self { key, service, findings }
    }
}

impl Service {
    fn new(service: v1::Service, findings: &mut Findings) -> Option<Self> {
        let spec = service.spec?;
        let metadata = service.metadata;
        let status = service.status.and_then(|status| status.load_balancer).unwrap_or_default();
        let policies = Policies::new(&metadata, &spec, findings);
        let is_name = spec.type_.as_deref() == Some("ExternalName");
        let cluster = if is_name { Vec::new() } else { cluster_addresses(&spec, findings) };
        let service = Self {
            ours: !metadata.labels.unwrap_or_default().contains_key(PROXY_NAME),
            ports: ports(&spec, findings),
            cluster,
            external: listed("spec.externalIPs", spec.external_ips.as_deref(), findings),
            balancers: balancers(&status, findings),
            source_ranges: source_ranges(&spec, findings),
            health_check_port: health_check_port(&spec, findings),
            policies: policies?,
            publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        };
        Some(service)
    }

    /// Whether it has addresses of the family of `address`.
    pub(super) fn is_of_family(&self, address: IpAddr) -> bool {
        self.cluster.iter().any(|it| it.is_ipv4() == address.is_ipv4())
    }
}

/// All of `clusterIPs`; `clusterIP` where nothing else is given. A headless service has none.
fn cluster_addresses(spec: &v1::ServiceSpec, findings: &mut Findings) -> Vec<IpAddr> {
    let all = spec.cluster_ips.as_deref().unwrap_or_default();
    let one = spec.cluster_ip.as_slice();
    let texts = if all.is_empty() { one } else { all };
    if texts.iter().any(|text| text.is_empty() || text == HEADLESS) {
        return Vec::new();
    }
    let listed = listed("spec.clusterIPs", Some(texts), findings);
    listed.into_iter().map(|(_, address)| address).collect()
}

fn listed(field: &str, texts: Option<&[String]>, findings: &mut Findings) -> Vec<(String, IpAddr)> {
    let texts = texts.unwrap_or_default();
    let mut addresses: Vec<(String, IpAddr)> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match address::address(text) {
            Ok(address) if addresses.iter().any(|(_, it)| *it == address) => {}
            Ok(address) => addresses.push((field, address)),
            Err(error) => drop(findings.refuse::<()>(field, error)),
        }
    }
    addresses
}

/// Addresses that nodes answer at: not those of load balancers that answer themselves (KEP-1860),
/// nor those that go by name only.
fn balancers(status: &v1::LoadBalancerStatus, findings: &mut Findings) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, ingress) in status.ingress.iter().flatten().enumerate() {
        let Some(text) = ingress.ip.as_deref().filter(|text| !text.is_empty()) else { continue };
        if ingress.ip_mode.as_deref() == Some("Proxy") {
            continue;
        }
        match address::address(text) {
            Ok(address) if !addresses.contains(&address) => addresses.push(address),
            Ok(_) => {}
            Err(error) => {
                findings.ignore(format!("status.loadBalancer.ingress[{index}].ip"), error);
            }
        }
    }
    addresses
}

fn source_ranges(spec: &v1::ServiceSpec, findings: &mut Findings) -> Vec<Prefix> {
    let mut ranges = BTreeSet::new();
    let texts = spec.load_balancer_source_ranges.iter().flatten();
    for (index, text) in texts.enumerate() {
        match address::prefix(text.trim()) {
            Ok(prefix) => drop(ranges.insert(prefix)),
            Err(error) => {
                let field = format!("spec.loadBalancerSourceRanges[{index}]");
                findings.refuse::<()>(field, error);
            }
        }
    }
    ranges.into_iter().collect()
}

/// It is there for load balancers whose outsiders get backends of this node only.
fn health_check_port(spec: &v1::ServiceSpec, findings: &mut Findings) -> Option<u16> {
    let is_asked = spec.type_.as_deref() == Some("LoadBalancer")
        && spec.external_traffic_policy.as_deref() == Some("Local");
    let port = spec.health_check_node_port.filter(|port| is_asked && *port != 0)?;
    number_at("spec.healthCheckNodePort", port, findings)
}

fn ports(spec: &v1::ServiceSpec, findings: &mut Findings) -> Vec<ServicePort> {
    let given = spec.ports.as_deref().unwrap_or_default();
    let mut ports: Vec<ServicePort> = Vec::with_capacity(given.len());
    for (index, port) in given.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let protocol = match protocol(port.protocol.as_deref()) {
            Ok(protocol) => protocol,
            Err(reason) => {
                findings.refuse::<()>(format!("{path}.protocol"), reason);
                continue;
            }
        };
        let number = number_at(&format!("{path}.port"), port.port, findings);
        let node_port = port.node_port.filter(|port| *port != 0);
        let node_port =
            node_port.and_then(|port| number_at(&format!("{path}.nodePort"), port, findings));
        let name = port.name.clone().unwrap_or_default();
        if ports.iter().any(|it| it.name == name) {
            findings.refuse::<()>(format!("{path}.name"), format!("two ports are called {name:?}"));
        }
        if let Some(number) = number {
            ports.push(ServicePort { name, protocol, number, node_port });
        }
    }
    ports
}

/// A port's number; what is none makes the object unusable.
fn number_at(field: &str, number: i32, findings: &mut Findings) -> Option<u16> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Some(port),
        _ => findings.refuse(field, format!("port {number} is outside 1-65535")),
    }
}

const HEADLESS: &str = "None";
/// Of services, and of their slices: who proxies them instead of us.
pub(super) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
