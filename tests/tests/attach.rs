//! How programs are attached: beside whom, to what, and in which variant.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, net::SocketAddr, time::Duration};

use abi::reason::DropReason;
use testbed::{
    agent::Agent,
    bed::{Bed, cluster_vip},
    foreign::XdpProgram,
    programs::Pins,
    traffic::{HttpServer, RequestLoop, http_get},
    world::Manifest,
};

const PATIENCE: Duration = Duration::from_secs(20);
const WEB: u16 = 80;

/// The workload `shop` serves as `web`, and lets the workload `web` and the client in.
fn world(bed: &Bed) -> String {
    let (shop, outside) = (bed.workload("shop"), bed.client("outside"));
    let manifest = Manifest::hosts(bed)
        .address_set("outside", &[outside])
        .backends("web", &[shop], 8080, &["shop"])
        .service("web", 1, WEB, "TCP", &[])
        .allow_only("shop", &["web", "outside"]);
    manifest.text().to_owned()
}

/// Policy and service of [`world`] work.
fn check_traffic(bed: &Bed) {
    for vip in cluster_vip(1).each().map(|vip| SocketAddr::new(vip, WEB)) {
        for client in [bed.workload("web"), bed.client("outside")] {
            assert_eq!(http_get(client, vip).unwrap().server, "shop");
        }
        let error = http_get(bed.workload("batch"), vip);
        assert!(error.is_err(), "the policy admits no other: {error:?}");
    }
}

/// The filters on an interface, a line each.
fn filters(bed: &Bed, interface: &str, direction: &str) -> Vec<String> {
    let list = format!("tc filter show dev {interface} {direction}");
    let text = bed.node().netns().shell(&list).unwrap();
    text.lines().filter(|line| line.contains(" handle ")).map(str::to_owned).collect()
}

/// The names of pinned links.
fn links(pins: &Pins) -> Vec<String> {
    let entries = fs::read_dir(pins.path().join("links")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Where clsact filters of ours are, and which.
const FILTERS: [(&str, &str, &str); 3] = [
    ("uplink0", "egress", "uplink_egress"),
    ("zg-shop", "ingress", "workload_ingress"),
    ("zg-shop", "egress", "workload_egress"),
];

#[test]
fn clsact_filters_do_all_that_links_do_and_are_replaced_in_place() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let mut agent = Agent::builder(&bed).kernel("clsact", true).start().unwrap();
    let _server = HttpServer::start(bed.workload("shop"), 8080).unwrap();
    agent.apply(&world(&bed)).unwrap().expect_success();
    check_traffic(&bed);
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("clsact-ingress") && !status.contains("tcx"), "{status}");

    let vip = SocketAddr::new(cluster_vip(1).v4.into(), WEB);
    let requests = RequestLoop::http(bed.workload("web"), vip, Duration::from_millis(1));
    for round in 1..=4 {
        if round % 2 == 0 {
            agent.kill9().unwrap();
        } else {
            agent.terminate().unwrap();
        }
        agent.start().unwrap();
        requests.wait_for(round * 50, PATIENCE).unwrap();
    }
    requests.stop().assert_none_failed();
    check_traffic(&bed);
    for (interface, direction, program) in FILTERS {
        let filters = filters(&bed, interface, direction);
        let [filter] = &filters[..] else { panic!("{interface} {direction}: {filters:?}") };
        assert!(filter.contains(program) && filter.contains("direct-action"), "{filter}");
    }
}

