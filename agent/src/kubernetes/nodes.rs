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
    leaving: bool,
    pub(super) findings: Findings,
}

impl NodeObject {
    pub(super) fn new(key: ObjectKey, node: v1::Node) -> Self {
        let mut findings = Findings::default();
        let leaving = is_leaving(&node);
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
        let weight = weight(&status, &mut findings);
        let labels = node.metadata.labels.unwrap_or_default();
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let node = Node {
            name: key.name.clone(),
            addresses,
            zone: label(ZONE),
            region: label(REGION),
            pod_prefixes: pod_prefixes.into_iter().collect(),
            labels,
            weight,
        };
        Self { key, node, leaving, findings }
    }

    /// It is being deleted, or the autoscaler is about to delete it: new traffic goes elsewhere
    /// (KEP-3836).
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }
}

fn is_leaving(node: &v1::Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_some()
        || taints.into_iter().any(|taint| taint.key == TO_BE_DELETED)
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

/// Allocatable CPUs in thousandths, and nothing while the node is not ready. What has no status, as
/// in manifests, counts as a ready node of one CPU.
fn weight(status: &v1::NodeStatus, findings: &mut Findings) -> u64 {
    let ready = status.conditions.iter().flatten().find(|it| it.type_ == "Ready");
    if ready.is_some_and(|it| it.status != "True") {
        return 0;
    }
    let Some(cpu) = status.allocatable.as_ref().and_then(|all| all.get("cpu")) else {
        return Node::WEIGHT;
    };
    thousandths(&cpu.0).unwrap_or_else(|| {
        findings.ignore("status.allocatable[cpu]", format!("{:?} is no number of CPUs", cpu.0));
        Node::WEIGHT
    })
}

/// A quantity of CPUs: `4`, `0.5` or `3920m` (Kubernetes, `resource.Quantity`).
fn thousandths(text: &str) -> Option<u64> {
    if let Some(number) = text.strip_suffix('m') {
        return number.parse().ok();
    }
    decimal(text)
}

/// A number with up to three decimal places, in thousandths.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 3 || !is_number(whole) || !is_number(part) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1000)?;
    whole.checked_add(format!("{part:0<3}").parse().ok()?)
}

/// `ToBeDeletedTaint` of the cluster autoscaler.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
