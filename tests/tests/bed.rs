//! The test bed itself: it joins what it says, carries real traffic, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    panic,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use testbed::{
    bed::{Bed, Host},
    capture::Capture,
    netns::{self, Netns},
    packet::{self, assert_packet_eq, verify_checksums},
    traffic::{
        HttpServer, LiveStream, RequestLoop, StreamServer, UdpServer, http_get, udp_exchange,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A workload, a remote with a pod, and a client: one of each kind.
fn small_bed() -> Bed {
    let bed = Bed::builder()
        .node("node-a", "zone-a")
        .workload("web")
        .workload("shop")
        .remote_with_pods("zone-b-1", "zone-b", 2)
        .client("outside")
        .build();
    bed.unwrap()
}

#[test]
fn everybody_reaches_everybody_over_tcp_and_udp() {
    let bed = small_bed();
    let (web, shop) = (bed.workload("web"), bed.workload("shop"));
    let (remote, client) = (bed.remote("zone-b-1"), bed.client("outside"));
    let hosts = [web, shop, remote, client, bed.node()];
    let servers: Vec<_> = hosts
        .iter()
        .map(|host| (HttpServer::start(host, 80).unwrap(), UdpServer::start(host, 53).unwrap()))
        .collect();

    for from in hosts {
        for to in hosts {
            for address in to.addresses().each() {
                let http = http_get(from, SocketAddr::new(address, 80)).unwrap();
                assert_eq!((&*http.server, &*http.zone), (to.name(), to.zone()));
                assert!(http.client_is_real(), "{http:?}");
                let udp = udp_exchange(from, SocketAddr::new(address, 53), b"payload").unwrap();
                assert_eq!((&*udp.server, &*udp.payload), (to.name(), &b"payload"[..]));
                assert!(udp.client_is_real(), "{udp:?}");
            }
        }
    }
    assert!(servers.iter().all(|(http, _)| http.answered() == 10));
}

#[test]
fn remote_pods_answer_at_their_own_addresses() {
    let bed = small_bed();
    let remote = bed.remote("zone-b-1");
    let addresses = remote.pod(1).each().map(|ip| SocketAddr::new(ip, 8080));
    let _http = HttpServer::start_at(remote, &addresses, "pod").unwrap();
    let _udp = UdpServer::start_at(remote, &addresses, "pod").unwrap();
    for from in [bed.workload("web"), bed.node(), bed.client("outside")] {
        for address in addresses {
            assert_eq!(http_get(from, address).unwrap().server, "pod");
            assert_eq!(udp_exchange(from, address, b"").unwrap().server, "pod");
        }
    }
}

#[test]
fn beds_with_the_same_addresses_run_side_by_side() {
    let (ready, start) = (mpsc::channel(), Instant::now());
    thread::scope(|scope| {
        for zone in ["zone-x", "zone-y"] {
            let ready = ready.0.clone();
            scope.spawn(move || {
                let bed = Bed::builder().node("node", zone).workload("web").remote("far", zone);
                let bed = bed.build().unwrap();
                let _server = HttpServer::start(bed.remote("far"), 80).unwrap();
                ready.send(()).unwrap();
                for address in bed.remote("far").sockets(80) {
                    assert_eq!(http_get(bed.workload("web"), address).unwrap().zone, zone);
                }
            });
        }
    });
    assert_eq!(ready.1.try_iter().count(), 2, "after {:?}", start.elapsed());
}

#[test]
fn three_zones_are_up_in_no_time() {
    let start = Instant::now();
    let bed = Bed::three_zones().unwrap();
    let took = start.elapsed();
    assert!(took < 2 * SECOND, "{took:?}");
    bed.warm_neighbours().unwrap();
    let known = bed.node().netns().shell("ip neigh show dev uplink0").unwrap();
    let remotes_and_client = 2 * (6 + 1);
    assert!(known.matches("lladdr").count() >= remotes_and_client, "{known}");
}

#[test]
fn a_panic_leaves_nothing_behind() {
    let (names, panicked) = mpsc::channel();
    let result = panic::catch_unwind(|| {
        let bed = small_bed();
        let _server = HttpServer::start(bed.workload("web"), 80).unwrap();
        let _stream = StreamServer::start(bed.remote("zone-b-1"), 81).unwrap();
        names.send(bed.name().to_owned()).unwrap();
        bed.workload("misspelt");
    });
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(message, r#"the bed has no "misspelt", only ["web", "shop"]"#);
    let name = panicked.recv().unwrap();
    assert_eq!(namespaces_of(&name), Vec::<String>::new());
}

#[test]
fn sweeping_removes_what_dead_processes_left() {
    // Above the largest pid_max.
    let orphan = Netns::create("zg-99999999-0-orphan").unwrap();
    let own = small_bed();
    let mut inside = orphan.command("sleep").arg("60").spawn().unwrap();
    while fs::read_link(format!("/proc/{}/ns/net", inside.id())).unwrap()
        == fs::read_link("/proc/self/ns/net").unwrap()
    {
        thread::yield_now();
    }
    netns::sweep().unwrap();
    assert!(!orphan.path().exists());
    assert!(!inside.wait().unwrap().success(), "killed, not ended by itself");
    assert_eq!(namespaces_of(own.name()).len(), 6, "living ones stay");
}

#[test]
fn the_wire_carries_full_checksums_and_whole_frames() {
    let bed = small_bed();
    let (web, remote) = (bed.workload("web"), bed.remote("zone-b-1"));
    let _server = UdpServer::start(remote, 53).unwrap();
    let _stream = StreamServer::start(remote, 81).unwrap();
    for (udp, tcp) in remote.sockets(53).into_iter().zip(remote.sockets(81)) {
        let places = [
            ("remote", remote.capture().unwrap()),
            ("its port", Capture::open(remote.port_netns(), remote.port()).unwrap()),
            ("the uplink's port", Capture::open(bed.fabric(), bed.node().port()).unwrap()),
        ];
        udp_exchange(web, udp, &[7; 1000]).unwrap();
        LiveStream::open(web, tcp).unwrap().expect_progress(5, SECOND).unwrap();
        // A burst that the workload's stack hands over as segments of up to 64 KiB.
        let sink = remote.netns().run(|| std::net::TcpListener::bind((tcp.ip(), 82)).unwrap());
        web.netns().run(|| {
            use std::io::{Read, Write};
            let mut out = std::net::TcpStream::connect(sink.local_addr().unwrap()).unwrap();
            let mut received = sink.accept().unwrap().0;
            let reader = thread::spawn(move || {
                let mut all = Vec::new();
                received.read_to_end(&mut all).unwrap();
                all.len()
            });
            out.write_all(&vec![9; 300_000]).unwrap();
            drop(out);
            assert_eq!(reader.join().unwrap(), 300_000);
        });

        for (place, capture) in places {
            let seen = capture.collect_both(SECOND / 10).unwrap();
            assert!(seen.len() > 200, "{place}: {}", seen.len());
            for captured in seen {
                assert!(captured.checksum_filled, "{place}: {captured:?}");
                assert!(captured.frame.len() <= 1514, "{place}: {captured:?}");
                assert_eq!(verify_checksums(&captured.frame), Ok(()), "{place}: {captured:?}");
            }
        }
    }
}

#[test]
fn a_socket_receives_what_the_builder_builds_unless_a_checksum_is_wrong() {
    let bed = small_bed();
    let (client, remote) = (bed.client("outside"), bed.remote("zone-b-1"));
    bed.warm_neighbours().unwrap();
    for address in remote.addresses().each() {
        let socket = receiver(remote, address);
        let to = socket.local_addr().unwrap();
        let from = SocketAddr::new(client.same_family(address), 4000);
        let wire = client.capture().unwrap();
        let datagram = packet::udp(from, to).ethernet(client.mac(), bed.node().mac());
        let mut buffer = [0; 2000];

        for payload in [&b""[..], b"odd", &[0xff; 1400]] {
            wire.inject(datagram.clone().payload(payload).build()).unwrap();
            let (length, source) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], source), (payload, from));
        }
        for fragment in datagram.clone().payload([5; 1800]).build_fragments(1024) {
            wire.inject(fragment).unwrap();
        }
        assert_eq!(socket.recv(&mut buffer).unwrap(), 1800);

        wire.inject(datagram.clone().payload(b"bad").wrong_checksum().build()).unwrap();
        wire.inject(datagram.payload(b"good").build()).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"good");
    }
}

