//! Pods: who has an address of its own, and which ports have names.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::{
    api::core::v1::{self, Container},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    ObjectKey,
    address::{self, Block},
    named_ports::ContainerPort,
    names::bounded,
    problem::Findings,
    selector::Labels,
};
use crate::model::{Prefix, Protocol, Workload};

/// A pod as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodObject {
    pub(super) key: ObjectKey,
    /// `None` when no policy concerns it: it shares the node's addresses, has none, or is done.
    pub(super) pod: Option<Pod>,
    pub(super) findings: Findings,
}

/// What policies know of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// Empty before it is scheduled.
    pub node: String,
    pub created: Option<Time>,
    pub labels: Labels,
    pub addresses: BTreeSet<IpAddr>,
    pub ports: BTreeSet<ContainerPort>,
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
        let pod = Self {
            node: spec.node_name.clone().unwrap_or_default(),
            created: pod.metadata.creation_timestamp,
            labels: pod.metadata.labels.unwrap_or_default(),
            addresses,
            ports: named_ports(&spec, findings),
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

/// Of the containers that run as long as the pod does: sidecars are init containers that are
/// always restarted (KEP-753); other init containers are gone before anyone connects. Named
/// ports are looked up the same way for services (`FindPort` in Kubernetes' `pkg/api/v1/pod`).
fn named_ports(spec: &v1::PodSpec, findings: &mut Findings) -> BTreeSet<ContainerPort> {
    let mut ports = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        ports_of(container, &format!("spec.containers[{index}]"), &mut ports, findings);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        if container.restart_policy.as_deref() == Some("Always") {
            ports_of(container, &format!("spec.initContainers[{index}]"), &mut ports, findings);
        }
    }
    ports
}

fn ports_of(
    container: &Container,
    path: &str,
    ports: &mut BTreeSet<ContainerPort>,
    findings: &mut Findings,
) {
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
        let path = format!("{path}.ports[{index}]");
        let protocol = match protocol(port.protocol.as_deref()) {
            Ok(protocol) => protocol,
            Err(reason) => {
                findings.ignore(format!("{path}.protocol"), reason);
                continue;
            }
        };
        match u16::try_from(port.container_port) {
            Ok(number) if number > 0 => {
                ports.insert(ContainerPort { name: name.to_owned(), number: (protocol, number) });
            }
            _ => findings.ignore(
                format!("{path}.containerPort"),
                format!("port {} is outside 1-65535", port.container_port),
            ),
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
