//! Interfaces of pods that come, get other names and go: what is held, and from when policy holds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use abi::reason::DropReason;
use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    traffic::{HttpServer, RequestLoop, http_get},
};

const WEB: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(20);

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

/// `web` alone may reach `shop`, and `shop` may reach nobody.
fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "bed", "name": "shop" },
        "spec": {
            "podSelector": { "matchLabels": { "app": "shop" } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "web" } } }] }],
        },
    })
}

fn put(directory: &Path, name: &str, object: &Value) {
    let new = directory.join(format!(".{name}"));
    fs::write(&new, object.to_string()).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let latest = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < latest, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Takes a pod's interface away.
fn unplug(bed: &Bed, port: &str) {
    bed.node().netns().shell(&format!("ip link del {port}")).unwrap();
}

/// Gives a pod an interface in the way of a network plugin: the pair first, the routes last.
fn plug(bed: &Bed, pod: &Host, port: &str) {
    let (inside, v4, v6) = (pod.netns().name(), pod.v4(), pod.v6());
    let script = format!(
        "ip link add {port} type veth peer name eth0 netns {inside}
         ip link set {port} up
         ip -n {inside} link set eth0 up
         ip -n {inside} addr add {v4}/32 dev eth0
         ip -n {inside} addr add {v6}/128 dev eth0 nodad
         ip addr add 169.254.1.1/32 dev {port}
         ip addr add fe80::1/64 dev {port} nodad
         ip -n {inside} route add 169.254.1.1/32 dev eth0 scope link
         ip -n {inside} route add default via 169.254.1.1
         ip -n {inside} route add default via fe80::1 dev eth0
         ip route add {v4}/32 dev {port} scope link
         ip route add {v6}/128 dev {port}"
    );
    bed.node().netns().shell(&script).unwrap();
}

/// The interfaces that status names with both hooks of a workload.
fn attached(agent: &Agent) -> Vec<String> {
    let status = agent.cli(&["status"]).unwrap().expect_success();
    let hooks = |direction: &str| -> Vec<String> {
        let lines = status.lines().filter(|line| line.contains(direction));
        lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    let out = hooks("tcx-egress");
    hooks("tcx-ingress").into_iter().filter(|name| out.contains(name)).collect()
}

fn has(agent: &Agent, interface: &str) -> bool {
    attached(agent).iter().any(|name| name == interface)
}

fn counted(agent: &Agent, reason: DropReason) -> bool {
    agent.cli(&["status"]).unwrap().expect_success().contains(reason.name())
}

#[test]
fn a_pods_interface_is_held_from_its_first_packet_until_the_pod_is_known() {
    let bed = Bed::three_zones().unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let directory = tempfile::tempdir().unwrap();
    for known in [web, batch] {
        put(directory.path(), &format!("{}.json", known.name()), &pod(&bed, known));
    }
    put(directory.path(), "policy.json", &policy());
    let agent = Agent::builder(&bed)
        .kernel("workload_interfaces", vec!["veth*".to_owned()])
        .argument("--manifests")
        .argument(directory.path().to_str().unwrap())
        .start()
        .unwrap();
    eventually("ready", || {
        agent.cli(&["status"]).unwrap().expect_success().contains("ready      yes")
    });
    let server = HttpServer::start(shop, WEB).unwrap();
    unplug(&bed, shop.port());

    // Everybody tries all the time, from before there is an interface.
    let pause = Duration::from_millis(1);
    let tries = |from| shop.sockets(WEB).map(|to| RequestLoop::http(from, to, pause));
    let denied: Vec<RequestLoop> = tries(batch).into();
    plug(&bed, shop, "veth7");
    eventually("the interface is held", || has(&agent, "veth7"));
    for address in shop.sockets(WEB) {
        assert!(http_get(web, address).is_err(), "nothing is known of {address}");
    }
    assert!(counted(&agent, DropReason::ForeignDestination));
    let outward = web.sockets(WEB);
    let _web = HttpServer::start(web, WEB).unwrap();
    for address in outward {
        assert!(http_get(shop, address).is_err(), "what shop may send is not known");
    }
    assert!(counted(&agent, DropReason::ForeignSource));
    assert_eq!(server.answered(), 0);

    put(directory.path(), "shop.json", &pod(&bed, shop));
    for address in shop.sockets(WEB) {
        eventually("web is let in", || http_get(web, address).is_ok());
    }
    for address in outward {
        assert!(http_get(shop, address).is_err(), "shop may send to nobody");
    }

    // With another name it is the same interface.
    let allowed: Vec<RequestLoop> = tries(web).into();
    bed.node().netns().shell("ip link set veth7 name veth8").unwrap();
    eventually("the new name", || has(&agent, "veth8") && !has(&agent, "veth7"));
    agent.wait_for_log("an interface was renamed", PATIENCE).unwrap();
    for requests in allowed {
        requests.wait_for(50, PATIENCE).unwrap();
        requests.stop().assert_none_failed();
    }

    // With the same name it is another one.
    unplug(&bed, "veth8");
    plug(&bed, shop, "veth8");
    for address in shop.sockets(WEB) {
        eventually("web is let in again", || http_get(web, address).is_ok());
    }
    for requests in denied {
        let report = requests.stop();
        assert!(report.answered == 0 && report.failed > 0, "batch got through: {report}");
    }

    // A pod that is gone leaves an interface that is held, until that goes as well.
    fs::remove_file(directory.path().join("shop.json")).unwrap();
    let to = SocketAddr::new(shop.v4().into(), WEB);
    eventually("nobody gets there", || http_get(web, to).is_err());
    assert!(has(&agent, "veth8"));
    unplug(&bed, "veth8");
    eventually("nothing is left", || !has(&agent, "veth8"));
}
