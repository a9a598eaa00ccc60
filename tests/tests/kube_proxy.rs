//! A node that takes over from kube-proxy: transfers go on, what kube-proxy has left goes, and a
//! kube-proxy may come back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip},
    traffic::{StreamServer, Transfer},
    world::Manifest,
};

const SERVICE: u8 = 7;
const PORT: u16 = 9000;
const STEP: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// What kube-proxy's nftables mode writes for one service with one endpoint.
fn rules(family: &str, service: std::net::IpAddr, endpoint: SocketAddr) -> String {
    let address = if family == "ip" { "ipv4_addr" } else { "ipv6_addr" };
    let chain = "service-ABCDEFGH-bed/shop/tcp/p";
    format!(
        "\
table {family} kube-proxy {{
  map service-ips {{
    type {address} . inet_proto . inet_service : verdict
    elements = {{ {service} . tcp . {PORT} : goto {chain} }}
  }}
  chain endpoint-ABCDEFGH {{
    meta l4proto tcp dnat to {endpoint}
  }}
  chain {chain} {{
    numgen random mod 1 vmap {{ 0 : goto endpoint-ABCDEFGH }}
  }}
  chain services {{
    {family} daddr . meta l4proto . th dport vmap @service-ips
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority -100;
    jump services
  }}
  chain nat-output {{
    type nat hook output priority -100;
    jump services
  }}
}}
"
    )
}

/// Has the node translate as with a kube-proxy.
fn install(bed: &Bed, server: &Host) {
    let [v4, v6] = cluster_vip(SERVICE).each();
    let [at4, at6] = server.sockets(PORT);
    let rules = rules("ip", v4, at4) + &rules("ip6", v6, at6);
    bed.node().netns().shell(&format!("nft -f - <<'END'\n{rules}END")).unwrap();
}

fn tables(bed: &Bed) -> String {
    bed.node().netns().shell("nft list tables").unwrap()
}

fn world(bed: &Bed, server: &Host) -> Manifest {
    let manifest = Manifest::hosts(bed).backends("shop", &[server], PORT, &[server.name()]);
    manifest.service("shop", SERVICE, PORT, "TCP", &[])
}

fn start(from: &Host) -> [Transfer; 2] {
    cluster_vip(SERVICE).each().map(|it| Transfer::start(from, (it, PORT).into()).unwrap())
}

#[track_caller]
fn go_on(transfers: &[Transfer], when: &str) {
    for transfer in transfers {
        let moved = transfer.expect_progress(STEP, PATIENCE);
        moved.unwrap_or_else(|error| panic!("{when}: {error:#}"));
    }
}

const CLEANUP: [&str; 2] = ["doctor", "--cleanup-kube-proxy"];

fn clean_up(agent: &Agent) -> String {
    agent.cli(&[CLEANUP[0], CLEANUP[1], "--yes"]).unwrap().expect_success()
}

#[test]
fn transfers_survive_the_change_from_kube_proxy_and_back() {
    let bed = Bed::three_zones().unwrap();
    let (web, shop) = (bed.workload("web"), bed.workload("shop"));
    let _server = StreamServer::start(shop, PORT).unwrap();
    install(&bed, shop);
    let old = start(web);
    go_on(&old, "with kube-proxy");

    let mut agent = Agent::builder(&bed).kernel("midstream", "kernel").start().unwrap();
    go_on(&old, "with an agent that knows nothing");
    let refused = agent.cli(&CLEANUP).unwrap().expect_failure();
    assert!(refused.contains("the agent is not ready"), "{refused}");
    agent.apply(Manifest::hosts(&bed).text()).unwrap().expect_success();
    let refused = agent.cli(&[CLEANUP[0], CLEANUP[1], "--yes"]).unwrap().expect_failure();
    assert!(refused.contains("the agent does not have"), "{refused}");
    agent.apply(world(&bed, shop).text()).unwrap().expect_success();
    go_on(&old, "with the service in both");

    let shown = agent.cli(&CLEANUP).unwrap().expect_success();
    for line in ["table ip kube-proxy", "table ip6 kube-proxy", "nothing was removed"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(tables(&bed).contains("table ip kube-proxy"), "a dry run");
    let removed = clean_up(&agent);
    assert!(removed.contains("table ip6 kube-proxy"), "{removed}");
    assert!(!tables(&bed).contains("kube-proxy"), "{}", tables(&bed));
    go_on(&old, "without kube-proxy's rules");
    let new = start(web);
    go_on(&new, "through the agent alone");
    for transfer in old {
        transfer.finish().unwrap();
    }
    clean_up(&agent);
    assert_eq!(tables(&bed), "", "nothing is left");
    let nothing = agent.cli(&CLEANUP).unwrap().expect_success();
    assert!(nothing.contains("nothing is left of a kube-proxy"), "{nothing}");
    go_on(&new, "without any rules");

    install(&bed, shop);
    go_on(&new, "with kube-proxy's rules again");
    for transfer in new {
        transfer.finish().unwrap();
    }
    agent.teardown().unwrap();
    let newer = start(web);
    go_on(&newer, "with kube-proxy alone again");
    for transfer in newer {
        transfer.finish().unwrap();
    }
}

#[test]
fn chains_and_interfaces_of_kube_proxy_go_and_others_stay() {
    let bed = Bed::three_zones().unwrap();
    let shop = bed.workload("shop");
    let agent = Agent::start_on(&bed).unwrap();
    agent.apply(world(&bed, shop).text()).unwrap().expect_success();
    let [v4, v6] = cluster_vip(SERVICE).each();
    let rules = |address| {
        format!(
            "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\n\
             :OTHERS - [0:0]\n\
             -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -A PREROUTING -j OTHERS\n\
             -A KUBE-SERVICES -d {address} -p tcp -m comment --comment \"bed/shop cluster IP\" \
             -m tcp --dport {PORT} -j KUBE-SVC-A\nCOMMIT\n"
        )
    };
    let variants = [
        ("iptables-nft", v4),
        ("ip6tables-nft", v6),
        ("iptables-legacy", v4),
        ("ip6tables-legacy", v6),
    ];
    let node = bed.node().netns();
    for (variant, address) in variants {
        let text = rules(address);
        node.shell(&format!("{variant}-restore --noflush <<'END'\n{text}END")).unwrap();
    }
    // Of any type: not every kernel has dummies.
    node.shell("ip link add kube-ipvs0 type veth").unwrap();
    let shown = clean_up(&agent);
    assert!(shown.contains("iptables-nft: nat: chains KUBE-SERVICES, KUBE-SVC-A"), "{shown}");
    for (variant, _) in variants {
        let rules = node.shell(&format!("{variant}-save -t nat")).unwrap();
        for gone in ["KUBE-SERVICES", "KUBE-SVC-A"] {
            assert!(!rules.contains(gone), "{variant}: {rules}");
        }
        for kept in [":KUBE-KUBELET-CANARY", "-A PREROUTING -j OTHERS"] {
            assert!(rules.contains(kept), "{variant}: {rules}");
        }
    }
    assert!(node.shell("ip link show kube-ipvs0").is_err());
}
