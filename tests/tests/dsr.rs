//! Direct server return between two nodes with an agent each, and a real client: the node that the
//! client reaches sends its packets on through a tunnel, and the backend's node answers it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, external_vip},
    capture::Capture,
    netns::Netns,
    packet,
    traffic::{HttpServer, StreamServer, Transfer, UdpServer, http_get, udp_exchange},
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);
/// Of the wire everywhere; a tunnel leaves this less its header.
const MTU: u16 = 1500;
/// Bytes of a transfer, at least.
const TRANSFER: u64 = 4 << 20;
const FAR: &str = "zone-b-1";
const SERVICES: [(&str, &str, u16, u16); 3] =
    [("web", "TCP", 80, 8080), ("dns", "UDP", 80, 5353), ("stream", "TCP", 90, 9000)];

/// The node, another node with the pod `far`, an agent on each, and a client.
struct World {
    bed: Bed,
    pod: Host,
    agents: [Agent; 2],
    _servers: (HttpServer, UdpServer, StreamServer),
}

impl World {
    /// `wire` may change the way between the nodes; the far node has these uplinks.
    fn new(wire: fn(&Bed), near_uplinks: &[&str], far_uplinks: &[&str]) -> Self {
        let bed = Bed::builder()
            .node("node-a", "zone-a")
            .workload("web")
            .remote_with_pods(FAR, "zone-b", 0)
            .client("outside")
            .build()
            .unwrap();
        let pod = bed.add_pod(FAR, "far").unwrap();
        wire(&bed);
        let agents = [(bed.node(), near_uplinks), (bed.remote(FAR), far_uplinks)]
            .map(|(host, uplinks)| Agent::builder_on(host).uplinks(uplinks).start().unwrap());
        let manifest = manifest(&bed, &pod);
        for agent in &agents {
            agent.apply(manifest.text()).unwrap().expect_success();
        }
        let servers = (
            HttpServer::start(&pod, 8080).unwrap(),
            UdpServer::start(&pod, 5353).unwrap(),
            StreamServer::start(&pod, 9000).unwrap(),
        );
        Self { bed, pod, agents, _servers: servers }
    }

