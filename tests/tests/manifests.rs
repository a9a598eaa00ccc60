//! A node that is told of its pods by Kubernetes objects in a directory, which name no interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    traffic::{HttpServer, http_get},
};

const WEB: u16 = 8080;

/// The pod that a workload of the bed is.
fn pod(bed: &Bed, workload: &Host) -> Value {
    let addresses = workload.addresses().each().map(|address| json!({ "ip": address }));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "bed",
            "name": workload.name(),
            "labels": { "app": workload.name() },
        },
        "spec": { "nodeName": bed.node().name(), "containers": [] },
        "status": { "podIPs": addresses },
    })
}

/// Lets only pods of `peer` in to those of `subject`.
fn policy(subject: &str, peer: &str) -> Value {
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

fn put(directory: &Path, name: &str, objects: &[Value]) {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let new = directory.join(format!(".{name}"));
    fs::write(&new, list.to_string()).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let latest = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < latest, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn pods_are_found_by_their_routes_and_policies_followed() {
    let bed = Bed::three_zones().unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let directory = tempfile::tempdir().unwrap();
    let pods: Vec<Value> = [web, batch, shop].map(|it| pod(&bed, it)).into();
    put(directory.path(), "pods.json", &pods);
    put(directory.path(), "policy.yaml", &[policy("shop", "web")]);
    let agent = Agent::builder(&bed)
        .argument("--manifests")
        .argument(directory.path().to_str().unwrap())
        .start()
        .unwrap();
    let status = || agent.cli(&["status"]).unwrap().expect_success();
    eventually("ready", || status().contains("ready      yes"));
    let attached = |host: &Host| {
        let status = status();
        let hooks =
            status.lines().filter(|line| line.split_whitespace().next() == Some(host.port()));
        hooks.count()
    };
    for host in [web, batch, shop] {
        eventually("both hooks of a port", || attached(host) == 2);
    }

    let _server = HttpServer::start(shop, WEB).unwrap();
    for address in shop.sockets(WEB) {
        http_get(web, address).unwrap();
        assert!(http_get(batch, address).is_err(), "batch reached {address}");
    }
    put(directory.path(), "policy.yaml", &[policy("shop", "batch")]);
    for address in shop.sockets(WEB) {
        eventually("batch is let in", || http_get(batch, address).is_ok());
        assert!(http_get(web, address).is_err(), "web reached {address}");
    }

    // The port goes and comes with the route.
    let route = format!("{}/32 dev {}", batch.v4(), batch.port());
    let node = bed.node().netns();
    node.shell(&format!("ip route del {route}")).unwrap();
    eventually("batch has no port", || attached(batch) == 0);
    assert!(agent.log().contains("no interface"), "{}", agent.log());
    node.shell(&format!("ip route add {route}")).unwrap();
    eventually("batch has its port again", || attached(batch) == 2);
}
