//! The node's own processes as clients of services, through real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Host, cluster_vip, external_vip},
    traffic::{
        HttpServer, LiveStream, RequestLoop, StreamServer, UdpServer, http_get, udp_exchange,
    },
    world::Manifest,
};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 80;
const NODE_PORT: u16 = 30_080;

/// Where a service is found: the kind of frontend, its address there, and what clients name.
fn places(bed: &Bed) -> Vec<(&'static str, IpAddr, SocketAddr)> {
    let vips = [("CLUSTER", cluster_vip(1)), ("LOAD_BALANCER", external_vip(1))];
    let vips = vips.into_iter().chain([("EXTERNAL", external_vip(2))]);
    let vips = vips.flat_map(|(kind, dual)| {
        dual.each().map(|address| (kind, address, SocketAddr::new(address, PORT)))
    });
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from([127, 1, 2, 3]),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let own = bed.node().addresses().each().into_iter().chain(loopback).map(|address| {
        let anywhere: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        ("NODE_PORT", anywhere, SocketAddr::new(address, NODE_PORT))
    });
    vips.chain(own).collect()
}

/// TCP at 8080 and UDP at 5353 on `backends`, and streams at 9000, at every place; those balancers
/// of `guarded` are for nobody here.
fn world(bed: &Bed, backends: &[&Host], guarded: bool) -> Manifest {
    let mut manifest = Manifest::hosts(bed);
    for (name, protocol, port, offset) in
        [("web", "TCP", 8080, 0), ("dns", "UDP", 5353, 0), ("stream", "TCP", 9000, 1)]
    {
        let mut frontends: Vec<Value> = Vec::new();
        for (kind, address, place) in places(bed) {
            let frontend = json!({
                "kind": kind, "address": address.to_string(), "protocol": protocol,
                "port": place.port() + offset,
            });
            if !frontends.contains(&frontend) {
                frontends.push(frontend);
            }
        }
        let ready: Vec<_> = backends.iter().map(|host| host.name()).collect();
        let ranges = if guarded { vec!["192.0.2.0/24"] } else { vec![] };
        manifest = manifest.backends(name, backends, port, &ready).with(
            "Service",
            json!({
                "name": name, "backendSet": name, "frontends": frontends,
                "sourceRanges": ranges,
            }),
        );
    }
    manifest
}

fn serve(host: &Host) -> (HttpServer, UdpServer) {
    (HttpServer::start(host, 8080).unwrap(), UdpServer::start(host, 5353).unwrap())
}

/// An IPv4 address as an IPv6 socket names it.
fn mapped(address: SocketAddr) -> Option<SocketAddr> {
    match address.ip() {
        IpAddr::V4(ip) => Some(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port())),
        IpAddr::V6(_) => None,
    }
}

/// A socket of the node that can send to this address.
fn udp(bed: &Bed, to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = bed.node().netns().run(|| UdpSocket::bind((any, 0))).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    socket
}

/// The server that answers a datagram, and the address that the answer seems to be from.
fn ask(socket: &UdpSocket, to: SocketAddr) -> io::Result<(String, SocketAddr)> {
    socket.send_to(b"question", to)?;
    receive(socket)
}

fn receive(socket: &UdpSocket) -> io::Result<(String, SocketAddr)> {
    let mut answer = [0; 200];
    let (length, from) = socket.recv_from(&mut answer)?;
    let text = String::from_utf8_lossy(&answer[..length]);
    let server = text.split_whitespace().find_map(|word| word.strip_prefix("server="));
    Ok((server.unwrap_or_default().to_owned(), from))
}

