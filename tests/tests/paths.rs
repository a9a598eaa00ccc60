//! Ingress policy holds whatever path a packet takes to a workload: one without a hook of ours is
//! judged at the workload's own port.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::json;
use testbed::{
    agent::Agent,
    bed::Bed,
    netns::Netns,
    traffic::{HttpServer, LiveStream, StreamServer},
    world::Manifest,
};

const PATIENCE: Duration = Duration::from_secs(1);

/// A machine behind a path to the node that no program of ours is on.
struct Stranger {
    netns: Netns,
    addresses: [IpAddr; 2],
}

impl Stranger {
    /// Connected by `wire`, a script of `ip` that gives the node `way0` and the stranger `eth0`;
    /// `$STRANGER` is its namespace.
    fn new(bed: &Bed, name: &str, wire: &str) -> Self {
        let netns = Netns::create(&format!("{}-{name}", bed.name())).unwrap();
        let node = bed.node().netns();
        let wire = wire.replace("$STRANGER", netns.name());
        node.shell(&format!("set -e\n{wire}")).unwrap();
        node.shell(
            "set -e
             ip addr add 172.31.0.1/24 dev way0; ip addr add fd31::1/64 dev way0 nodad
             ip link set way0 up",
        )
        .unwrap();
        netns
            .shell(
                "set -e
                 ip link set lo up; ip link set eth0 up
                 ip addr add 172.31.0.2/24 dev eth0; ip addr add fd31::2/64 dev eth0 nodad
                 ip route add default via 172.31.0.1; ip route add default via fd31::1",
            )
            .unwrap();
        Self { netns, addresses: ["172.31.0.2", "fd31::2"].map(|it| it.parse().unwrap()) }
    }

    /// Whether a request is answered.
    fn reaches(&self, server: SocketAddr) -> bool {
        self.netns.run(|| {
            let Ok(mut stream) = TcpStream::connect_timeout(&server, PATIENCE) else {
                return false;
            };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
            let mut answer = String::new();
            stream.write_all(request).is_ok()
                && stream.read_to_string(&mut answer).is_ok()
                && answer.starts_with("HTTP/1.1 200")
        })
    }
}

/// The workload `shop` admits the stranger or nobody.
fn judge(bed: &Bed, agent: &Agent, stranger: &Stranger) {
    let shop = bed.workload("shop");
    let _server = HttpServer::start(shop, 8080).unwrap();
    let texts = stranger.addresses.map(|address| address.to_string());
    let world = |peers: &[&str]| {
        Manifest::hosts(bed)
            .with("AddressSet", json!({ "name": "stranger", "prefixes": texts }))
            .allow_only("shop", peers)
    };
    let open = Manifest::hosts(bed);
    agent.apply(open.text()).unwrap().expect_success();
    let reached = |expected: bool, what: &str| {
        for server in shop.sockets(8080) {
            assert_eq!(stranger.reaches(server), expected, "{server}: {what}");
        }
    };
    reached(true, "without a policy");
    agent.apply(world(&["web"]).text()).unwrap().expect_success();
    reached(false, "the policy admits another");
    agent.apply(world(&["stranger"]).text()).unwrap().expect_success();
    reached(true, "the policy admits it");
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("policy_ingress"), "{status}");
}

#[test]
fn by_a_second_nic() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let wire = "ip link add way0 type veth peer name eth0 netns $STRANGER";
    judge(&bed, &agent, &Stranger::new(&bed, "second", wire));
}

#[test]
fn through_an_overlay() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let wire = "ip link add under0 type veth peer name under0 netns $STRANGER
        ip addr add 172.30.0.1/24 dev under0; ip link set under0 up
        ip -n $STRANGER addr add 172.30.0.2/24 dev under0; ip -n $STRANGER link set under0 up
        ip link add way0 type vxlan id 7 dstport 4789 local 172.30.0.1 remote 172.30.0.2
        ip -n $STRANGER link add eth0 type vxlan id 7 dstport 4789 local 172.30.0.2 \\
            remote 172.30.0.1";
    judge(&bed, &agent, &Stranger::new(&bed, "overlay", wire));
}

#[test]
fn forwarded_by_the_host_from_a_bridge() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let wire = "ip link add way0 type bridge stp_state 0 forward_delay 0
        ip link add inner0 type veth peer name eth0 netns $STRANGER
        ip link set inner0 master way0 up";
    judge(&bed, &agent, &Stranger::new(&bed, "bridged", wire));
}

#[test]
fn a_change_cuts_exactly_the_flows_that_lost_permission() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let outside = bed.client("outside");
    let _server = StreamServer::start(shop, 9000).unwrap();
    let world = |peers: &[&str]| {
        Manifest::hosts(&bed).address_set("outside", &[outside]).allow_only("shop", peers)
    };
    agent.apply(world(&["web", "batch", "outside"]).text()).unwrap().expect_success();
    for server in shop.sockets(9000) {
        agent.apply(world(&["web", "batch", "outside"]).text()).unwrap().expect_success();
        let open = |host| LiveStream::open(host, server).unwrap();
        let (kept, lost, kept_too) = (open(web), open(batch), open(outside));
        for stream in [&kept, &lost, &kept_too] {
            stream.expect_progress(5, 5 * PATIENCE).unwrap();
        }
        agent.apply(world(&["web", "outside"]).text()).unwrap().expect_success();
        lost.expect_cut(PATIENCE / 2, 5 * PATIENCE).unwrap();
        for stream in [&kept, &kept_too] {
            stream.expect_progress(20, 5 * PATIENCE).unwrap();
        }
        // Nor does it come back while nothing changes.
        thread::sleep(PATIENCE);
        lost.expect_cut(PATIENCE / 2, 5 * PATIENCE).unwrap();
    }
}
