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

const SERVICE: &str = "
{kind: Node, name: node-b, zone: zone-b}
---
kind: BackendSet
name: web
backends:
- {address: 10.0.0.1, port: 8080, node: node-a}
- {address: 10.0.0.2, port: 8080, node: node-b}
- {address: 10.0.0.3, port: 8080, node: node-b, weight: 2}
- {address: 10.0.0.4, port: 8080, node: node-b, ready: false}
---
kind: Service
name: shop/web:80
backendSet: web
frontends:
- {address: 10.96.0.1, port: 80, protocol: TCP}
- {address: 0.0.0.0, port: 30080, protocol: TCP, kind: NODE_PORT}
externalTrafficPolicy: LOCAL
---
kind: Service
name: shop/near:80
backendSet: web
frontends: [{address: 10.96.0.2, port: 80, protocol: TCP}]
preference: [ZONE]
---
{kind: BackendSet, name: none}
---
kind: Service
name: shop/gone:80
backendSet: none
frontends: [{address: 10.96.0.3, port: 80, protocol: TCP}]
";

#[test]
fn services_are_shown_with_who_gets_what_and_why() {
    let server = Server::start();
    let node = NODES.split("---").next().unwrap();
    server.apply(&format!("{node}---{SERVICE}"), &[]).success();
    let table = server.run(&["get", "services"]).success();
    let rows: Vec<String> = lines(&table).iter().map(|row| row.join(" ")).collect();
    // Slots are dealt by the backends' weights, to within a few per cent.
    for (row, parts) in [
        (1, &["shop/gone:80 CLUSTER 10.96.0.3:80/TCP pods,node,outside (rejected)"][..]),
        (2, &["shop/near:80", " pods 10.0.0.1:8080 100.0% zone-a* 100.0% no preference: zone"]),
        (3, &["shop/near:80", " node,outside ", " yes preference: zone"]),
        (4, &["shop/web:80 CLUSTER 10.96.0.1:80/TCP pods 10.0.0.1:8080 2", ",10.0.0.3:8080 "]),
        (4, &[" zone-a* 2", "%,zone-b 7", "% no all ready"]),
        (5, &["shop/web:80", " node,outside ", " yes all ready"]),
        (6, &["NODE_PORT 192.0.2.1:30080/TCP pods ", "zone-b 7", " no all ready"]),
        (7, &["192.0.2.1:30080/TCP node ", " yes all ready"]),
        (8, &[" outside 10.0.0.1:8080 100.0% zone-a* 100.0% no traffic policy Local"]),
    ] {
        for part in parts {
            assert!(rows[row].contains(part), "{part:?} in row {row} of\n{table}");
        }
    }
    assert!(!table.contains("10.0.0.4"), "what is not ready is not offered:\n{table}");

    let one = ["get", "service", "shop/near:80", "--offers", "-o", "json"];
    let json: Value = serde_json::from_str(&server.run(&one).success()).unwrap();
    let answers = &json["offers"][0]["answers"];
    assert_eq!(answers[0]["audiences"], serde_json::json!(["PODS"]));
    assert_eq!(answers[0]["zones"][0]["zone"], "zone-a");
    assert_eq!(answers[0]["backends"][0]["share"], 1.0);
    assert_eq!(answers[1]["snat"], true);
    let resource = server.run(&["get", "service", "shop/near:80", "-o", "json"]).success();
    says(&resource, &["\"preference\""]);
    says(&server.run(&["get", "nodes", "--offers"]).failure(1), &["--offers is for services"]);
}

#[test]
fn zones_are_shown_with_what_services_carry_between_them() {
    let server = Server::start();
    let empty = server.run(&["get", "zones"]).success();
    assert!(empty.contains("0 of 0 bytes crossed zones"), "{empty}");
    let node = NODES.split("---").next().unwrap();
    server.apply(&format!("{node}---{SERVICE}"), &[]).success();
    let table = server.run(&["get", "zones"]).success();
    let rows: Vec<String> = lines(&table).iter().map(|row| row.join(" ")).collect();
    assert_eq!(
        rows,
        [
            "SERVICE FROM TO PACKETS BYTES SHARE HANDSHAKES MEAN P50 P99 CROSSES",
            "shop/gone:80 zone-a (unknown) 6 180 90.0% 2 0.800ms 0.200ms 1.344ms",
            "shop/gone:80 (outside) (unknown) 3 20 10.0% 0",
            "",
            "0 of 200 bytes crossed zones: 0.0%",
        ]
    );
    // Its number stays; now the backends are known.
    let known = SERVICE.replace("backendSet: none", "backendSet: web");
    server.apply(&format!("{node}---{known}"), &[]).success();
    let json = server.run(&["get", "zones", "shop/gone:80", "-o", "json"]).success();
    let json: Value = serde_json::from_str(&json).unwrap();
    let of = |from: &str, to: &str| {
        let all = json["traffic"].as_array().unwrap().iter();
        // JSON leaves empty names out.
        let says = |zone: &Value, name| zone.as_str().unwrap_or_default() == name;
        let mut all = all.filter(|it| says(&it["fromZone"], from) && says(&it["toZone"], to));
        all.next().map(|it| (it["bytes"].clone(), it["replyPackets"].clone()))
    };
    assert_eq!(of("zone-a", "zone-a"), Some(("60".into(), "2".into())), "{json}");
    assert_eq!(of("zone-a", "zone-b"), Some(("30".into(), "2".into())), "{json}");
    assert_eq!(of("", "zone-b"), Some(("10".into(), "2".into())), "{json}");
    // Four from before, two since; those to zone-b were not timed.
    let times = |to: &str| {
        let all = json["traffic"].as_array().unwrap().iter();
        let row = all.filter(|it| it["fromZone"] == "zone-a").find(|it| it["toZone"] == to);
        row.unwrap()["handshakes"].clone()
    };
    let near = serde_json::json!({
        "count": "2",
        "meanMicroseconds": "800",
        "p50Microseconds": "200",
        "p99Microseconds": "1344",
        "buckets": [
            { "belowMicroseconds": "208", "count": "1" },
            { "belowMicroseconds": "1408", "count": "1" },
        ],
    });
    assert_eq!(times("zone-a"), near);
    assert_eq!(times("zone-b"), Value::Null);
    let other = server.run(&["get", "zones", "shop/web:80"]).success();
    assert_eq!(lines(&other).len(), 3, "{other}");
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
        &["zg8_slots", "50", "200", "25%"],
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
