//! A client behind one NIC, a backend behind another: packets go from the one to the other, and their
//! replies back, without the kernel's forwarding; and by it where frames cannot be sent.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::json;
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip},
    netns::Netns,
    traffic::{HttpServer, LiveStream, StreamServer, http_get},
    wait,
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);
const FAR: &str = "zone-b-1";

/// A node with the uplinks `uplink0`, to the client, and `way0`, to the backend.
struct World {
    bed: Bed,
    agent: Agent,
    _servers: (HttpServer, StreamServer),
}

impl World {
    fn new() -> Self {
        let bed = Bed::builder()
            .node("node-a", "zone-a")
            .remote(FAR, "zone-b")
            .client("outside")
            .build()
            .unwrap();
        let far = bed.remote(FAR);
        connect(&bed, far);
        bed.warm_neighbours().unwrap();
        let agent = Agent::builder(&bed).uplinks(&["uplink0", "way0"]).start().unwrap();
        // The client is a pod elsewhere, and keeps its address.
        let prefixes = bed.client("outside").addresses().each();
        let bits = |it: IpAddr| if it.is_ipv4() { 32 } else { 128 };
        let prefixes = prefixes.map(|it| format!("{it}/{}", bits(it)));
        let mut manifest = Manifest::hosts(&bed).with(
            "Node",
            json!({ "name": "clients", "addresses": ["192.0.2.1"], "podPrefixes": prefixes }),
        );
        for (name, port, backend_port) in [("web", 80, 8080), ("stream", 90, 9000)] {
            let backends =
                BACKEND.map(|address| json!({ "address": address, "port": backend_port }));
            let frontends = cluster_vip(1)
                .each()
                .map(|it| json!({ "address": it, "port": port, "protocol": "TCP" }));
            manifest =
                manifest.with("BackendSet", json!({ "name": name, "backends": backends })).with(
                    "Service",
                    json!({ "name": name, "backendSet": name, "frontends": frontends }),
                );
        }
        agent.apply(manifest.text()).unwrap().expect_success();
        let at = |port| BACKEND.map(|it| SocketAddr::new(it.parse().unwrap(), port));
        let servers = (
            HttpServer::start_at(far, &at(8080), "far").unwrap(),
            StreamServer::start_at(far, &at(9000), "far").unwrap(),
        );
        Self { bed, agent, _servers: servers }
    }

    fn client(&self) -> &Host {
        self.bed.client("outside")
    }

    /// Requests by both address families; how many of their packets the kernel has forwarded.
    fn request(&self) -> Result<[u64; 2], String> {
        let mut forwarded = [0; 2];
        for (count, address) in forwarded.iter_mut().zip(cluster_vip(1).each()) {
            let before = kernel_forwarded(self.bed.node().netns(), address);
            let reply = http_get(self.client(), SocketAddr::new(address, 80))
                .map_err(|error| format!("{address}: {error:#}"))?;
            if reply.server != "far" || !reply.client_is_real() {
                return Err(format!("{address}: {reply:?}"));
            }
            *count = kernel_forwarded(self.bed.node().netns(), address) - before;
        }
        Ok(forwarded)
    }

    /// Requests until the kernel forwards what they consist of, or none of it.
    fn expect_by_kernel(&self, by_kernel: bool) {
        let problem = || match self.request() {
            Ok(forwarded) if forwarded.iter().all(|it| (*it > 0) == by_kernel) => None,
            other => Some(format!("{other:?}, {by_kernel}")),
        };
        if let Err(error) = wait::until(10 * SECOND, || Ok(problem())) {
            panic!("{error:#}\n{}", self.agent.cli(&["status"]).unwrap().expect_success());
        }
    }
}

/// The backend's addresses, beyond `way0`.
const BACKEND: [&str; 2] = ["172.31.0.2", "fd31::2"];

fn connect(bed: &Bed, far: &Host) {
    let node = bed.node().netns();
    node.shell(&format!("ip link add way0 type veth peer name way0 netns {}", far.netns().name()))
        .unwrap();
    for (netns, n) in [(node, 1), (far.netns(), 2)] {
        netns
            .shell(&format!(
                "ip addr add 172.31.0.{n}/24 dev way0; ip addr add fd31::{n}/64 dev way0 nodad
                 ip link set way0 gro_max_size 1 up"
            ))
            .unwrap();
    }
    // The kernel says that a veth takes frames if its other end was up when that began to poll.
    for netns in [node, far.netns()] {
        netns.shell("ethtool -K way0 tx off tso off gso off gro on").unwrap();
    }
    for address in bed.client("outside").addresses().each() {
        let via = if address.is_ipv4() { "172.31.0.1" } else { "fd31::1" };
        far.netns().shell(&format!("ip route replace {address} via {via}")).unwrap();
    }
}

/// Packets that the kernel has routed through a namespace.
fn kernel_forwarded(netns: &Netns, family: IpAddr) -> u64 {
    let script = if family.is_ipv4() {
        "awk '/^Ip: [0-9]/ { print $7 }' /proc/net/snmp"
    } else {
        "awk '/^Ip6OutForwDatagrams/ { print $2 }' /proc/net/snmp6"
    };
    netns.shell(script).unwrap().trim().parse().unwrap()
}

#[test]
fn both_directions_go_past_the_kernel() {
    let world = World::new();
    world.expect_by_kernel(false);
    let status = world.agent.cli(&["status"]).unwrap().expect_success();
    for reason in ["no_route", "flow_race", "rewrite", "handover"] {
        assert!(!status.contains(reason), "{reason}: {status}");
    }
}

/// A veth whose other end does not poll takes no frames.
#[test]
fn the_kernel_forwards_to_a_nic_that_takes_no_frames() {
    let world = World::new();
    world.expect_by_kernel(false);
    let far = world.bed.remote(FAR).netns();
    far.shell("ethtool -K way0 gro off").unwrap();
    world.expect_by_kernel(true);
    far.shell("ethtool -K way0 gro on").unwrap();
    world.expect_by_kernel(false);
}

/// Flows remember neighbours, and not for longer than their routes are in force.
#[test]
fn live_connections_follow_routes() {
    let world = World::new();
    world.expect_by_kernel(false);
    let node = world.bed.node().netns();
    for (address, client) in
        cluster_vip(1).each().into_iter().zip(world.client().addresses().each())
    {
        let stream = LiveStream::open(world.client(), SocketAddr::new(address, 90)).unwrap();
        stream.expect_progress(50, 5 * SECOND).unwrap();
        let bits = if client.is_ipv4() { 32 } else { 128 };
        node.shell(&format!("ip route add blackhole {client}/{bits}")).unwrap();
        stream.expect_cut(SECOND, 2 * SECOND).unwrap();
        node.shell(&format!("ip route del blackhole {client}/{bits}")).unwrap();
        stream.expect_progress(50, 10 * SECOND).unwrap();
        assert_eq!(stream.failure(), None);
    }
    world.expect_by_kernel(false);
}
