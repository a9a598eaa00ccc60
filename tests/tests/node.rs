//! A node with real traffic: services, policy, restarts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host},
    traffic::{
        HttpServer, LiveStream, RequestLoop, StreamServer, UdpServer, http_get, udp_exchange,
    },
    world::{Manifest, vips},
};

const SECOND: Duration = Duration::from_secs(1);
const WEB: u16 = 80;
const DNS: u16 = 53;

/// The service `web` (TCP) and `dns` (UDP) on these hosts, all ready.
fn services(bed: &Bed, hosts: &[&Host], preference: &[&str]) -> Manifest {
    let ready: Vec<_> = hosts.iter().map(|host| host.name()).collect();
    Manifest::hosts(bed)
        .backends("web", hosts, 8080, &ready)
        .service("web", 1, WEB, "TCP", preference)
        .backends("dns", hosts, 5353, &ready)
        .service("dns", 2, DNS, "UDP", preference)
}

fn serve(hosts: &[&Host]) -> Vec<(HttpServer, UdpServer)> {
    let server = |host: &&Host| {
        (HttpServer::start(host, 8080).unwrap(), UdpServer::start(host, 5353).unwrap())
    };
    hosts.iter().map(server).collect()
}

#[test]
fn services_are_reached_by_workloads_and_outsiders_on_local_and_remote_backends() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    for backend in [bed.workload("shop"), bed.remote("zone-b-1")] {
        let _servers = serve(&[backend]);
        agent.apply(services(&bed, &[backend], &[]).text()).unwrap().expect_success();
        for client in [bed.workload("web"), bed.client("outside")] {
            for (http, dns) in vips(1).into_iter().zip(vips(2)) {
                let what = format!("{} to {http} and {dns} on {}", client.name(), backend.name());
                let reply = http_get(client, SocketAddr::new(http, WEB));
                assert_eq!(reply.expect(&what).server, backend.name(), "{what}");
                let reply = udp_exchange(client, SocketAddr::new(dns, DNS), b"question");
                let reply = reply.expect(&what);
                assert_eq!((&*reply.server, &*reply.payload), (backend.name(), &b"question"[..]));
            }
        }
    }
}

#[test]
fn fragments_go_where_the_first_went() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let question = [b'q'; 4000];
    for backend in [bed.workload("shop"), bed.remote("zone-b-1")] {
        let _servers = serve(&[backend]);
        agent.apply(services(&bed, &[backend], &[]).text()).unwrap().expect_success();
        for client in [bed.workload("web"), bed.workload("shop"), bed.client("outside")] {
            for vip in vips(2) {
                let what = format!("{} to {vip} on {}", client.name(), backend.name());
                let reply = udp_exchange(client, SocketAddr::new(vip, DNS), &question);
                assert_eq!(reply.expect(&what).payload, question, "{what}");
            }
        }
    }
    let [web, shop] = [bed.workload("web"), bed.workload("shop")];
    let _server = UdpServer::start(shop, 5353).unwrap();
    let only = |peer| Manifest::hosts(&bed).allow_only("shop", &[peer]);
    for address in shop.sockets(5353) {
        agent.apply(only("web").text()).unwrap().expect_success();
        assert_eq!(udp_exchange(web, address, &question).unwrap().payload, question);
        agent.apply(only("batch").text()).unwrap().expect_success();
        assert!(udp_exchange(web, address, &question).is_err(), "{address}");
    }
}

#[test]
fn a_workload_reaches_itself_through_its_service() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let shop = bed.workload("shop");
    let _servers = serve(&[shop]);
    agent.apply(services(&bed, &[shop], &[]).text()).unwrap().expect_success();
    for vip in vips(1) {
        assert_eq!(http_get(shop, SocketAddr::new(vip, WEB)).unwrap().server, "shop");
    }
}

#[test]
fn a_service_without_backends_refuses_at_once() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    agent.apply(services(&bed, &[], &[]).text()).unwrap().expect_success();
    for client in [bed.workload("web"), bed.client("outside")] {
        let check = |vip, error: anyhow::Error| {
            assert!(format!("{error:#}").contains("refused"), "{} {vip}: {error:#}", client.name());
        };
        for vip in vips(1) {
            check(vip, http_get(client, SocketAddr::new(vip, WEB)).unwrap_err());
        }
        // The ICMP answer is larger than the first of these, and smaller than the last.
        for payload in [&b""[..], b"question", &[b'q'; 1000]] {
            for vip in vips(2) {
                check(vip, udp_exchange(client, SocketAddr::new(vip, DNS), payload).unwrap_err());
            }
        }
    }
}