#[test]
fn every_kind_of_frontend_leads_to_backends_that_see_the_node() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    for backend in [bed.workload("shop"), bed.remote("zone-b-1")] {
        let _servers = serve(backend);
        agent.apply(world(&bed, &[backend], false).text()).unwrap().expect_success();
        for (kind, _, place) in places(&bed) {
            let what = format!("{kind} {place} to {}", backend.name());
            for reply in [http_get(bed.node(), place), udp_exchange(bed.node(), place, b"question")]
            {
                let reply = reply.unwrap_or_else(|error| panic!("{what}: {error:#}"));
                assert_eq!(reply.server, backend.name(), "{what}");
                assert!(reply.client_is_real(), "nothing is translated: {what}: {reply:?}");
            }
            for place in [Some(place), mapped(place)].into_iter().flatten() {
                let what = format!("{kind} {place} to {}", backend.name());
                let stream = bed.node().netns().run(|| TcpStream::connect(place)).expect(&what);
                assert_eq!(stream.peer_addr().unwrap(), place, "{what}");

                let socket = udp(&bed, place);
                let expected = (backend.name().to_owned(), place);
                for _ in 0..2 {
                    assert_eq!(ask(&socket, place).expect(&what), expected, "{what}");
                }
                socket.connect(place).expect(&what);
                for _ in 0..2 {
                    // Through an IPv6 socket this names the backend.
                    socket.send(b"question").expect(&what);
                    assert_eq!(receive(&socket).expect(&what), expected, "{what}");
                    assert_eq!(socket.peer_addr().unwrap(), place, "{what}");
                }
            }
        }
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(status.contains("cgroup") && status.contains("socket"), "{status}");
    assert!(!status.contains("socket_forgotten"), "{status}");
}

#[test]
fn other_network_namespaces_in_the_cgroup_are_left_alone() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (backend, pod) = (bed.remote("zone-b-1"), bed.workload("web"));
    let _servers = serve(backend);
    agent.apply(world(&bed, &[backend], false).text()).unwrap().expect_success();
    for (_, _, place) in places(&bed).into_iter().filter(|(kind, ..)| *kind == "NODE_PORT") {
        let reply = http_get(pod, place);
        if place.ip().is_loopback() {
            let error = format!("{:#}", reply.unwrap_err());
            assert!(error.contains("refused"), "{place}: {error}");
        } else {
            // The programs on its port translate packets, the source with them.
            assert_eq!(reply.unwrap().client.ip(), place.ip(), "{place}");
        }
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(!status.contains("socket"), "{status}");
}

#[test]
fn what_cannot_be_served_fails_at_once() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let node = bed.node().netns();
    let check = |place: SocketAddr, expected: io::ErrorKind| {
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let tcp = node.run(|| TcpStream::connect(place).map(drop));
        assert_eq!(kind(tcp), expected, "TCP to {place}");
        let socket = udp(&bed, place);
        assert_eq!(kind(socket.send_to(b"", place).map(drop)), expected, "a datagram to {place}");
        socket
    };
    agent.apply(world(&bed, &[], false).text()).unwrap().expect_success();
    for (_, _, place) in places(&bed) {
        let socket = check(place, io::ErrorKind::ConnectionRefused);
        assert_eq!(
            socket.connect(place).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused,
            "UDP to {place}"
        );
    }
    for address in cluster_vip(1).each() {
        check(SocketAddr::new(address, 7), io::ErrorKind::PermissionDenied);
    }
    let backend = bed.workload("shop");
    agent.apply(world(&bed, &[backend], true).text()).unwrap().expect_success();
    for address in external_vip(1).each() {
        check(SocketAddr::new(address, PORT), io::ErrorKind::PermissionDenied);
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    for reason in ["rejected", "no_frontend", "source_range"] {
        assert!(status.contains(reason), "{reason} is not in {status}");
    }
}

#[test]
fn datagrams_leave_a_backend_with_its_service() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (first, second) = (bed.workload("shop"), bed.remote("zone-b-1"));
    let _servers = [serve(first), serve(second)];
    agent.apply(world(&bed, &[first], false).text()).unwrap().expect_success();
    let places = cluster_vip(1).each().map(|address| SocketAddr::new(address, PORT));
    let sockets = places.map(|place| (udp(&bed, place), place));
    for backend in [first, second, first] {
        agent.apply(world(&bed, &[backend], false).text()).unwrap().expect_success();
        for (socket, place) in &sockets {
            let expected = (backend.name().to_owned(), *place);
            assert_eq!(ask(socket, *place).unwrap(), expected);
        }
    }
}

