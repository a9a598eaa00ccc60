//! Bulk transfers through services, whose every byte is checked, survive what happens meanwhile:
//! other preferences, policies and backends, and an agent that ends and starts.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip, external_vip},
    traffic::{LiveStream, StreamServer, Transfer},
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 9000;
/// What a transfer has carried in the end, at least.
const SIZE: u64 = 20 << 20;
const STEP: u64 = 1 << 20;

/// Ways to choose among backends, each as fields of a service.
fn preferences() -> [Value; 5] {
    [
        json!({}),
        json!({ "preference": ["ZONE", "ANY"] }),
        json!({ "topologyKeys": ["*"] }),
        json!({ "zoneSpill": {} }),
        json!({ "preference": ["NODE", "ZONE", "ANY"] }),
    ]
}

/// A service with its own backend and others that come and go.
struct Service {
    name: &'static str,
    number: u8,
    own: &'static str,
}

const NEAR: Service = Service { name: "near", number: 1, own: "shop" };
const FAR: Service = Service { name: "far", number: 2, own: "zone-b-1" };

impl Service {
    /// Adds the service, in whose backends `others` come first.
    fn add_to(&self, manifest: Manifest, bed: &Bed, others: &[&str], choice: &Value) -> Manifest {
        let backends: Vec<Value> = others.iter().chain([&self.own]).flat_map(|name| {
            let here = bed.workloads().iter().any(|it| it.name() == *name);
            let host = if here { bed.workload(name) } else { bed.remote(name) };
            let node = if here { bed.node().name() } else { name };
            let at = move |address: std::net::IpAddr| {
                json!({ "address": address.to_string(), "port": PORT, "node": node })
            };
            host.addresses().each().map(at)
        }).collect();
        let cluster = cluster_vip(self.number).each().map(|it| ("CLUSTER", it));
        let external = external_vip(self.number).each().map(|it| ("EXTERNAL", it));
        let frontends: Vec<Value> = cluster
            .into_iter()
            .chain(external)
            .map(|(kind, address)| {
                let address = address.to_string();
                json!({ "kind": kind, "address": address, "port": PORT, "protocol": "TCP" })
            })
            .collect();
        let mut service = choice.clone();
        service["name"] = self.name.into();
        service["backendSet"] = self.name.into();
        service["frontends"] = frontends.into();
        let set = json!({ "name": self.name, "backends": backends });
        manifest.with("BackendSet", set).with("Service", service)
    }
}

/// The services, with policies that let the transfers through, each time by other rules.
fn world(bed: &Bed, round: usize, others: &[&str], choice: &Value) -> Manifest {
    let hosts = Manifest::hosts(bed);
    let manifest = NEAR.add_to(FAR.add_to(hosts, bed, others, choice), bed, others, choice);
    let manifest = manifest.address_set("outside", &[bed.client("outside")]);
    match round % 3 {
        0 => manifest,
        1 => manifest.allow_only("shop", &["web", "outside"]),
        _ => {
            manifest.allow_only("shop", &["outside", "batch", "web"]).allow_only("web", &["spare"])
        }
    }
}

/// A pod to both backends and an outsider to the local one, over both families.
fn open(bed: &Bed) -> Vec<(String, Transfer)> {
    let (web, outside) = (bed.workload("web"), bed.client("outside"));
    let ways: [(&Host, &Service, [_; 2]); 4] = [
        // Masqueraded: the node itself sends on what a pod's stack leaves for it to segment.
        (web, &FAR, external_vip(FAR.number).each()),
        (web, &FAR, cluster_vip(FAR.number).each()),
        (web, &NEAR, cluster_vip(NEAR.number).each()),
        (outside, &NEAR, external_vip(NEAR.number).each()),
    ];
    let mut open = Vec::new();
    for (client, service, addresses) in ways {
        for address in addresses {
            let what = format!("{} to {address}", client.name());
            let transfer = Transfer::start(client, SocketAddr::new(address, PORT)).expect(&what);
            assert_eq!(transfer.greeting().server, service.own, "{what}");
            open.push((what, transfer));
        }
    }
    open
}

#[test]
fn bulk_transfers_survive_changes_other_backends_and_restarts() {
    let bed = Bed::three_zones().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let others = ["zone-a-1", "batch", "zone-c-1"];
    let _servers: Vec<_> = [bed.workload("shop"), bed.workload("batch")]
        .into_iter()
        .chain(["zone-a-1", "zone-b-1", "zone-c-1"].map(|name| bed.remote(name)))
        .map(|host| StreamServer::start(host, PORT).unwrap())
        .collect();
    let apply = |agent: &Agent, round: usize, others: &[&str], choice: &Value| {
        agent.apply(world(&bed, round, others, choice).text()).unwrap().expect_success();
    };
    apply(&agent, 0, &[], &json!({}));
    let transfers = open(&bed);
    let begun = Instant::now();
    let progress = |when: &str| {
        for (what, transfer) in &transfers {
            let moved = transfer.expect_progress(STEP, 10 * SECOND);
            moved.unwrap_or_else(|error| panic!("{what}, {when}: {error:#}"));
        }
    };
    progress("at first");
    for (round, choice) in preferences().iter().enumerate() {
        apply(&agent, round, &others, choice);
        progress(&format!("with {choice}"));
        if choice["preference"].is_array() {
            for address in cluster_vip(FAR.number).each() {
                let server = SocketAddr::new(address, PORT);
                let new = LiveStream::open(bed.workload("web"), server).unwrap();
                assert_ne!(new.greeting().server, FAR.own, "{address} with {choice}");
            }
        }
        // Slots are dealt again, whoever has been in them.
        apply(&agent, round + 1, &others[round % 3..][..1], choice);
        progress(&format!("with {choice} and other backends"));
        match round {
            1 => agent.terminate().unwrap(),
            3 => agent.kill9().unwrap(),
            _ => continue,
        }
        progress("without an agent");
        agent.start().unwrap();
        progress("with the next agent");
    }
    while transfers.iter().any(|(_, it)| it.received() < SIZE) {
        assert!(begun.elapsed() < 60 * SECOND, "too slow");
        progress("to the end");
    }
    for (what, transfer) in transfers {
        transfer.finish().unwrap_or_else(|error| panic!("{what}: {error:#}"));
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    for reason in ["midstream", "flow_race", "flow_conflict", "backend_missing"] {
        assert!(!status.contains(reason), "{status}");
    }
}