#[test]
fn captures_see_injected_frames_as_they_are() {
    let bed = small_bed();
    let web = bed.workload("web");
    let (from, to): (SocketAddr, SocketAddr) =
        (SocketAddr::new(web.v4().into(), 1), SocketAddr::new(bed.node().v4().into(), 2));
    let base = packet::udp(from, to).ethernet(web.mac(), web.port_mac());
    let port = Capture::open(web.port_netns(), web.port()).unwrap();
    let wire = web.capture().unwrap();
    let cases = [
        ("tagged", base.clone().vlan(7).build()),
        ("twice tagged", base.clone().qinq(100, 7).build()),
        ("wrong checksum", base.clone().wrong_checksum().build()),
        ("short", base.clone().truncate(14).build()),
    ];
    for (what, frame) in cases {
        wire.inject(&frame).unwrap();
        let seen = port.wait_for(SECOND, |frame| frame[6..12] == web.mac()).expect(what);
        assert_packet_eq(&frame, &seen.frame);
    }
    let error = port.wait_for(SECOND / 50, |_| false).unwrap_err().to_string();
    assert!(error.contains("no such frame on zg-web"), "{error}");
}

#[test]
fn streams_and_loops_notice_a_cut() {
    let bed = small_bed();
    let (web, remote) = (bed.workload("web"), bed.remote("zone-b-1"));
    let _stream_server = StreamServer::start(remote, 81).unwrap();
    let _http_server = HttpServer::start(remote, 80).unwrap();
    let [http, _] = remote.sockets(80);
    let [stream, _] = remote.sockets(81);
    let stream = LiveStream::open(web, stream).unwrap();
    let requests = RequestLoop::http(web, http, Duration::from_millis(1));
    assert_eq!(stream.greeting().server, "zone-b-1");
    stream.expect_progress(5, SECOND).unwrap();
    requests.wait_for(20, 5 * SECOND).unwrap().assert_none_failed();
    assert!(stream.expect_cut(SECOND / 5, SECOND / 2).is_err(), "nothing is cut yet");

    bed.node().netns().shell(&format!("ip route add blackhole {}/32", remote.v4())).unwrap();
    stream.expect_cut(SECOND / 5, 2 * SECOND).unwrap();
    assert!(stream.expect_progress(1, SECOND / 5).is_err());
    let before = requests.report();
    requests.wait_for(before.answered + before.failed + 2, 5 * SECOND).unwrap();
    let report = requests.stop();
    assert!(report.failed >= 1, "{report}");
    assert!(report.servers["zone-b-1"] >= 20, "{report}");
}

/// A UDP socket on a host, at a port that the kernel chooses.
fn receiver(host: &Host, address: IpAddr) -> UdpSocket {
    let socket = host.netns().run(|| UdpSocket::bind((address, 0))).unwrap();
    socket.set_read_timeout(Some(2 * SECOND)).unwrap();
    socket
}

fn namespaces_of(bed: &str) -> Vec<String> {
    let names = fs::read_dir("/run/netns").unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{bed}-"))).collect()
}
