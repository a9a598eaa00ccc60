//! Clients that stay with a backend, over time and with real connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip},
    traffic::{HttpServer, UdpServer, http_get, udp_exchange},
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);

/// Protocols with the service's port, its node port and the backends'.
const PROTOCOLS: [(&str, u16, u16, u16); 2] =
    [("TCP", 80, 30_080, 8080), ("UDP", 53, 30_053, 5353)];
const REMOTES: [&str; 3] = ["zone-a-1", "zone-b-1", "zone-c-1"];

/// Services of both protocols at a cluster address and at node ports, on backends by name, of which
/// `heavy` gets nearly all slots. Clients stay for so many seconds, or not at all.
fn world(bed: &Bed, backends: &[&str], heavy: &str, timeout: Option<u32>) -> Manifest {
    let mut manifest = Manifest::hosts(bed);
    for (name, port, node_port, backend_port) in PROTOCOLS {
        let at = |host: &&str| {
            bed.remote(host).addresses().each().map(|address| {
                json!({
                    "address": address.to_string(), "port": backend_port,
                    "weight": if *host == heavy { 1000 } else { 1 },
                })
            })
        };
        let backends: Vec<Value> = backends.iter().flat_map(at).collect();
        let frontends = cluster_vip(1).each().map(|address| {
            let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
            [
                json!({ "address": address.to_string(), "port": port, "protocol": name }),
                json!({ "address": any, "port": node_port, "protocol": name, "kind": "NODE_PORT" }),
            ]
        });
        let mut service = json!({
            "name": name, "backendSet": name, "frontends": frontends.as_flattened(),
        });
        if let Some(seconds) = timeout {
            service["clientAffinity"] = json!({ "timeoutSeconds": seconds });
        }
        manifest = manifest
            .with("BackendSet", json!({ "name": name, "backends": backends }))
            .with("Service", service);
    }
    manifest
}

fn serve(bed: &Bed) -> Vec<(HttpServer, UdpServer)> {
    let server = |name| {
        let host = bed.remote(name);
        (HttpServer::start(host, 8080).unwrap(), UdpServer::start(host, 5353).unwrap())
    };
    REMOTES.map(server).into()
}

/// Who answers the next connections from a client.
fn answering(client: &Host, protocol: &str, server: SocketAddr, count: usize) -> BTreeSet<String> {
    let answer = |_| {
        let reply = match protocol {
            "TCP" => http_get(client, server),
            _ => udp_exchange(client, server, b"question"),
        };
        reply.unwrap_or_else(|error| panic!("{protocol} {server}: {error:#}")).server
    };
    (0..count).map(answer).collect()
}

/// Every client, protocol and address family by itself: the cluster address and the node port.
fn each(bed: &Bed) -> Vec<(&Host, &'static str, [SocketAddr; 2])> {
    let mut all = Vec::new();
    for client in [bed.workload("web"), bed.node(), bed.client("outside")] {
        for (protocol, port, node_port, _) in PROTOCOLS {
            let pairs = cluster_vip(1).each().into_iter().zip(bed.node().addresses().each());
            all.extend(pairs.map(|(vip, node): (IpAddr, IpAddr)| {
                let at = [SocketAddr::new(vip, port), SocketAddr::new(node, node_port)];
                (client, protocol, at)
            }));
        }
    }
    all
}

#[test]
fn clients_stay_through_other_slots_and_restarts_until_their_backend_goes() {
    let bed = Bed::three_zones().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let _servers = serve(&bed);
    let apply = |agent: &Agent, backends: &[&str], heavy, timeout| {
        let manifest = world(&bed, backends, heavy, timeout);
        agent.apply(manifest.text()).unwrap().expect_success();
    };
    let only = |name: &str| BTreeSet::from([name.to_owned()]);

    apply(&agent, &REMOTES, "", Some(10_800));
    let kept: Vec<_> = each(&bed)
        .into_iter()
        .map(|(client, protocol, [vip, node_port])| {
            let kept = answering(client, protocol, vip, 10);
            assert_eq!(kept.len(), 1, "{protocol} {vip}: {kept:?}");
            assert_eq!(answering(client, protocol, node_port, 10), kept, "{node_port} shares it");
            kept
        })
        .collect();
    let check = |what: &str| {
        for ((client, protocol, at), kept) in each(&bed).into_iter().zip(&kept) {
            for address in at {
                let now = answering(client, protocol, address, 3);
                assert_eq!(now, *kept, "{what}: {protocol} {address} from {}", client.name());
            }
        }
    };
    for heavy in REMOTES {
        apply(&agent, &REMOTES, heavy, Some(10_800));
        check(&format!("nearly all slots are {heavy}'s"));
    }
    agent.kill9().unwrap();
    check("without an agent");
    agent.start().unwrap();
    check("with the next agent");

    apply(&agent, &REMOTES[..1], "", Some(10_800));
    for (client, protocol, [vip, _]) in each(&bed) {
        assert_eq!(answering(client, protocol, vip, 3), only(REMOTES[0]), "the rest is gone");
    }
    apply(&agent, &REMOTES, REMOTES[2], Some(10_800));
    for (client, protocol, [vip, node_port]) in each(&bed) {
        for address in [vip, node_port] {
            assert_eq!(answering(client, protocol, address, 3), only(REMOTES[0]), "it is back");
        }
    }
    // Last, since flows of datagrams to other backends would live on, should a port come again.
    apply(&agent, &REMOTES, "", None);
    for (client, protocol, [vip, _]) in each(&bed) {
        assert!(answering(client, protocol, vip, 20).len() > 1, "{protocol} {vip} is not spread");
    }
}

#[test]
fn a_client_that_stays_away_is_forgotten_and_one_that_comes_back_is_not() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let _servers = serve(&bed);
    let apply = |heavy| {
        let manifest = world(&bed, &REMOTES, heavy, Some(4));
        agent.apply(manifest.text()).unwrap().expect_success();
    };
    let web = bed.workload("web");
    let (stays, away) = (cluster_vip(1).v4.into(), cluster_vip(1).v6.into());
    let ask = |address: IpAddr| {
        PROTOCOLS.map(|(protocol, port, ..)| {
            let who = answering(web, protocol, SocketAddr::new(address, port), 1);
            who.into_iter().collect::<String>()
        })
    };
    apply(REMOTES[0]);
    // Nearly always the heavy one: the others have a slot each.
    let [kept, forgotten] = [stays, away].map(ask);
    apply(REMOTES[1]);
    for _ in 0..8 {
        thread::sleep(SECOND);
        assert_eq!(ask(stays), kept);
    }
    for (now, before) in ask(away).into_iter().zip(forgotten) {
        assert_ne!(now, before);
    }
}
