//! Backends that go: what they keep, and who finds another, with real connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip},
    traffic::{LiveStream, StreamServer, UdpServer},
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);
const STREAM: u16 = 9000;
const DNS: u16 = 53;
const OLD: &str = "zone-a-1";
const NEW: &str = "zone-b-1";

/// TCP and UDP at a cluster address, on hosts in a state each. Clients stay where they can.
fn world(bed: &Bed, backends: &[(&str, Value)]) -> Manifest {
    let mut manifest = Manifest::hosts(bed);
    for (protocol, port, backend_port) in [("TCP", STREAM, STREAM), ("UDP", DNS, 5353)] {
        let at = |(host, state): &(&str, Value)| {
            bed.remote(host).addresses().each().map(|address| {
                let mut backend = state.clone();
                backend["address"] = address.to_string().into();
                backend["port"] = backend_port.into();
                backend
            })
        };
        let frontends = cluster_vip(1).each().map(
            |address| json!({ "address": address.to_string(), "port": port, "protocol": protocol }),
        );
        let backends: Vec<Value> = backends.iter().flat_map(at).collect();
        manifest =
            manifest.with("BackendSet", json!({ "name": protocol, "backends": backends })).with(
                "Service",
                json!({
                    "name": protocol, "backendSet": protocol, "frontends": frontends,
                    "clientAffinity": {},
                }),
            );
    }
    manifest
}

/// A client that sends from one port for as long as it lives.
struct Resolver {
    socket: UdpSocket,
    server: SocketAddr,
    is_connected: bool,
}

impl Resolver {
    fn open(client: &Host, server: SocketAddr) -> Result<Self> {
        let resolver = Self { is_connected: true, ..Self::unconnected(client, server)? };
        resolver.socket.connect(server)?;
        Ok(resolver)
    }

    /// One that names the server with each datagram.
    fn unconnected(client: &Host, server: SocketAddr) -> Result<Self> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        client.netns().run(|| {
            let socket = UdpSocket::bind(any)?;
            socket.set_read_timeout(Some(SECOND))?;
            Ok(Self { socket, server, is_connected: false })
        })
    }

    /// Who answers the next datagram, within a second.
    fn ask(&self) -> Result<String> {
        match self.is_connected {
            true => self.socket.send(b"question")?,
            false => self.socket.send_to(b"question", self.server)?,
        };
        let mut answer = [0; 1000];
        let (length, from) = self.socket.recv_from(&mut answer)?;
        ensure!(from == self.server, "{from} answers for {}", self.server);
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let name = text.split_once("server=").and_then(|(_, rest)| rest.split(' ').next());
        Ok(name.context("no name in the answer")?.to_owned())
    }
}

/// Connections of one client, of both families.
struct Clients<'b> {
    host: &'b Host,
    streams: Vec<LiveStream>,
    resolvers: Vec<Resolver>,
}

impl<'b> Clients<'b> {
    fn open(host: &'b Host) -> Self {
        let at = |port| cluster_vip(1).each().map(|address| SocketAddr::new(address, port));
        Self {
            host,
            streams: at(STREAM).map(|it| LiveStream::open(host, it).unwrap()).into(),
            resolvers: at(DNS).map(|it| Resolver::open(host, it).unwrap()).into(),
        }
    }

    /// Who has the connections of TCP, and who answers by UDP.
    #[track_caller]
    fn expect(&self, tcp: &str, udp: &str) {
        for stream in &self.streams {
            assert_eq!(stream.greeting().server, tcp);
            stream.expect_progress(5, 10 * SECOND).unwrap();
        }
        for resolver in &self.resolvers {
            assert_eq!(resolver.ask().unwrap(), udp, "{}", self.host.name());
        }
    }
}

/// [`Clients::expect`] of all.
#[track_caller]
fn expect(clients: &[Clients<'_>], tcp: &str, udp: &str) {
    for client in clients {
        client.expect(tcp, udp);
    }
}

#[test]
fn backends_that_drain_or_terminate_keep_connections_and_get_no_new_ones() {
    let bed = Bed::three_zones().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let hosts = [OLD, NEW].map(|name| bed.remote(name));
    let _servers = hosts.map(|host| {
        (StreamServer::start(host, STREAM).unwrap(), UdpServer::start(host, 5353).unwrap())
    });
    let apply = |agent: &Agent, backends: &[(&str, Value)]| {
        agent.apply(world(&bed, backends).text()).unwrap().expect_success();
    };
    let open = || [bed.workload("web"), bed.client("outside")].map(Clients::open);
    let ready = json!({});
    let terminating = json!({ "ready": false, "serving": true, "terminating": true });
    let failing = json!({ "ready": false, "serving": false, "terminating": true });

    apply(&agent, &[(OLD, ready.clone())]);
    let old = open();
    expect(&old, OLD, OLD);
    for leaving in [json!({ "draining": true }), terminating] {
        apply(&agent, &[(OLD, leaving.clone()), (NEW, ready.clone())]);
        expect(&old, OLD, OLD);
        expect(&open(), NEW, NEW);
        // With nobody else, it is the last resort.
        apply(&agent, &[(OLD, leaving)]);
        expect(&open(), OLD, OLD);
    }
    agent.kill9().unwrap();
    expect(&old, OLD, OLD);
    agent.start().unwrap();
    expect(&old, OLD, OLD);

    // Readiness fails before a process has ended: what it has begun, it may finish.
    apply(&agent, &[(OLD, failing), (NEW, ready.clone())]);
    expect(&old, OLD, NEW);
    // Longer than any flow goes without being looked at.
    let until = Instant::now() + 6 * SECOND;
    while Instant::now() < until {
        expect(&old, OLD, NEW);
        thread::sleep(SECOND / 2);
    }
    apply(&agent, &[(NEW, ready)]);
    for stream in old.iter().flat_map(|it| &it.streams) {
        stream.expect_cut(SECOND, 10 * SECOND).unwrap();
    }
    for resolver in old.iter().flat_map(|it| &it.resolvers) {
        assert_eq!(resolver.ask().unwrap(), NEW);
    }
    expect(&open(), NEW, NEW);
}

/// A client that keeps its port finds another backend as soon as its own is gone: the next datagram
/// is answered, whether its socket is connected or not.
#[test]
fn udp_clients_find_another_backend_when_theirs_is_gone() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let _servers = [OLD, NEW].map(|name| UdpServer::start(bed.remote(name), 5353).unwrap());
    let apply = |names: &[&str]| {
        let backends: Vec<_> = names.iter().map(|name| (*name, json!({}))).collect();
        agent.apply(world(&bed, &backends).text()).unwrap().expect_success();
    };
    apply(&[OLD]);
    let resolvers: Vec<_> = [bed.workload("web"), bed.client("outside")]
        .into_iter()
        .flat_map(|client| cluster_vip(1).each().map(|address| (client, address)))
        .flat_map(|(client, address)| {
            let server = SocketAddr::new(address, DNS);
            [
                Resolver::open(client, server).unwrap(),
                Resolver::unconnected(client, server).unwrap(),
            ]
        })
        .collect();
    let answers = |expected: &str| {
        for resolver in &resolvers {
            assert_eq!(resolver.ask().unwrap(), expected);
        }
    };
    answers(OLD);
    apply(&[OLD, NEW]);
    answers(OLD);
    apply(&[NEW]);
    answers(NEW);
    apply(&[OLD, NEW]);
    answers(NEW);
}
