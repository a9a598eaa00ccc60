//! A node that is told of its pods by Kubernetes objects in a directory, which name no interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    traffic::{HttpServer, UdpServer, http_get, udp_exchange},
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

const HOST_PORT: u16 = 8080;
const DNS: u16 = 53;

/// A pod whose web server and resolver have ports of the node.
fn pod_with_host_ports(bed: &Bed, workload: &Host, address: &str) -> Value {
    let mut pod = pod(bed, workload);
    pod["spec"]["containers"] = json!([{ "name": "web", "ports": [
        { "containerPort": 80, "hostPort": HOST_PORT, "hostIP": address },
        { "containerPort": 5353, "hostPort": DNS, "hostIP": address, "protocol": "UDP" },
    ]}]);
    // Who asks for a port of a node has it, ready or not.
    pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
    pod
}

fn node(bed: &Bed) -> Value {
    let addresses = bed.node().addresses().each();
    let addresses = addresses.map(|it| json!({ "type": "InternalIP", "address": it }));
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": bed.node().name() },
        "status": { "addresses": addresses },
    })
}

#[test]
fn host_ports_lead_to_the_pod_and_close_with_it() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let (shop, web, outside) = (bed.workload("shop"), bed.workload("web"), bed.client("outside"));
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    put(directory, "node.json", &[node(&bed)]);
    put(directory, "pods.json", &[pod_with_host_ports(&bed, shop, ""), pod(&bed, web)]);
    let agent = Agent::builder(&bed)
        .argument("--manifests")
        .argument(directory.to_str().unwrap())
        .start()
        .unwrap();
    let status = || agent.cli(&["status"]).unwrap().expect_success();
    eventually("ready", || status().contains("ready      yes"));
    let _servers = (HttpServer::start(shop, 80).unwrap(), UdpServer::start(shop, 5353).unwrap());
    // The node answers itself where no pod does.
    let _own = HttpServer::start(bed.node(), 8081).unwrap();

    let at = |address: IpAddr| (SocketAddr::new(address, HOST_PORT), SocketAddr::new(address, DNS));
    for address in bed.node().addresses().each() {
        let (http, dns) = at(address);
        for client in [outside, web, bed.node(), bed.remote("zone-b-1")] {
            let what = format!("{} at {address}", client.name());
            eventually(&what, || http_get(client, http).is_ok());
            for reply in [http_get(client, http), udp_exchange(client, dns, b"question")] {
                let reply = reply.unwrap_or_else(|error| panic!("{what}: {error:#}"));
                assert_eq!(reply.server, shop.name(), "{what}");
                assert!(reply.client_is_real(), "{what}: {reply:?}");
            }
        }
        // The pod itself does not know the address of its port: it sees the node.
        assert_eq!(http_get(shop, http).unwrap().client.ip(), address);
        let own = http_get(outside, SocketAddr::new(address, 8081)).unwrap();
        assert_eq!(own.server, bed.node().name());
    }
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let (http, dns) = at(address);
        assert_eq!(http_get(bed.node(), http).unwrap().server, shop.name());
        assert_eq!(udp_exchange(bed.node(), dns, b"question").unwrap().server, shop.name());
    }
    let services = agent.cli(&["get", "services"]).unwrap().expect_success();
    assert!(services.contains("hostport/bed/shop:80/TCP"), "{services}");
    assert!(services.contains("HOST_PORT") && services.contains(":8080/TCP"), "{services}");

    // Policy sees who the client is, as with node ports.
    put(directory, "policy.yaml", &[policy("shop", "web")]);
    for address in bed.node().addresses().each() {
        let (http, _) = at(address);
        eventually("outsiders are kept out", || http_get(outside, http).is_err());
        http_get(web, http).unwrap();
        http_get(bed.node(), http).unwrap();
    }
    fs::remove_file(directory.join("policy.yaml")).unwrap();

    // A second pod that asks for the same is refused, and told so.
    let second = pod_with_host_ports(&bed, bed.workload("spare"), "0.0.0.0");
    put(directory, "second.json", &[second]);
    eventually("a problem", || {
        let status = status();
        status.contains("bed/spare") && status.contains("belongs to Pod \"bed/shop\"")
    });
    for address in bed.node().addresses().each() {
        let (http, _) = at(address);
        eventually("outsiders again", || http_get(outside, http).is_ok());
        assert_eq!(http_get(outside, http).unwrap().server, shop.name());
    }
    fs::remove_file(directory.join("second.json")).unwrap();

    put(directory, "pods.json", &[pod(&bed, web)]);
    for address in bed.node().addresses().each() {
        let (http, dns) = at(address);
        for client in [outside, web, bed.node()] {
            eventually("the port is closed", || {
                let error = http_get(client, http).map_err(|error| format!("{error:#}"));
                error.is_err_and(|error| error.contains("refused"))
            });
            assert!(udp_exchange(client, dns, b"question").is_err());
        }
    }
}