#[test]
fn connected_datagram_sockets_end_with_their_backend() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let agent = Agent::start_on(&bed).unwrap();
    let (first, second) = (bed.workload("shop"), bed.remote("zone-b-1"));
    let _servers = [serve(first), serve(second)];
    let _streams = StreamServer::start(first, 9000).unwrap();
    agent.apply(world(&bed, &[first], false).text()).unwrap().expect_success();
    let [v4, v6] = cluster_vip(1).each().map(|address| SocketAddr::new(address, PORT));
    let own = SocketAddr::new(bed.node().v4().into(), NODE_PORT);
    let sockets = [v4, v6, own, mapped(v4).unwrap()].map(|place| {
        let socket = udp(&bed, place);
        socket.connect(place).unwrap();
        socket.send(b"question").unwrap();
        assert_eq!(receive(&socket).unwrap().0, first.name());
        (socket, place)
    });
    // What no service led there is nobody's business, and TCP's ends tell each other.
    let direct = udp(&bed, v4);
    direct.connect(SocketAddr::new(first.v4().into(), 5353)).unwrap();
    let stream = LiveStream::open(bed.node(), SocketAddr::new(v4.ip(), PORT + 1)).unwrap();

    // Another one beside it is no reason.
    agent.apply(world(&bed, &[first, second], false).text()).unwrap().expect_success();
    std::thread::sleep(SECOND);
    for (socket, place) in &sockets {
        socket.send(b"question").unwrap();
        assert_eq!(receive(socket).unwrap(), (first.name().to_owned(), *place));
    }
    agent.apply(world(&bed, &[second], false).text()).unwrap().expect_success();
    agent.wait_for_log("ended UDP sockets whose backend is gone", 10 * SECOND).unwrap();
    for (socket, place) in &sockets {
        let error = receive(socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{place}: {error}");
        socket.connect(*place).unwrap();
        socket.send(b"question").unwrap();
        assert_eq!(receive(socket).unwrap(), (second.name().to_owned(), *place));
    }
    direct.send(b"question").unwrap();
    assert_eq!(receive(&direct).unwrap().0, first.name());
    stream.expect_progress(5, 10 * SECOND).unwrap();
}

#[test]
fn restarts_cost_no_request_and_leave_one_set_of_programs() {
    let bed = Bed::three_zones().unwrap();
    bed.warm_neighbours().unwrap();
    let mut agent = Agent::start_on(&bed).unwrap();
    let backend = bed.remote("zone-b-1");
    let _servers = (serve(backend), StreamServer::start(backend, 9000).unwrap());
    agent.apply(world(&bed, &[backend], false).text()).unwrap().expect_success();
    let [place, _] = cluster_vip(1).each().map(|address| SocketAddr::new(address, PORT));
    let stream = LiveStream::open(bed.node(), SocketAddr::new(place.ip(), PORT + 1)).unwrap();
    let connected = bed.node().netns().run(|| TcpStream::connect(place)).unwrap();
    let socket = udp(&bed, place);
    let requests = RequestLoop::http(bed.node(), place, Duration::from_millis(1));
    for round in 1..=4 {
        if round % 2 == 0 {
            agent.kill9().unwrap();
        } else {
            agent.terminate().unwrap();
        }
        ask(&socket, place).unwrap();
        agent.start().unwrap();
        requests.wait_for(round * 20, 20 * SECOND).unwrap();
        assert_eq!(ask(&socket, place).unwrap(), (backend.name().to_owned(), place));
        assert_eq!(connected.peer_addr().unwrap(), place);
    }
    requests.stop().assert_none_failed();
    stream.expect_progress(5, 10 * SECOND).unwrap();
    let sets = fs::read_dir(agent.bpffs().join("sets")).unwrap();
    let sets: Vec<_> = sets.map(|set| set.unwrap().path()).collect();
    let [set] = &sets[..] else { panic!("{sets:?}") };
    assert!(set.join("socket_connect4").exists(), "{}", set.display());

    agent.teardown().unwrap();
    let reply = http_get(bed.node(), place);
    assert!(reply.is_err(), "after the teardown: {reply:?}");
}

#[test]
fn sockets_are_left_alone_without_a_cgroup_and_another_file_system_is_refused() {
    let bed = Bed::three_zones().unwrap();
    let agent = Agent::builder(&bed).kernel("cgroup", "").start().unwrap();
    let backend = bed.workload("shop");
    let _servers = serve(backend);
    agent.apply(world(&bed, &[backend], false).text()).unwrap().expect_success();
    for address in cluster_vip(1).each() {
        let reply = http_get(bed.node(), SocketAddr::new(address, PORT));
        assert!(reply.is_err(), "{address}: {reply:?}");
    }
    let status = agent.cli(&["status"]).unwrap().expect_success();
    assert!(!status.contains("cgroup"), "{status}");
    let error = Agent::builder(&bed).kernel("cgroup", "/proc").start().unwrap_err();
    let error = format!("{error:#}");
    for part in ["/proc", "cgroup2", "kernel.cgroup"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}
