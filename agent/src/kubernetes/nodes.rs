//! Nodes: their addresses, where they are, and where their pods' addresses come from.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;

use super::{ObjectKey, address, problem::Findings};
use crate::model::Node;

/// A node as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeObject {
    pub(super) key: ObjectKey,
    pub(super) node: Node,
    pub(super) findings: Findings,
}

impl NodeObject {
    pub(super) fn new(key: ObjectKey, node: v1::Node) -> Self {
        let mut findings = Findings::default();
        let status = node.status.unwrap_or_default();
        let mut addresses = Vec::new();
        for (index, given) in status.addresses.iter().flatten().enumerate() {
            if !matches!(given.type_.as_str(), "InternalIP" | "ExternalIP") {
                continue;
            }
            match address::address(&given.address) {
                Ok(address) if !addresses.contains(&address) => addresses.push(address),
                Ok(_) => {}
                Err(error) => {
                    findings.ignore(format!("status.addresses[{index}].address"), error);
                }
            }
        }
        let spec = node.spec.unwrap_or_default();
        let mut pod_prefixes = BTreeSet::new();
        for (field, text) in pod_cidrs(&spec) {
            match address::prefix(text) {
                Ok(prefix) => drop(pod_prefixes.insert(prefix)),
                Err(error) => findings.ignore(field, error),
            }
        }
        let labels = node.metadata.labels.unwrap_or_default();
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let node = Node {
            name: key.name.clone(),
            addresses,
            zone: label(ZONE),
            region: label(REGION),
            pod_prefixes: pod_prefixes.into_iter().collect(),
            labels,
        };
        Self { key, node, findings }
    }
}

/// All of `podCIDRs`; `podCIDR` where nothing else is given.
fn pod_cidrs(spec: &v1::NodeSpec) -> Vec<(String, &str)> {
    let all = spec.pod_cidrs.iter().flatten().enumerate();
    let mut texts: Vec<_> =
        all.map(|(index, text)| (format!("spec.podCIDRs[{index}]"), text.as_str())).collect();
    if texts.is_empty() {
        texts.extend(spec.pod_cidr.as_deref().map(|text| ("spec.podCIDR".to_owned(), text)));
    }
    texts.retain(|(_, text)| !text.is_empty());
    texts
}

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