#[test]
fn load_balancers_learn_whether_the_node_has_ready_backends() {
    let bed = Bed::three_zones().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let (shop, port) = (bed.workload("shop"), 32_100);
    let manifest = |node: &str| {
        let backends: Vec<_> = shop
            .sockets(8080)
            .iter()
            .map(|socket| json!({ "address": socket.ip().to_string(), "port": 8080, "node": node }))
            .collect();
        let frontend = json!({ "address": vips(1)[0].to_string(), "port": WEB, "protocol": "TCP", "kind": "LOAD_BALANCER" });
        Manifest::hosts(&bed)
            .with("BackendSet", json!({ "name": "web", "backends": backends }))
            .with(
                "Service",
                json!({
                    "name": "x/web:80",
                    "frontends": [frontend],
                    "backendSet": "web",
                    "externalTrafficPolicy": "LOCAL",
                    "healthCheckNodePort": port,
                }),
            )
    };
    let outside = bed.client("outside");
    let becomes = |expected: &str| {
        let deadline = Instant::now() + 5 * SECOND;
        for address in bed.node().addresses().each() {
            let ask = || status_line(SocketAddr::new(address, port)).unwrap_or_default();
            while !outside.netns().run(ask).contains(expected) {
                assert!(Instant::now() < deadline, "{address} does not say {expected}");
            }
        }
    };
    agent.apply(manifest(bed.node().name()).text()).unwrap().expect_success();
    agent.restart().unwrap();
    becomes("200 OK");
    agent.apply(manifest("zone-b-1").text()).unwrap().expect_success();
    becomes("503 Service Unavailable");
}

#[test]
fn what_crosses_zones_is_counted_and_a_restart_counts_nothing_twice() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let (web, far) = (bed.workload("web"), bed.remote("zone-b-1"));
    let _servers = serve(&[far]);
    agent.apply(services(&bed, &[far], &[]).text()).unwrap().expect_success();
    let traffic = |agent: &Agent| -> Vec<Value> {
        let json = agent.cli(&["get", "zones", "web", "-o", "json"]).unwrap().expect_success();
        let json: Value = serde_json::from_str(&json).unwrap();
        json["traffic"].as_array().unwrap().clone()
    };
    let counted = |agent: &Agent, fewest: u64| {
        let deadline = Instant::now() + 20 * SECOND;
        loop {
            let all = traffic(agent);
            let packets = |it: &Value| it["packets"].as_str().unwrap().parse::<u64>().unwrap();
            let sum: u64 = all.iter().map(packets).sum();
            if sum >= fewest {
                return (all, sum);
            }
            assert!(Instant::now() < deadline, "{sum} of {fewest} packets: {all:?}");
            thread::sleep(SECOND / 10);
        }
    };
    let requests = 5;
    for _ in 0..requests {
        for vip in vips(1) {
            http_get(web, SocketAddr::new(vip, WEB)).unwrap();
        }
    }
    // Two passes later all of them are counted. A request takes at least four packets: a SYN, an
    // acknowledgement, the question and a FIN.
    thread::sleep(11 * SECOND);
    let (all, before) = counted(&agent, 4 * 4 * requests);
    for entry in &all {
        assert_eq!(entry["fromZone"], bed.node().zone(), "{entry}");
        assert_eq!(entry["toZone"], far.zone(), "{entry}");
        let bytes = |field: &str| entry[field].as_str().unwrap().parse::<u64>().unwrap();
        assert!(bytes("bytes") > 0 && bytes("replyBytes") > 0, "{entry}");
    }
    agent.restart().unwrap();
    http_get(web, SocketAddr::new(vips(1)[0], WEB)).unwrap();
    // Again two passes: what the first agent counted would be twenty times as much.
    thread::sleep(11 * SECOND);
    let (_, after) = counted(&agent, 4);
    assert!(after * 4 < before, "{after} packets of one request, {before} of twenty");
}

