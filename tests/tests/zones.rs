//! What crossing zones costs, with real connections: the table says how long each zone's backends
//! took to answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::{
    agent::Agent,
    bed::{Bed, Dual, Host, cluster_vip},
    capture::Capture,
    packet,
    traffic::HttpServer,
    world::Manifest,
};

const PORT: u16 = 8080;
/// How far away the other zone is.
const DISTANCE: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(20);
/// To each service over each address family.
const CONNECTIONS: u32 = 5;

/// Answers SYNs to addresses that no kernel has, after [`DISTANCE`].
struct FarAway {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FarAway {
    fn start(host: &Host, addresses: Dual) -> Self {
        for address in addresses.each() {
            host.netns().shell(&format!("ip route add blackhole {address}")).unwrap();
        }
        let capture = host.capture().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                answer_one(&capture, addresses);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for FarAway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}

/// Answers the next SYN, if one comes soon.
fn answer_one(capture: &Capture, addresses: Dual) {
    let mut syn = None;
    // Nothing came, or nothing that is asked for: the caller decides for how long.
    let _ = capture.wait_for(DISTANCE, |frame| {
        let found = addresses.each().into_iter().find_map(|address| Syn::parse(frame, address));
        syn = found.or_else(|| syn.take());
        syn.is_some()
    });
    if let Some(Syn { macs: (from, to), client, server, sequence }) = syn {
        thread::sleep(DISTANCE);
        let syn_ack = packet::tcp(server, client).syn_ack();
        let syn_ack = syn_ack.sequence(7).acknowledgement(sequence.wrapping_add(1));
        capture.inject(syn_ack.ethernet(to, from).build()).unwrap();
    }
}

struct Syn {
    macs: ([u8; 6], [u8; 6]),
    client: SocketAddr,
    server: SocketAddr,
    sequence: u32,
}

impl Syn {
    /// A SYN to this address without options or extension headers before TCP.
    fn parse(frame: &[u8], server: IpAddr) -> Option<Self> {
        let at = |offset: usize, length: usize| frame.get(offset..offset + length);
        let (ether_type, protocol, addresses, tcp) =
            if server.is_ipv4() { (0x0800_u16, 23, 26, 34) } else { (0x86dd, 20, 22, 54) };
        let address = |offset| -> Option<IpAddr> {
            Some(match server {
                IpAddr::V4(_) => <[u8; 4]>::try_from(at(offset, 4)?).ok()?.into(),
                IpAddr::V6(_) => <[u8; 16]>::try_from(at(offset, 16)?).ok()?.into(),
            })
        };
        let length = if server.is_ipv4() { 4 } else { 16 };
        let is_syn = at(12, 2)? == ether_type.to_be_bytes()
            && at(protocol, 1)? == [6]
            && at(tcp + 13, 1)? == [2]
            && address(addresses + length)? == server;
        let port = |offset| Some(u16::from_be_bytes(at(offset, 2)?.try_into().ok()?));
        is_syn.then_some(Self {
            macs: (at(6, 6)?.try_into().ok()?, at(0, 6)?.try_into().ok()?),
            client: SocketAddr::new(address(addresses)?, port(tcp)?),
            server: SocketAddr::new(server, port(tcp + 2)?),
            sequence: u32::from_be_bytes(at(tcp + 4, 4)?.try_into().ok()?),
        })
    }
}

/// How long the client itself took to connect, on average.
fn connect(client: &Host, server: SocketAddr) -> Duration {
    let time = client.netns().run(|| {
        let once = || {
            let started = Instant::now();
            let stream = TcpStream::connect_timeout(&server, PATIENCE);
            let time = started.elapsed();
            drop(stream.unwrap_or_else(|error| panic!("{server}: {error}")));
            time
        };
        (0..CONNECTIONS).map(|_| once()).sum::<Duration>()
    });
    time / CONNECTIONS
}

fn service(manifest: Manifest, name: &str, vip: Dual, backends: Dual, zone: &str) -> Manifest {
    let backends = backends.each().map(|address| {
        json!({ "address": address.to_string(), "port": PORT, "zone": zone, "ready": true })
    });
    let frontends = vip
        .each()
        .map(|address| json!({ "address": address.to_string(), "port": PORT, "protocol": "TCP" }));
    manifest
        .with("BackendSet", json!({ "name": name, "backends": backends }))
        .with("Service", json!({ "name": name, "frontends": frontends, "backendSet": name }))
}

/// What the table says of a service's handshakes, once it has as many as there were connections:
/// from which zone to which, mean and median.
fn reported(agent: &Agent, service: &str) -> (String, String, Duration, Duration) {
    let wanted = u64::from(2 * CONNECTIONS);
    let number = |value: &Value| value.as_str().map_or(0, |it| it.parse::<u64>().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let row = loop {
        let text = agent.cli(&["get", "zones", service, "-o", "json"]).unwrap().expect_success();
        let row = serde_json::from_str::<Value>(&text).unwrap()["traffic"][0].clone();
        let count = number(&row["handshakes"]["count"]);
        if count == wanted {
            break row;
        }
        assert!(Instant::now() < deadline, "{count} of {wanted} handshakes: {text}");
        thread::sleep(DISTANCE);
    };
    let zone = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| Duration::from_micros(number(&row["handshakes"][key]));
    (zone("fromZone"), zone("toZone"), time("meanMicroseconds"), time("p50Microseconds"))
}

#[test]
fn a_zone_that_is_far_away_shows_in_the_table() {
    let bed = Bed::builder()
        .workload("web")
        .remote("zone-a-1", "zone-a")
        .remote_with_pods("zone-b-1", "zone-b", 1)
        .build()
        .unwrap();
    let agent = Agent::builder(&bed).kernel("handshake_sample", 1).start().unwrap();
    let (near, far, web) = (bed.remote("zone-a-1"), bed.remote("zone-b-1"), bed.workload("web"));
    let mut nobody = far.pod(0);
    nobody.v4 = (u32::from(nobody.v4) + 76).into();
    nobody.v6 = (u128::from(nobody.v6) + 76).into();
    let manifest =
        service(Manifest::hosts(&bed), "near", cluster_vip(1), near.addresses(), "zone-a");
    let manifest = service(manifest, "far", cluster_vip(2), nobody, "zone-b");
    agent.apply(manifest.text()).unwrap().expect_success();
    let _server = HttpServer::start(near, PORT).unwrap();
    let _far = FarAway::start(far, nobody);

    let measured = [1, 2].map(|n| {
        let times = cluster_vip(n).each().map(|vip| connect(web, SocketAddr::new(vip, PORT)));
        times.iter().sum::<Duration>() / 2
    });
    let [near, far] = ["near", "far"].map(|name| reported(&agent, name));
    let zones = |it: &(String, String, _, _)| (it.0.clone(), it.1.clone());
    assert_eq!(zones(&near), ("zone-a".into(), "zone-a".into()));
    assert_eq!(zones(&far), ("zone-a".into(), "zone-b".into()));
    // Times are kept to one part in 256, a quantile to one in sixteen.
    assert!(far.2 + far.2 / 256 >= DISTANCE, "{far:?}, of {DISTANCE:?} away");
    assert!(far.3 + far.3 / 16 >= DISTANCE, "{far:?}, of {DISTANCE:?} away");
    assert!(far.2 > near.2 && !near.2.is_zero(), "{near:?}, {far:?}");
    for (row, client) in [near, far].iter().zip(measured) {
        assert!(row.2 <= client, "{row:?}, and the client itself took {client:?}");
    }

    let table = agent.cli(&["get", "zones"]).unwrap().expect_success();
    assert!(table.contains(" HANDSHAKES  MEAN"), "{table}");
}
