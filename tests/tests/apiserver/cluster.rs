//! A control plane on a bed, and an agent that follows it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Dual, Host, cluster_vip},
    control_plane::ControlPlane,
    traffic::http_get,
};
use zonegate::documents;

pub const WEB: u16 = 8080;
pub const VIP: u8 = 77;
const RIGHTS: &str = include_str!("../../../deploy/kubernetes/rbac.yaml");

/// A control plane on the bed's node, with the node, its workloads as pods, and the agent's rights.
pub fn control_plane(bed: &Bed) -> ControlPlane {
    let plane = ControlPlane::start(bed.node()).unwrap();
    for right in rights() {
        plane.apply(&right).unwrap();
    }
    plane
        .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "bed" } }))
        .unwrap();
    plane.apply(&node(bed)).unwrap();
    for workload in bed.workloads() {
        plane.apply(&pod(bed, workload)).unwrap();
    }
    plane
}

pub fn rights() -> Vec<Value> {
    documents::parse(RIGHTS).unwrap().into_iter().map(|it| it.value).collect()
}

/// An agent that asks as its service account.
pub fn agent(bed: &Bed, plane: &ControlPlane) -> Agent {
    let kubeconfig = plane.kubeconfig_of("kube-system", "zonegate").unwrap();
    Agent::builder(bed)
        .log_filter("info,zonegate=debug,kube_runtime=debug")
        .argument("--kubernetes")
        .argument("--kubeconfig")
        .argument(kubeconfig.to_str().unwrap())
        .start()
        .unwrap()
}

pub fn node(bed: &Bed) -> Value {
    let addresses = bed.node().addresses().each();
    let addresses = addresses.map(|it| json!({ "type": "InternalIP", "address": it }));
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": bed.node().name(),
            "labels": { "topology.kubernetes.io/zone": bed.node().zone() },
        },
        "status": { "addresses": addresses },
    })
}

/// The pod that a workload of the bed is: running and ready.
pub fn pod(bed: &Bed, workload: &Host) -> Value {
    let addresses = workload.addresses().each();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "bed",
            "name": workload.name(),
            "labels": { "app": workload.name() },
        },
        "spec": {
            "nodeName": bed.node().name(),
            "containers": [{ "name": "main", "image": "none" }],
        },
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": addresses.map(|it| json!({ "ip": it })),
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// Lets only pods of `peer` in to those of `subject`.
pub fn policy(subject: &str, peer: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "bed", "name": subject },
        "spec": {
            "podSelector": { "matchLabels": { "app": subject } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": peer } } }] }],
        },
    })
}

#[track_caller]
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let latest = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < latest, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn status(agent: &Agent) -> String {
    agent.cli(&["status"]).unwrap().expect_success()
}

#[track_caller]
pub fn wait_until_ready(agent: &Agent) {
    eventually("ready", || status(agent).contains("ready      yes"));
}

pub fn has_workload(agent: &Agent, name: &str) -> bool {
    let workloads = agent.cli(&["get", "workloads"]).unwrap().expect_success();
    workloads.contains(&format!("bed/{name}"))
}

/// Over both families.
pub fn reaches(from: &Host, to: &Host) -> bool {
    to.sockets(WEB).into_iter().all(|address| http_get(from, address).is_ok())
}

pub fn reaches_nothing_of(from: &Host, to: &Host) -> bool {
    to.sockets(WEB).into_iter().all(|address| http_get(from, address).is_err())
}

pub fn service() -> Value {
    let Dual { v4, v6 } = cluster_vip(VIP);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": "bed", "name": "shop" },
        "spec": {
            "clusterIP": v4,
            "clusterIPs": [v4, v6],
            "ipFamilyPolicy": "RequireDualStack",
            "selector": { "sells": "things" },
            "ports": [{ "port": 80, "targetPort": WEB }],
        },
    })
}