/// The first line of what an HTTP server says.
fn status_line(server: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, SECOND)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn clients_of_a_service_learn_how_large_packets_on_the_way_may_be() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    // Behind a router with a narrow way on, which says so to whom packets come from.
    let (router, backend) = (bed.remote("zone-a-1"), bed.remote("zone-b-1"));
    router.netns().sysctl([("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]).unwrap();
    for address in backend.addresses().each() {
        let (gateway, uplink) = (router.same_family(address), bed.node().interface());
        let way = format!("route add {address} via {gateway} dev {uplink}");
        bed.node().netns().ip(&[way]).unwrap();
        let narrow = format!("route add {address} dev {} mtu 1300", router.interface());
        router.netns().ip(&[narrow]).unwrap();
    }
    let agent = Agent::start_on(&bed).unwrap();
    let _servers = serve(&[backend]);
    agent.apply(services(&bed, &[backend], &[]).text()).unwrap().expect_success();
    let question = [b'q'; 1400];
    for client in [bed.workload("web"), bed.client("outside")] {
        for vip in vips(2).into_iter().map(|vip| SocketAddr::new(vip, DNS)) {
            let what = format!("{} to {vip}", client.name());
            // The first is lost; from then on the client cuts up what is too large.
            let error = udp_exchange(client, vip, &question).unwrap_err();
            assert!(format!("{error:#}").contains("too long"), "{what}: {error:#}");
            assert_eq!(udp_exchange(client, vip, &question).expect(&what).payload, question);
        }
    }
}

#[test]
fn the_nearest_zone_answers_and_live_connections_stay() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let hosts = [bed.remote("zone-a-1"), bed.remote("zone-b-1"), bed.remote("zone-c-1")];
    let _servers = serve(&hosts);
    let _streams: Vec<_> =
        hosts.iter().map(|host| StreamServer::start(host, 9000).unwrap()).collect();
    let all = ["zone-a-1", "zone-b-1", "zone-c-1"];
    let world = |ready: &[&str]| {
        Manifest::hosts(&bed)
            .backends("web", &hosts, 8080, ready)
            .service("web", 1, WEB, "TCP", &["ZONE", "ANY"])
            .backends("stream", &hosts, 9000, ready)
            .service("stream", 3, 9000, "TCP", &["ZONE", "ANY"])
    };
    let web = bed.workload("web");
    let zone = |vip| http_get(web, SocketAddr::new(vip, WEB)).unwrap().zone;
    agent.apply(world(&all).text()).unwrap().expect_success();
    let live = LiveStream::open(web, SocketAddr::new(vips(3)[0], 9000)).unwrap();
    assert_eq!(live.greeting().zone, "zone-a");
    for vip in vips(1) {
        assert!((0..8).all(|_| zone(vip) == "zone-a"));
    }
    agent.apply(world(&all[1..]).text()).unwrap().expect_success();
    for vip in vips(1) {
        assert!((0..8).all(|_| zone(vip) != "zone-a"));
    }
    live.expect_progress(20, 5 * SECOND).unwrap();
    agent.apply(world(&all).text()).unwrap().expect_success();
    assert_eq!(zone(vips(1)[0]), "zone-a");
    live.expect_progress(20, 5 * SECOND).unwrap();
}

#[test]
fn policy_admits_by_peer_and_cuts_live_connections_when_it_changes() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (web, batch, shop) = (bed.workload("web"), bed.workload("batch"), bed.workload("shop"));
    let _http = HttpServer::start(shop, 8080).unwrap();
    let _stream = StreamServer::start(shop, 9000).unwrap();
    let allow = |peers: &[&str]| Manifest::hosts(&bed).allow_only("shop", peers);

    agent.apply(allow(&["web"]).text()).unwrap().expect_success();
    for address in shop.sockets(8080) {
        http_get(web, address).unwrap();
        for denied in [batch, bed.remote("zone-a-1"), bed.client("outside")] {
            assert!(http_get(denied, address).is_err(), "{} reached {address}", denied.name());
        }
        // A node is never cut from its own workloads.
        http_get(bed.node(), address).unwrap();
    }
    for address in shop.sockets(9000) {
        agent.apply(allow(&["web"]).text()).unwrap().expect_success();
        let live = LiveStream::open(web, address).unwrap();
        live.expect_progress(5, 5 * SECOND).unwrap();
        agent.apply(allow(&["spare"]).text()).unwrap().expect_success();
        live.expect_cut(SECOND / 2, 5 * SECOND).unwrap();
    }
    // Replies of what the isolated workload opens come back.
    let _server = HttpServer::start(web, 8081).unwrap();
    for address in web.sockets(8081) {
        http_get(shop, address).unwrap();
    }
}

#[test]
fn ten_restarts_cost_no_request() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let backends = [bed.workload("shop"), bed.remote("zone-a-1")];
    let _servers = serve(&backends);
    agent.apply(services(&bed, &backends, &[]).text()).unwrap().expect_success();
    let load: Vec<_> = [bed.workload("web"), bed.client("outside")]
        .into_iter()
        .map(|client| {
            RequestLoop::http(client, SocketAddr::new(vips(1)[0], WEB), Duration::from_millis(1))
        })
        .collect();
    for round in 0..10 {
        if round % 2 == 0 {
            agent.kill9().unwrap();
        } else {
            agent.terminate().unwrap();
        }
        agent.start().unwrap();
        for requests in &load {
            requests.wait_for((round + 1) * 50, 20 * SECOND).unwrap();
        }
    }
    let reports: Vec<_> = load.into_iter().map(RequestLoop::stop).collect();
    for report in &reports {
        report.assert_none_failed();
    }
    let answered: u64 = reports.iter().map(|report| report.answered).sum();
    assert!(answered >= 1000, "{answered} requests");
    // TCP would make good for packets that were between two sets of programs.
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("established") && !status.contains("missing_program"), "{status}");
    // The restarted agent knows what it had.
    let kept = agent.cli(&["get", "services"]).unwrap().expect_success();
    assert!(kept.contains("web") && kept.contains("dns"), "{kept}");
}
