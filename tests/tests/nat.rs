//! Who sees whom: every kind of frontend, with backends here and elsewhere.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip, external_vip},
    traffic::{HttpServer, LiveStream, Reply, StreamServer, UdpServer, http_get, udp_exchange},
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);

/// A kind of frontend, where clients find it, and its port.
struct Kind {
    name: &'static str,
    address: fn(&Bed) -> [IpAddr; 2],
    port: u16,
}

const KINDS: [Kind; 4] = [
    Kind { name: "CLUSTER", address: |_| cluster_vip(1).each(), port: 80 },
    Kind { name: "NODE_PORT", address: |bed| bed.node().addresses().each(), port: 30_080 },
    Kind { name: "LOAD_BALANCER", address: |_| external_vip(1).each(), port: 80 },
    Kind { name: "EXTERNAL", address: |_| external_vip(2).each(), port: 80 },
];

/// TCP at 8080, UDP at 5353 and streams at 9000 behind every kind of frontend, on `backends`: of
/// these the last is ready, and the others only serve.
fn world(bed: &Bed, backends: &[&Host], policy: &str) -> Manifest {
    let node = |host: &Host| {
        let here = bed.workloads().iter().any(|it| it.name() == host.name());
        if here { bed.node().name() } else { host.name() }.to_owned()
    };
    let mut manifest = Manifest::hosts(bed);
    for (name, protocol, offset, port) in
        [("web", "TCP", 0, 8080), ("dns", "UDP", 0, 5353), ("stream", "TCP", 1, 9000)]
    {
        let at = |(n, host): (usize, &&Host)| {
            let (ready, node) = (n + 1 == backends.len(), node(host));
            host.addresses().each().map(|address| {
                json!({
                    "address": address.to_string(), "port": port, "node": node,
                    "ready": ready, "serving": true,
                })
            })
        };
        let backends: Vec<Value> = backends.iter().enumerate().flat_map(at).collect();
        let frontends = KINDS.iter().flat_map(|kind| {
            (kind.address)(bed).map(|address| {
                let anywhere = if address.is_ipv4() { "0.0.0.0" } else { "::" };
                let address = address.to_string();
                json!({
                    "address": if kind.name == "NODE_PORT" { anywhere } else { &address },
                    "port": kind.port + offset, "protocol": protocol, "kind": kind.name,
                })
            })
        });
        manifest = manifest.with("BackendSet", json!({ "name": name, "backends": backends })).with(
            "Service",
            json!({
                "name": name, "backendSet": name, "externalTrafficPolicy": policy,
                "frontends": frontends.collect::<Vec<Value>>(),
            }),
        );
    }
    manifest
}

/// Asks by both protocols.
fn ask(client: &Host, address: IpAddr, port: u16) -> [anyhow::Result<Reply>; 2] {
    let server = SocketAddr::new(address, port);
    [http_get(client, server), udp_exchange(client, server, b"question")]
}

