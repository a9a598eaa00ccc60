//! `check`: answers from files alone.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::program::{Run, says, zonegate};

const SHOP: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web, labels: {app: web}}, spec: {nodeName: n1, containers: []}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}
- {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: db-0, labels: {app: db}}, spec: {nodeName: n2, containers: []}, status: {podIPs: [{ip: 10.0.1.1}]}}
- {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: db-1, labels: {app: db}}, spec: {nodeName: n2, containers: []}, status: {podIPs: [{ip: 10.0.1.2}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: is-no-business-of-ours}}
";

/// Files of a check, gone afterwards.
struct Files(tempfile::TempDir);

impl Files {
    fn new(objects: &str, probes: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::write(files.path("objects.yaml"), objects).unwrap();
        fs::write(files.path("probes.json"), probes).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn check(&self, flags: &[&str]) -> Run {
        let objects = self.path("objects.yaml");
        zonegate(&[&["check", "--objects", objects.to_str().unwrap()], flags].concat())
    }

    fn ask(&self, flags: &[&str]) -> Run {
        let probes = self.path("probes.json");
        self.check(&[&["--probes", probes.to_str().unwrap()], flags].concat())
    }
}

#[test]
fn an_answer_names_who_decided() {
    let probes = json!([
        {"id": "a", "source": "shop/web", "destination": "shop/db-0", "port": 5432},
        {"id": "b", "source": "shop/web", "destination": "shop/db-0", "port": 5433},
        {"id": "c", "source": "10.0.1.2", "destination": "10.0.1.1", "protocol": "UDP", "port": 53},
        {"id": "d", "source": "203.0.113.1", "destination": "203.0.113.2", "protocol": "ICMP"},
        {"id": "e", "source": "192.0.2.1", "destination": "fd00::1", "protocol": "47"},
        {"id": "f", "source": "203.0.113.1", "destination": "shop/web", "protocol": "47"},
    ]);
    let files = Files::new(SHOP, &probes.to_string().replace("192.0.2.1", "fd00::ffff"));
    let answers: Value = serde_json::from_str(&files.ask(&["--output", "json"]).success()).unwrap();
    let of = |id: &str, field: &str| {
        let answers = answers.as_array().unwrap();
        answers.iter().find(|answer| answer["id"] == id).unwrap()[field].clone()
    };
    for (id, verdict) in [
        ("a", "forward"),
        ("b", "drop"),
        ("c", "drop"),
        ("d", "pass"),
        ("e", "forward"),
        ("f", "forward"),
    ] {
        assert_eq!(of(id, "verdict"), verdict, "{id}");
    }
    let ingress = of("a", "decisions")[1].clone();
    assert_eq!(ingress["policy"], "networkpolicy/shop/db");
    assert_eq!((&ingress["rule"], &ingress["tier"]), (&json!("ingress[0]"), &json!("network")));
    assert_eq!(of("b", "reason"), "policy_ingress");
    assert_eq!(of("b", "decisions")[1]["rule"], Value::Null);

    let table = files.ask(&[]).success();
    says(&table, &["ID", "ingress: networkpolicy/shop/db isolates; policy_ingress"]);
}

#[test]
fn the_matrix_shows_who_reaches_whom() {
    let files = Files::new(SHOP, "[]");
    let table = files.check(&["--matrix"]).success();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|it| it.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["FROM \\ TO", "shop/db-0 (+1)", "shop/web"]);
    assert_eq!(lines[1], ["shop/db-0 (+1)", "-", "all"]);
    assert_eq!(lines[2], ["shop/web", "TCP 5432", "all"]);
    let pairs: Value =
        serde_json::from_str(&files.check(&["--matrix", "-o", "json"]).success()).unwrap();
    let pair = json!({"source": "shop/web", "destination": "shop/db-1", "allowed": "TCP 5432"});
    assert!(pairs.as_array().unwrap().contains(&pair), "{pairs}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let probe = |text: &str| format!("[{{\"id\": \"p\", {text}}}]");
    let web = "\"source\": \"shop/web\"";
    for (objects, probes, parts) in [
        ("a: [", "[]".to_owned(), &["objects.yaml", "line"][..]),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: 7}}",
            "[]".to_owned(),
            &["objects.yaml", "Pod", "spec.nodeName"],
        ),
        (SHOP, "[{]".to_owned(), &["probes.json", "line 1"]),
        (SHOP, probe(&format!("{web}, \"destination\": 7")), &["probe 1", "destination"]),
        (SHOP, probe(&format!("{web}, \"destination\": \"shop/x\", \"port\": 1")), &["shop/x"]),
        (SHOP, probe(&format!("{web}, \"destination\": \"10.0.0.9\"")), &["TCP needs a port"]),
        (
            SHOP,
            probe("\"source\": \"shop/db-0\", \"destination\": \"fd00::1\", \"port\": 1"),
            &["family"],
        ),
    ] {
        says(&Files::new(objects, &probes).ask(&[]).failure(1), parts);
    }
    let complaint = zonegate(&["check", "--objects", "/nonexistent.yaml", "--matrix"]);
    says(&complaint.failure(1), &["cannot read /nonexistent.yaml"]);
    says(&Files::new(SHOP, "[]").check(&[]).failure(2), &["--probes"]);
}

const HOST_PORTS: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web}, spec: {nodeName: n1, containers: [{name: c, ports: [{containerPort: 80, hostPort: 8080}]}]}, status: {podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: same}, spec: {nodeName: n2, containers: [{name: c, ports: [{containerPort: 81, hostPort: 8080}]}]}, status: {podIPs: [{ip: 10.0.1.1}]}}
";

#[test]
fn host_ports_are_answered_for() {
    let probe = |id, source, destination, port| json!({"id": id, "source": source, "destination": destination, "port": port});
    let probes = json!([
        probe("outside", "203.0.113.1", "192.0.2.1", 8080),
        probe("pod", "shop/same", "192.0.2.1", 8080),
        probe("elsewhere", "203.0.113.1", "192.0.2.2", 8080),
        probe("other", "203.0.113.1", "192.0.2.1", 8081),
    ]);
    let files = Files::new(HOST_PORTS, &probes.to_string());
    let answers: Value = serde_json::from_str(&files.ask(&["--output", "json"]).success()).unwrap();
    for (index, backends) in
        [json!(["10.0.0.1:80"]), json!(["10.0.0.1:80"]), json!(["10.0.1.1:81"]), Value::Null]
            .into_iter()
            .enumerate()
    {
        let answer = &answers[index];
        assert_eq!(answer["backends"], backends, "{answer}");
        if !backends.is_null() {
            assert_eq!((&answer["verdict"], &answer["snat"]), (&json!("forward"), &json!(false)));
        }
    }
}