#[test]
fn a_teardown_removes_our_filters_and_no_others() {
    let bed = Bed::three_zones().unwrap();
    let node = bed.node().netns();
    node.shell(
        "tc qdisc add dev zg-shop clsact
         tc filter add dev zg-shop ingress pref 7 bpf bytecode '1,6 0 0 0'",
    )
    .unwrap();
    let mut agent = Agent::builder(&bed).kernel("clsact", true).start().unwrap();
    let shop = bed.workload("shop");
    let _server = HttpServer::start(shop, 8080).unwrap();
    agent.apply(&world(&bed)).unwrap().expect_success();
    assert_eq!(filters(&bed, "zg-shop", "ingress").len(), 2, "one of ours, one of theirs");
    agent.teardown().unwrap();
    for (interface, direction, program) in FILTERS {
        let filters = filters(&bed, interface, direction).concat();
        assert!(!filters.contains(program), "{interface} {direction}: {filters}");
    }
    let others = filters(&bed, "zg-shop", "ingress").concat();
    assert!(others.contains("bytecode"), "{others}");
    assert!(!node.shell("ip link show uplink0").unwrap().contains("prog/xdp"));
    for address in shop.sockets(8080) {
        http_get(bed.workload("batch"), address).unwrap();
    }
}

#[test]
fn the_logging_programs_say_what_they_drop() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::builder(&bed).argument("--log-datapath").start().unwrap();
    let _server = HttpServer::start(bed.workload("shop"), 8080).unwrap();
    agent.apply(&world(&bed)).unwrap().expect_success();
    let line = format!("dropped for reason {}", DropReason::PolicyIngress as u32);
    assert!(!agent.log().contains(&line), "before a packet is dropped");
    check_traffic(&bed);
    agent.wait_for_log(&line, PATIENCE).unwrap();
}

#[test]
fn abuse_42_an_xdp_program_of_somebody_else_stays() {
    let bed = Bed::three_zones().unwrap();
    let uplink = bed.node().interface();
    let foreign = XdpProgram::attach(bed.node().netns(), uplink).unwrap();
    let wire = "ip link add free0 type veth peer name free1; ip link set free0 up";
    bed.node().netns().shell(wire).unwrap();
    let pins = Pins::new();
    let start = |uplinks: &[&str]| {
        let builder = Agent::builder(&bed).uplinks(uplinks);
        builder.argument("--bpffs").argument(pins.path().to_str().unwrap()).start()
    };
    let error = format!("{:#}", start(&["free0", uplink]).unwrap_err());
    for part in [uplink, XdpProgram::NAME, &foreign.id().to_string(), "somebody else"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(foreign.is_attached().unwrap());
    assert_eq!(links(&pins), [""; 0], "left behind by a start that was refused");
    drop(start(&["free0"]).unwrap());
    let attached = ["free0-tcx-egress", "free0-tcx-ingress", "free0-xdp"];
    assert_eq!(links(&pins), attached);
    start(&["free0", uplink]).unwrap_err();
    assert_eq!(links(&pins), attached, "an earlier agent's links stay");
}

#[test]
fn abuse_42_a_second_agent_takes_nothing_from_the_first() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let _server = HttpServer::start(bed.workload("shop"), 8080).unwrap();
    agent.apply(&world(&bed)).unwrap().expect_success();
    let elsewhere = format!("{:#}", Agent::start_on(&bed).unwrap_err());
    assert!(elsewhere.contains("uplink_ingress"), "{elsewhere}");
    let bpffs = agent.bpffs().to_str().unwrap();
    let same = Agent::builder(&bed).argument("--bpffs").argument(bpffs).start();
    let same = format!("{:#}", same.unwrap_err());
    assert!(same.contains("another agent") && same.contains(bpffs), "{same}");
    check_traffic(&bed);
}

#[test]
fn abuse_20_an_uplink_with_larger_frames_than_xdp_takes_is_refused() {
    let bed = Bed::three_zones().unwrap();
    let wire =
        "ip link add jumbo0 mtu 9000 type veth peer name jumbo1 mtu 9000; ip link set jumbo0 up";
    bed.node().netns().shell(wire).unwrap();
    let error = Agent::builder(&bed).uplinks(&["jumbo0"]).start().unwrap_err();
    let error = format!("{error:#}");
    for part in ["jumbo0", "MTU is 9000", "xdp_generic"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    Agent::builder(&bed).uplinks(&["jumbo0"]).generic_xdp().start().unwrap();
}