#[test]
fn backends_see_clients_or_the_node_by_kind_and_policy() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (web, outside) = (bed.workload("web"), bed.client("outside"));
    for backend in [bed.workload("shop"), bed.remote("zone-b-1")] {
        let _servers =
            (HttpServer::start(backend, 8080).unwrap(), UdpServer::start(backend, 5353).unwrap());
        let is_local = backend.name() == "shop";
        for policy in ["CLUSTER", "LOCAL"] {
            agent.apply(world(&bed, &[backend], policy).text()).unwrap().expect_success();
            for (client, kind) in [web, outside]
                .into_iter()
                .flat_map(|client| KINDS.iter().map(move |kind| (client, kind)))
            {
                let outsider = client.name() == outside.name();
                let keeps_source = match (kind.name, policy) {
                    ("CLUSTER", _) => !outsider,
                    (_, "CLUSTER") => false,
                    _ => true,
                };
                let served = policy == "CLUSTER" || kind.name == "CLUSTER" || !outsider || is_local;
                for (family, address) in (kind.address)(&bed).into_iter().enumerate() {
                    let node = bed.node().addresses().each()[family];
                    for (protocol, reply) in
                        ["TCP", "UDP"].into_iter().zip(ask(client, address, kind.port))
                    {
                        let what = format!(
                            "{protocol} from {} by {} {address} under {policy} to {}",
                            client.name(),
                            kind.name,
                            backend.name(),
                        );
                        if !served {
                            assert!(reply.is_err(), "{what}: {reply:?}");
                            continue;
                        }
                        let reply = reply.unwrap_or_else(|error| panic!("{what}: {error:#}"));
                        assert_eq!(reply.server, backend.name(), "{what}");
                        if keeps_source {
                            assert!(reply.client_is_real(), "{what}: {reply:?}");
                        } else {
                            assert_eq!(reply.client.ip(), node, "{what}");
                            assert!(reply.client.port() >= 61_000, "{what}: {reply:?}");
                        }
                    }
                }
            }
        }
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    for reason in ["no_route", "flow_conflict", "flow_race", "handover", "rewrite"] {
        assert!(!status.contains(reason), "{status}");
    }
}

/// Agents come and go, and a preference for others concerns new connections only.
#[test]
fn masqueraded_streams_survive_restarts_and_preferences() {
    let bed = Bed::three_zones().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let (backend, other) = (bed.remote("zone-b-1"), bed.remote("zone-c-1"));
    let _servers = [backend, other].map(|host| StreamServer::start(host, 9000).unwrap());
    agent.apply(world(&bed, &[backend], "CLUSTER").text()).unwrap().expect_success();
    let streams: Vec<_> = [bed.workload("web"), bed.client("outside")]
        .into_iter()
        .flat_map(|client| KINDS.iter().map(move |kind| (client, kind)))
        .flat_map(|(client, kind)| {
            (kind.address)(&bed).map(|address| {
                LiveStream::open(client, SocketAddr::new(address, kind.port + 1)).unwrap()
            })
        })
        .collect();
    let progress = || streams.iter().for_each(|it| it.expect_progress(5, 10 * SECOND).unwrap());
    progress();
    agent.kill9().unwrap();
    progress();
    agent.start().unwrap();
    progress();
    // The old backend still serves, but is not ready any more.
    let manifest = world(&bed, &[backend, other], "CLUSTER");
    agent.apply(manifest.text()).unwrap().expect_success();
    progress();
    for client in [bed.workload("web"), bed.client("outside")] {
        for address in cluster_vip(1).each() {
            let stream = LiveStream::open(client, SocketAddr::new(address, 81)).unwrap();
            assert_eq!(stream.greeting().server, other.name());
        }
    }
}

/// The node does not route what it masquerades, so it says itself what does not fit. Senders that
/// hear of that send fragments, which find their way too.
#[test]
fn what_is_too_large_for_the_way_to_the_backend_is_reported() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let backend = bed.remote("zone-b-1");
    let _server = UdpServer::start(backend, 5353).unwrap();
    agent.apply(world(&bed, &[backend], "CLUSTER").text()).unwrap().expect_success();
    let uplink = bed.node().interface();
    let routes = backend.addresses().each().map(|address| {
        let length = if address.is_ipv4() { 32 } else { 128 };
        format!("route add {address}/{length} dev {uplink} mtu lock 1300")
    });
    bed.node().netns().ip(&routes).unwrap();
    for client in [bed.workload("web"), bed.client("outside")] {
        for address in bed.node().addresses().each() {
            let what = format!("{} to {address}", client.name());
            let server = SocketAddr::new(address, 30_080);
            udp_exchange(client, server, b"small").expect(&what);
            let question = [b'q'; 1400];
            // The first of these is told how much fits.
            let _ = udp_exchange(client, server, &question);
            let reply = udp_exchange(client, server, &question).expect(&what);
            assert_eq!(reply.payload, question, "{what}");
        }
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("answered"), "{status}");
}
