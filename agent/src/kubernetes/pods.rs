//! Pods: who has an address of its own, and which ports have names.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::Time};

use super::{
    ObjectKey,
    address::{self, Block},
    host_ports::HostPort,
    named_ports::{ContainerPort, PortNumber},
    names::bounded,
    problem::Findings,
    selector::Labels,
};
use crate::model::{Prefix, Protocol, Workload};

/// A pod as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodObject {
    pub(super) key: ObjectKey,
    /// `None` when nothing concerns it: it shares the node's addresses, has none, or is done.
    pub(super) pod: Option<Pod>,
    pub(super) findings: Findings,
}

/// What policies and host ports know of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// Empty before it is scheduled.
    pub node: String,
    pub created: Option<Time>,
    pub labels: Labels,
    pub addresses: BTreeSet<IpAddr>,
    pub ports: BTreeSet<ContainerPort>,
    pub host_ports: Vec<HostPort>,
}

impl PodObject {
    pub(super) fn new(key: ObjectKey, pod: v1::Pod) -> Self {
        let mut findings = Findings::default();
        let pod = Pod::new(pod, &mut findings);
        Self { key, pod, findings }
    }
}

impl Pod {
    fn new(pod: v1::Pod, findings: &mut Findings) -> Option<Self> {
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let done = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if spec.host_network == Some(true) || done {
            return None;
        }
        let addresses = addresses(&status, findings);
        let (ports, host_ports) = ports(&spec, findings);
        let pod = Self {
            node: spec.node_name.clone().unwrap_or_default(),
            created: pod.metadata.creation_timestamp,
            labels: pod.metadata.labels.unwrap_or_default(),
            addresses,
            ports,
            host_ports,
        };
        (!pod.addresses.is_empty()).then_some(pod)
    }

    /// `None` where no node is known to run it. Addresses that are another pod's by now are left
    /// out.
    pub(super) fn workload(
        &self,
        key: &ObjectKey,
        has: impl Fn(IpAddr) -> bool,
    ) -> Option<Workload> {
        (!self.node.is_empty()).then(|| Workload {
            name: workload_name(key),
            node: self.node.clone(),
            addresses: self.addresses.iter().copied().filter(|it| has(*it)).collect(),
            interface: String::new(),
        })
    }

    pub(super) fn prefixes(&self, within: Option<&Block>) -> impl Iterator<Item = Prefix> {
        self.addresses
            .iter()
            .filter(move |address| within.is_none_or(|block| block.contains(**address)))
            .map(|address| Prefix::host(*address))
    }
}

/// The name of the workload that a pod is, if it is one.
pub(super) fn workload_name(key: &ObjectKey) -> String {
    bounded(format!("{}/{}", key.namespace, key.name))
}

/// All of `podIPs`; `podIP` where nothing else is given.
fn addresses(status: &v1::PodStatus, findings: &mut Findings) -> BTreeSet<IpAddr> {
    let all = status.pod_ips.iter().flatten().enumerate();
    let mut texts: Vec<(String, &str)> =
        all.map(|(index, it)| (format!("status.podIPs[{index}].ip"), it.ip.as_str())).collect();
    if texts.is_empty() {
        texts.extend(status.pod_ip.as_deref().map(|text| ("status.podIP".to_owned(), text)));
    }
    let mut addresses = BTreeSet::new();
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        match address::address(text) {
            Ok(address) => drop(addresses.insert(address)),
            Err(error) => findings.ignore(field, error),
        }
    }
    addresses
}

/// Ports with names, and ports of the node.
///
/// Of the containers that run as long as the pod does: sidecars are init containers that are
/// always restarted (KEP-753); other init containers are gone before anyone connects. Named
/// ports are looked up the same way for services (`FindPort` in Kubernetes' `pkg/api/v1/pod`).
fn ports(spec: &v1::PodSpec, findings: &mut Findings) -> (BTreeSet<ContainerPort>, Vec<HostPort>) {
    let (mut named, mut of_node) = (BTreeSet::new(), Vec::new());
    let containers = numbered("spec.containers", &spec.containers);
    let init = numbered("spec.initContainers", spec.init_containers.as_deref().unwrap_or_default());
    let sidecars = init.filter(|(_, it)| it.restart_policy.as_deref() == Some("Always"));
    for (path, container) in containers.chain(sidecars) {
        for (path, port) in
            numbered(&format!("{path}.ports"), container.ports.as_deref().unwrap_or_default())
        {
            let name = port.name.as_deref().filter(|name| !name.is_empty());
            let host_port = port.host_port.filter(|port| *port != 0);
            if name.is_none() && host_port.is_none() {
                continue;
            }
            let Some((protocol, number)) = port_number(&path, port, findings) else { continue };
            if let Some(name) = name {
                let name = name.to_owned();
                named.insert(ContainerPort { name, number: (protocol, number) });
            }
            if let Some(host_port) = host_port {
                let found = self::host_port(&path, host_port, port, findings);
                of_node.extend(found.map(|(address, host_port)| HostPort {
                    field: format!("{path}.hostPort"),
                    address,
                    number: (protocol, host_port),
                    container_port: number,
                }));
            }
        }
    }
    (named, of_node)
}

/// Items of a list, each with its path.
fn numbered<'i, T>(path: &str, items: &'i [T]) -> impl Iterator<Item = (String, &'i T)> {
    let items = items.iter().enumerate();
    items.map(move |(index, item)| (format!("{path}[{index}]"), item))
}

fn port_number(
    path: &str,
    port: &v1::ContainerPort,
    findings: &mut Findings,
) -> Option<PortNumber> {
    match protocol(port.protocol.as_deref()) {
        Ok(protocol) => {
            let field = format!("{path}.containerPort");
            number(field, port.container_port, findings).map(|number| (protocol, number))
        }
        Err(reason) => {
            findings.ignore(format!("{path}.protocol"), reason);
            None
        }
    }
}

/// Where the node has a port, as [`HostPort`] says it.
fn host_port(
    path: &str,
    host_port: i32,
    port: &v1::ContainerPort,
    findings: &mut Findings,
) -> Option<(Option<IpAddr>, u16)> {
    let host_port = number(format!("{path}.hostPort"), host_port, findings)?;
    let Some(text) = port.host_ip.as_deref().filter(|text| !text.is_empty()) else {
        return Some((None, host_port));
    };
    let address = match address::own_address(text) {
        Ok(address) => address,
        Err(error) => {
            findings.ignore(format!("{path}.hostIP"), error);
            return None;
        }
    };
    Some((Some(address), host_port))
}

fn number(field: String, port: i32, findings: &mut Findings) -> Option<u16> {
    match u16::try_from(port) {
        Ok(number) if number > 0 => Some(number),
        _ => {
            findings.ignore(field, format!("port {port} is outside 1-65535"));
            None
        }
    }
}

/// TCP where nothing is said.
pub(super) fn protocol(text: Option<&str>) -> Result<Protocol, String> {
    match text {
        None | Some("") => Ok(Protocol::Tcp),
        Some(text) => text.parse().map_err(|()| format!("{text:?} is none of TCP, UDP and SCTP")),
    }
}
