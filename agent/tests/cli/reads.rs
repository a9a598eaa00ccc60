//! `get`, `status` and `flows`.

use serde_json::Value;

use crate::{program::says, server::Server};

const NODES: &str = "
{kind: Node, name: node-a, zone: zone-a, region: eu, addresses: [192.0.2.1, '2001:db8::1']}
---
{kind: Node, name: node-b, labels: {rack: '7'}}
";

fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn get_prints_a_line_for_each_resource() {
    let server = Server::start();
    server.apply(NODES, &[]).success();
    let table = server.run(&["get", "nodes"]).success();
    assert_eq!(
        lines(&table),
        [
            &["NAME", "ZONE", "REGION", "ADDRESSES", "OWNER", "REVISION"][..],
            &["node-a", "zone-a", "eu", "192.0.2.1,2001:db8::1", "cli", "1"],
            &["node-b", "cli", "1"],
        ]
    );
    assert_eq!(lines(&server.run(&["get", "node", "node-b"]).success()).len(), 2);
    assert_eq!(lines(&server.run(&["get", "nodes", "--owner", "other"]).success()).len(), 1);
    says(&server.run(&["get", "node", "node-c"]).failure(1), &["Node \"node-c\" is not held"]);
}

#[test]
fn yaml_that_was_got_can_be_applied_again() {
    let server = Server::start();
    server.apply(NODES, &[]).success();
    let yaml = server.yaml("nodes");
    says(&yaml, &["# owner cli, revision 1\nkind: Node\nname: node-a\n", "\n---\n"]);
    says(&server.apply(&yaml, &[]).success(), &["revision 1: "]);
    let other = Server::start();
    other.apply(&yaml, &[]).success();
    assert_eq!(other.yaml("nodes"), yaml);
}

#[test]
fn json_is_a_list_or_the_one_resource_that_was_asked_for() {
    let server = Server::start();
    server.apply(NODES, &[]).success();
    let json = server.run(&["get", "nodes", "-o", "json"]).success();
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["items"][0]["kind"], "Node");
    assert_eq!(list["items"][1]["labels"]["rack"], "7");
    says(&server.apply(&json, &[]).success(), &["revision 1: "]);
    let one = server.run(&["get", "node", "node-b", "-o", "json"]).success();
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["name"], "node-b");
}

#[test]
fn status_shows_what_a_person_asks_first() {
    let server = Server::start();
    let before = server.run(&["status"]).success();
    says(&before, &["ready      no: nothing was committed yet", "revision   0 of "]);
    server.apply(NODES, &[]).success();
    let table = server.run(&["status"]).success();
    says(&table, &["node       node-a\n", "ready      yes\n", "revision   1 of "]);
    let lines = lines(&table);
    for line in [
        &["Node", "2"][..],
        &["cli", "0", "2"],
        &["uplink0", "xdp-native"],
        &["zg4_slots", "50", "200", "25%"],
        &["policy_ingress", "dropped", "41"],
        &["established", "passed", "1042"],
    ] {
        assert!(lines.contains(&line.to_vec()), "{table} has no line {line:?}");
    }
    assert!(!table.contains("martian"), "counters of nothing are not shown: {table}");
    let json = server.run(&["status", "-o", "json"]).success();
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&status["ready"], &status["revision"]), (&true.into(), &"1".into()));
}

#[test]
fn flows_are_listed_up_to_the_limit() {
    let server = Server::start();
    let table = server.run(&["flows", "list"]).success();
    assert_eq!(
        lines(&table)[1..],
        [
            &[
                "TCP",
                "10.0.0.1:4001",
                "[2001:db8::1]:80",
                "to",
                "[2001:db8::7]:8080",
                "original",
                "1.5s",
                "12",
                "3456"
            ],
            &[
                "TCP",
                "10.0.0.1:4002",
                "[2001:db8::1]:80",
                "to",
                "[2001:db8::7]:8080",
                "reply",
                "1.5s",
                "12",
                "3456"
            ],
        ]
    );
    let json = server.run(&["flows", "list", "--limit", "1", "-o", "json"]).success();
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["flows"].as_array().unwrap().len(), 1);
    assert_eq!(list["flows"][0]["bytes"], "3456");
}