    /// What a client outside may name: addresses, and what to add to ports there.
    fn frontends(&self) -> [(&'static str, IpAddr, u16); 6] {
        let [lb4, lb6] = external_vip(1).each();
        let [external4, external6] = external_vip(2).each();
        let [node4, node6] = self.bed.node().addresses().each();
        [
            ("LOAD_BALANCER", lb4, 0),
            ("LOAD_BALANCER", lb6, 0),
            ("EXTERNAL", external4, 0),
            ("EXTERNAL", external6, 0),
            ("NODE_PORT", node4, 30_000),
            ("NODE_PORT", node6, 30_000),
        ]
    }

    /// Bytes that the switch has sent to the node so far.
    fn bytes_to_node(&self) -> u64 {
        bytes_sent(self.bed.fabric(), self.bed.node().port())
    }

    /// What the client has learnt about the way to an address, as `ip` says it.
    fn route(&self, to: IpAddr) -> String {
        self.bed.client("outside").netns().shell(&format!("ip route get {to}")).unwrap()
    }

    /// All exchanges of a client, by every frontend: what the pod sees of them, and which way
    /// packets take.
    fn check(&self) {
        let client = self.bed.client("outside");
        for (kind, address, offset) in self.frontends() {
            let what = format!("{kind} {address}");
            let at = |port: u16| SocketAddr::new(address, port + offset);
            let node = Capture::open(self.bed.fabric(), self.bed.node().port()).unwrap();
            let pod = self.pod.capture().unwrap();
            for reply in [http_get(client, at(80)), udp_exchange(client, at(80), b"question")] {
                let reply = reply.unwrap_or_else(|error| panic!("{what}: {error:#}"));
                assert_eq!(reply.server, "far", "{what}");
                assert!(reply.client_is_real(), "{what}: {reply:?}");
            }
            let seen = pod.collect(SECOND / 20, |frame| is_between(frame, client, &self.pod));
            assert!(seen.unwrap().len() > 4, "nothing of {what} at the pod");
            let at_node = node.collect_both(SECOND / 20).unwrap();
            let is_answer = |frame: &[u8]| {
                addresses(frame).is_some_and(|(from, to)| {
                    to == client.same_family(address)
                        && [address, self.pod.same_family(address)].contains(&from)
                        && !is_neighbour_discovery(frame)
                })
            };
            let answers: Vec<_> = at_node.iter().filter(|it| is_answer(&it.frame)).collect();
            assert!(answers.is_empty(), "{what}: answers by the node: {answers:?}");
            self.check_sizes(address, at(80), at(90), &what);
        }
        let [near, far] = self.agents.each_ref().map(|agent| {
            let status = agent.cli(&["status"]).unwrap().expect_success();
            for reason in ["no_route", "flow_conflict", "flow_race", "tunnelled", "rewrite"] {
                assert!(!status.contains(reason), "{reason}: {status}");
            }
            status
        });
        assert!(near.contains("answered") && !far.contains("answered"), "{near}{far}");
    }

    /// The client hears how much fits into the tunnel, and keeps to that.
    fn check_sizes(&self, address: IpAddr, udp: SocketAddr, stream: SocketAddr, what: &str) {
        let client = self.bed.client("outside");
        let learnt = format!("mtu {}", MTU - if address.is_ipv4() { 20 } else { 40 });
        assert!(!self.route(address).contains(&learnt), "{what}: before there was any need");
        let before = self.bytes_to_node();
        let transfer = Transfer::start(client, stream).expect(what);
        assert!(transfer.greeting().client_is_real(), "{what}: {:?}", transfer.greeting());
        transfer.expect_progress(TRANSFER, 20 * SECOND).expect(what);
        let size = transfer.finish().expect(what);
        let bytes = self.bytes_to_node() - before;
        assert!(bytes > size, "{what}: {bytes} of {size} went by the node");
        assert!(bytes < size + size / 4, "{what}: {bytes} of {size} there and back by the node");
        let route = self.route(address);
        assert!(route.contains(&learnt), "{what}: {route}");
        // What does not fit now, the client sends in fragments.
        let question = [b'q'; 1465];
        let reply = udp_exchange(client, udp, &question).expect(what);
        assert_eq!(reply.payload, question, "{what}");
    }
}

/// The services on the pod, at every kind of frontend that outsiders have.
fn manifest(bed: &Bed, pod: &Host) -> Manifest {
    let texts = pod.addresses().each().map(|address| address.to_string());
    let workload =
        json!({ "name": "far", "node": FAR, "addresses": texts, "interface": pod.port() });
    let mut manifest = Manifest::hosts(bed).with("Workload", workload);
    for (name, protocol, port, backend_port) in SERVICES {
        let frontends: Vec<Value> = [("LOAD_BALANCER", 1), ("EXTERNAL", 2)]
            .into_iter()
            .flat_map(|(kind, n)| external_vip(n).each().map(|it| (kind, it.to_string(), port)))
            .chain(["0.0.0.0", "::"].map(|it| ("NODE_PORT", it.to_owned(), 30_000 + port)))
            .map(|(kind, address, port)| {
                json!({ "kind": kind, "address": address, "port": port, "protocol": protocol })
            })
            .collect();
        let backends = texts
            .each_ref()
            .map(|address| json!({ "address": address, "port": backend_port, "node": FAR }));
        manifest = manifest.with("BackendSet", json!({ "name": name, "backends": backends })).with(
            "Service",
            json!({
                "name": name, "backendSet": name, "forwarding": "TUNNEL",
                "frontends": frontends,
            }),
        );
    }
    manifest
}

/// Bytes that an interface has sent so far.
fn bytes_sent(netns: &Netns, interface: &str) -> u64 {
    let text = netns.shell(&format!("ip -s -j link show dev {interface}")).unwrap();
    let links: Value = serde_json::from_str(&text).unwrap();
    links[0]["stats64"]["tx"]["bytes"].as_u64().unwrap()
}

/// The addresses of an IP packet in a frame without tags.
fn addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let packet = packet::without_ethernet(frame);
    let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    match packet.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?)),
        6 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}

