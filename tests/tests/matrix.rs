//! Every kind of frontend, from every kind of client, to backends here and elsewhere, over both
//! families and protocols: one connection each, under every policy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr},
    thread,
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip, external_vip},
    traffic::{HttpServer, Reply, UdpServer, http_get, udp_exchange},
    world::Manifest,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Pod,
    Process,
    Outsider,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cluster,
    NodePort,
    LoadBalancer,
    External,
}

/// What the service and the node are told beside the frontends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// The defaults.
    Cluster,
    /// Both traffic policies are `LOCAL`.
    Local,
    /// Cluster addresses are not for outsiders.
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The backend sees the client's own address.
    Direct,
    /// It sees the node's.
    Masqueraded,
    Refused,
}

const CLIENTS: [Client; 3] = [Client::Pod, Client::Process, Client::Outsider];
const KINDS: [Kind; 4] = [Kind::Cluster, Kind::NodePort, Kind::LoadBalancer, Kind::External];
const HERE: &str = "shop";
const ELSEWHERE: &str = "zone-b-1";
/// Its own processes.
const NODE: &str = "node-a";
const PROTOCOLS: [(&str, u16); 2] = [("TCP", 8080), ("UDP", 5353)];

/// What Kubernetes means; what is for the node's own processes kube-proxy does not masquerade either.
fn expected(kind: Kind, client: Client, backend: &str, policy: Policy) -> Outcome {
    use Outcome::{Direct, Masqueraded, Refused};
    match (kind, client, policy) {
        (Kind::Cluster, _, Policy::Local) if backend == ELSEWHERE => Refused,
        (Kind::Cluster, Client::Outsider, Policy::Refuse) => Refused,
        (_, Client::Outsider, Policy::Local) if kind != Kind::Cluster && backend == ELSEWHERE => {
            Refused
        }
        // What the node sends is led to the backend before it is a packet.
        _ if backend == NODE => Direct,
        (Kind::Cluster, Client::Outsider, _) => Masqueraded,
        (_, Client::Process, _) | (Kind::Cluster, Client::Pod, _) | (_, _, Policy::Local) => Direct,
        _ => Masqueraded,
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "CLUSTER",
            Self::NodePort => "NODE_PORT",
            Self::LoadBalancer => "LOAD_BALANCER",
            Self::External => "EXTERNAL",
        }
    }

    /// Where clients find it.
    fn places(self, bed: &Bed) -> [SocketAddr; 2] {
        let (addresses, port) = match self {
            Self::Cluster => (cluster_vip(1), 80),
            Self::NodePort => (bed.node().addresses(), 30_080),
            Self::LoadBalancer => (external_vip(1), 80),
            Self::External => (external_vip(2), 80),
        };
        addresses.each().map(|address| SocketAddr::new(address, port))
    }
}

/// The services of both protocols on one backend.
fn world(bed: &Bed, backend: &Host, policy: Policy) -> Manifest {
    let node = if backend.name() == HERE { bed.node().name() } else { backend.name() };
    let policy = if policy == Policy::Local { "LOCAL" } else { "CLUSTER" };
    let mut manifest = Manifest::hosts(bed);
    for (protocol, port) in PROTOCOLS {
        let backends = backend
            .addresses()
            .each()
            .map(|address| json!({ "address": address.to_string(), "port": port, "node": node }));
        let frontends: Vec<Value> = KINDS
            .into_iter()
            .flat_map(|kind| kind.places(bed).map(|place| (kind, place)))
            .map(|(kind, place)| {
                let any: IpAddr = if place.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
                let address = if kind == Kind::NodePort { any } else { place.ip() };
                json!({
                    "kind": kind.name(), "address": address.to_string(), "port": place.port(),
                    "protocol": protocol,
                })
            })
            .collect();
        manifest =
            manifest.with("BackendSet", json!({ "name": protocol, "backends": backends })).with(
                "Service",
                json!({
                    "name": protocol, "backendSet": protocol, "frontends": frontends,
                    "internalTrafficPolicy": policy, "externalTrafficPolicy": policy,
                }),
            );
    }
    manifest
}

/// Makes all connections to one backend at once.
fn check(bed: &Bed, agent: &Agent, backend: &Host, policy: Policy) {
    let _servers =
        (HttpServer::start(backend, 8080).unwrap(), UdpServer::start(backend, 5353).unwrap());
    agent.apply(world(bed, backend, policy).text()).unwrap().expect_success();
    let mut cases = Vec::new();
    for client in CLIENTS {
        for kind in KINDS {
            for place in kind.places(bed) {
                cases.extend(PROTOCOLS.map(|(protocol, _)| (client, kind, place, protocol)));
            }
        }
    }
    let wrong: Vec<String> = thread::scope(|scope| {
        let ask = |&(client, kind, place, protocol): &(Client, Kind, SocketAddr, &'static str)| {
            scope.spawn(move || {
                let from = match client {
                    Client::Pod => bed.workload("web"),
                    Client::Process => bed.node(),
                    Client::Outsider => bed.client("outside"),
                };
                let reply = match protocol {
                    "TCP" => http_get(from, place),
                    _ => udp_exchange(from, place, b"question"),
                };
                let outcome = outcome(&reply, bed, backend);
                let expected = expected(kind, client, backend.name(), policy);
                (outcome != Some(expected)).then(|| {
                    format!(
                        "{client:?} to {kind:?} {protocol} {place} on {} under {policy:?}: \
                         {outcome:?} rather than {expected:?}: {reply:?}",
                        backend.name()
                    )
                })
            })
        };
        let asked: Vec<_> = cases.iter().map(ask).collect();
        asked.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Nothing if it is neither.
fn outcome(reply: &anyhow::Result<Reply>, bed: &Bed, backend: &Host) -> Option<Outcome> {
    let Ok(reply) = reply else { return Some(Outcome::Refused) };
    if reply.server != backend.name() {
        return None;
    }
    if reply.client_is_real() {
        return Some(Outcome::Direct);
    }
    let seen = reply.client;
    let is_node = bed.node().addresses().each().contains(&seen.ip()) && seen.port() >= 61_000;
    is_node.then_some(Outcome::Masqueraded)
}

#[test]
fn every_client_reaches_what_it_may_by_every_frontend_and_nothing_else() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    for policy in [Policy::Cluster, Policy::Local] {
        for backend in [bed.workload(HERE), bed.remote(ELSEWHERE), bed.node()] {
            check(&bed, &agent, backend, policy);
        }
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("no_endpoint"), "{status}");
    for reason in ["no_route", "flow_conflict", "flow_race", "backend_missing", "rewrite"] {
        assert!(!status.contains(reason), "{status}");
    }
}

#[test]
fn outsiders_are_refused_at_cluster_addresses_where_the_node_is_told_so() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::builder(&bed).services("clusterip_from_outside", "refuse").start().unwrap();
    for backend in [bed.workload(HERE), bed.remote(ELSEWHERE)] {
        check(&bed, &agent, backend, Policy::Refuse);
    }
}
