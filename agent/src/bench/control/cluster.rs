//! The cluster of `bench control`, as Kubernetes objects.
//!
//! Pods are dealt to nodes and namespaces in turn, so that the measured node has some in every
//! namespace and no policy is somebody else's. A tenth of the policies has all the CIDR blocks;
//! the others admit pods of an app, of their own or of another namespace, to some ports.

use serde_json::{Value, json};

use super::options::ControlOptions;

/// The node that is measured.
pub const NODE: &str = "node-0";

const NAMESPACES: u32 = 100;
const APPS: u32 = 10;
/// Nodes for each hundred pods, as Kubernetes recommends at most 110 pods on one.
const PODS_PER_NODE: u32 = 100;

pub struct Cluster<'o> {
    options: &'o ControlOptions,
    namespaces: u32,
    nodes: u32,
}

impl<'o> Cluster<'o> {
    pub fn new(options: &'o ControlOptions) -> Self {
        let namespaces = NAMESPACES.min(options.policies.div_ceil(APPS)).max(1);
        Self { options, namespaces, nodes: options.pods.div_ceil(PODS_PER_NODE).max(1) }
    }

    pub fn objects(&self) -> impl Iterator<Item = Value> {
        let nodes = (0..self.nodes).map(node);
        let namespaces = (0..self.namespaces).map(namespace);
        let pods = (0..self.options.pods).map(|index| self.pod(index, app(index / self.nodes)));
        let policies = (0..self.options.policies).map(|index| self.policy(index, 8080));
        nodes.chain(namespaces).chain(pods).chain(policies)
    }

    /// A pod, in an app of its choice.
    pub fn pod(&self, index: u32, app: String) -> Value {
        let [third, fourth] = (index as u16).to_be_bytes();
        let second = 64 + (index >> 16);
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("pod-{index}"),
                "namespace": self.namespace_of(index),
                "labels": { "app": app, "pod": index.to_string() },
            },
            "spec": { "nodeName": format!("node-{}", index % self.nodes), "containers": [] },
            "status": {
                "phase": "Running",
                "podIPs": [
                    { "ip": format!("10.{second}.{third}.{fourth}") },
                    { "ip": format!("fd00:64::{:x}", index + 1) },
                ],
            },
        })
    }

    /// A policy; those that admit pods open a port of their choice.
    pub fn policy(&self, index: u32, port: u32) -> Value {
        let (number, namespace) = (index / self.namespaces, index % self.namespaces);
        let spec = if number == 0 { self.partners(namespace) } else { admit(number, port) };
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {
                "name": format!("policy-{number}"),
                "namespace": format!("namespace-{namespace}"),
            },
            "spec": spec,
        })
    }

    /// The first policy that admits pods.
    pub fn admitting_policy(&self) -> Option<u32> {
        Some(self.namespaces).filter(|index| *index < self.options.policies)
    }

    /// A pod of the measured node, and one of another.
    pub fn pods_here_and_elsewhere(&self) -> [u32; 2] {
        [0, 1 % self.nodes]
    }

    /// Every pod of a namespace may call the namespace's share of the blocks.
    fn partners(&self, namespace: u32) -> Value {
        let blocks = (namespace..self.options.prefixes).step_by(self.namespaces as usize);
        // Every second /24 from 20.0.0.0 on.
        let blocks = blocks.map(|index| {
            let [first, second, third, _] = ((20 << 24) + (index << 9)).to_be_bytes();
            json!({ "ipBlock": { "cidr": format!("{first}.{second}.{third}.0/24") } })
        });
        json!({
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{ "to": blocks.collect::<Vec<_>>() }],
        })
    }

    fn namespace_of(&self, pod: u32) -> String {
        format!("namespace-{}", pod / self.nodes % self.namespaces)
    }
}

pub fn app(index: u32) -> String {
    format!("app-{}", index % APPS)
}

fn admit(number: u32, port: u32) -> Value {
    let peer = json!({ "matchLabels": { "app": app(number + 1) } });
    let far = json!({ "matchLabels": { "team": (number % 5).to_string() } });
    json!({
        "podSelector": { "matchLabels": { "app": app(number) } },
        "policyTypes": ["Ingress"],
        "ingress": [{
            "from": [
                { "podSelector": peer },
                { "podSelector": peer, "namespaceSelector": far },
            ],
            "ports": [{ "protocol": "TCP", "port": port + number }],
        }],
    })
}

fn namespace(index: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": format!("namespace-{index}"),
            "labels": { "team": (index % 5).to_string() },
        },
    })
}

fn node(index: u32) -> Value {
    let [third, fourth] = (index as u16).to_be_bytes();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("node-{index}"),
            "labels": { "topology.kubernetes.io/zone": format!("zone-{}", index % 3) },
        },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": format!("172.16.{third}.{fourth}") }],
        },
    })
}