/// Whether it is ICMPv6, by which neighbours find each other.
fn is_neighbour_discovery(frame: &[u8]) -> bool {
    let packet = packet::without_ethernet(frame);
    packet.first().is_some_and(|first| first >> 4 == 6) && packet.get(6) == Some(&58)
}

fn is_between(frame: &[u8], client: &Host, pod: &Host) -> bool {
    addresses(frame).is_some_and(|(from, to)| {
        client.addresses().each().contains(&from) && pod.addresses().each().contains(&to)
    })
}

#[test]
fn the_backends_node_answers_what_came_by_the_same_nic() {
    let world = World::new(|_| (), &["uplink0"], &["eth0"]);
    world.check();
}

/// XDP cannot send to another NIC itself: the tc hook does.
#[test]
fn the_backends_node_answers_what_came_by_another_nic() {
    let wire = |bed: &Bed| {
        let (near, far) = (bed.node().netns(), bed.remote(FAR).netns());
        near.shell(&format!("ip link add way0 type veth peer name way0 netns {}", far.name()))
            .unwrap();
        for (netns, n) in [(near, 1), (far, 2)] {
            netns
                .shell(&format!(
                    "ethtool -K way0 tx off tso off gso off gro on
                     ip addr add 172.31.0.{n}/24 dev way0; ip addr add fd31::{n}/64 dev way0 nodad
                     ip link set way0 gro_max_size 1 up"
                ))
                .unwrap();
        }
        near.shell(
            "ip route replace 10.2.1.0/24 via 172.31.0.2
             ip route replace fd00:2:1::/64 via fd31::2",
        )
        .unwrap();
    };
    let world = World::new(wire, &["uplink0", "way0"], &["eth0", "way0"]);
    world.check();
    assert!(bytes_sent(world.bed.node().netns(), "way0") > TRANSFER, "went another way");
}

/// Whoever is not a node may write what he likes: it is not taken out.
#[test]
fn a_tunnel_from_an_unknown_address_leads_nowhere() {
    let world = World::new(|_| (), &["uplink0"], &["eth0"]);
    let (client, node) = (world.bed.client("outside"), world.bed.node());
    let wire = client.capture().unwrap();
    let far = world.bed.remote(FAR);
    for service in external_vip(1).each() {
        let any = if service.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = client.netns().run(|| UdpSocket::bind(any)).unwrap();
        socket.set_read_timeout(Some(SECOND)).unwrap();
        let own = client.same_family(service);
        let sender = SocketAddr::new(own, socket.local_addr().unwrap().port());
        let inner = packet::udp(sender, SocketAddr::new(service, 80)).payload(b"question");
        let send = |from: IpAddr| {
            let protocol = if service.is_ipv4() { 4 } else { 41 };
            let outer = packet::ip(from, world.pod.same_family(service), protocol);
            let outer = outer.payload(inner.build_ip()).ethernet(client.mac(), far.mac());
            wire.inject(outer.build()).unwrap();
            let mut answer = [0; 200];
            socket.recv_from(&mut answer).map(|(_, from)| from)
        };
        for stranger in [own, "203.0.113.77".parse().unwrap(), "2001:db8:cb::77".parse().unwrap()] {
            if stranger.is_ipv4() == service.is_ipv4() {
                assert!(send(stranger).is_err(), "{stranger} got an answer");
            }
        }
        assert_eq!(send(node.same_family(service)).unwrap().ip(), service);
    }
}
