//! The packet generator over a veth pair: every frame is what was asked for, and no more of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs::File,
    process::{Command, Output},
    time::{Duration, Instant},
};

use pcap_file::pcap::{PcapPacket, PcapWriter};
use serde_json::Value;
use testbed::{
    agent::zonegate_binary,
    capture::Capture,
    netns::Netns,
    packet::{fields, mac_text, summary, tcp, udp, verify_checksums},
};

const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DESTINATION: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SECOND: Duration = Duration::from_secs(1);

/// Two namespaces with a cable between.
struct Cable {
    near: Netns,
    far: Netns,
}

impl Cable {
    fn new(name: &str) -> Self {
        let end = |end: &str| format!("zg-{}-{name}-{end}", std::process::id());
        let mut ends = Netns::create_all(&[end("near"), end("far")]).unwrap();
        let (far, near) = (ends.pop().unwrap(), ends.pop().unwrap());
        near.sysctl([("ipv6/conf/default/disable_ipv6", "1")]).unwrap();
        far.sysctl([("ipv6/conf/default/disable_ipv6", "1")]).unwrap();
        let pair = format!(
            "link add eth0 address {} type veth peer name eth0 netns {}",
            mac_text(SOURCE),
            far.name()
        );
        near.ip(&[pair, "link set eth0 up".to_owned()]).unwrap();
        // GRO turns NAPI on, which a veth needs to take redirected frames.
        far.ip(&["link set eth0 gro_max_size 1 up".to_owned()]).unwrap();
        far.shell("ethtool -K eth0 gro on").unwrap();
        Self { near, far }
    }

    /// Options that have no spaces.
    fn command(&self, options: &str) -> Command {
        let mut command = self.near.command(zonegate_binary().unwrap());
        command.args(["bench", "generate", "-o", "json", "--interface", "eth0"]);
        if !options.contains("--replay") {
            command.args(["--destination-mac", &mac_text(DESTINATION)]);
        }
        command.args(options.split_ascii_whitespace());
        command
    }

    /// What is reported, and what arrives.
    fn generate(&self, options: &str) -> (Value, Vec<Vec<u8>>) {
        let capture = Capture::open(&self.far, "eth0").unwrap();
        let report = report(self.command(options).output().unwrap());
        let frames = capture.collect(SECOND / 2, |_| true).unwrap();
        (report, frames.into_iter().map(|captured| captured.frame).collect())
    }
}

fn report(output: Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The fields of a frame by name; its checksums are right.
fn parsed(frame: &[u8]) -> BTreeMap<String, String> {
    verify_checksums(frame).unwrap_or_else(|problem| panic!("{}: {problem}", summary(frame)));
    fields(frame).into_iter().map(|field| (field.name, field.value)).collect()
}

/// What the options say of a frame, apart from addresses, ports and checksums.
struct Expected {
    length: usize,
    constant: &'static [(&'static str, &'static str)],
}

fn check(frame: &[u8], expected: &Expected) -> BTreeMap<String, String> {
    let found = parsed(frame);
    assert_eq!(frame.len(), expected.length);
    assert_eq!(frame[..12], [DESTINATION, SOURCE].concat());
    let constant = expected.constant.iter().map(|(name, value)| (*name, (*value).to_owned()));
    for (name, value) in constant {
        assert_eq!(found.get(name), Some(&value), "{name} in {}", summary(frame));
    }
    found
}

/// The flow of a frame: source and destination, each an address and a port.
fn flow(fields: &BTreeMap<String, String>, ip: &str, transport: &str) -> [(String, u16); 2] {
    ["source", "destination"].map(|end| {
        let port = fields[&format!("{transport}.{end}")].parse().unwrap();
        (fields[&format!("{ip}.{end}")].clone(), port)
    })
}

const V4: &[(&str, &str)] = &[
    ("ethernet.type", "IPv4"),
    ("ipv4.ttl", "64"),
    ("ipv4.identification", "0"),
    ("ipv4.dont_fragment", "true"),
    ("ipv4.more_fragments", "false"),
    ("ipv4.offset", "0"),
];
const V6: &[(&str, &str)] = &[
    ("ethernet.type", "IPv6"),
    ("ipv6.hop_limit", "64"),
    ("ipv6.traffic_class", "0"),
    ("ipv6.flow_label", "0"),
];
const ACK: &[(&str, &str)] =
    &[("tcp.flags", "ACK"), ("tcp.sequence", "1"), ("tcp.acknowledgement", "1")];

#[test]
fn flows_come_in_turn_and_every_field_is_right() {
    let cable = Cable::new("flows");
    let spans4 = "--source 198.18.0.254-198.18.1.1 --destination 10.96.0.0/30 \
                  --source-port 40000-40004 --destination-port 80-82";
    let spans6 = "--source 2001:db8::fffe-2001:db8::1:1 --destination fd00::/126 \
                  --source-port 40000-40004 --destination-port 80-82";
    let sources4 = ["198.18.0.254", "198.18.0.255", "198.18.1.0", "198.18.1.1"];
    let sources6 = ["2001:db8::fffe", "2001:db8::ffff", "2001:db8::1:0", "2001:db8::1:1"];
    for (spans, protocol, size, ip, sources, prefix) in [
        (spans4, "udp", 60, "ipv4", sources4, "10.96.0."),
        (spans4, "tcp", 61, "ipv4", sources4, "10.96.0."),
        (spans6, "udp", 1514, "ipv6", sources6, "fd00::"),
        (spans6, "tcp", 75, "ipv6", sources6, "fd00::"),
    ] {
        let more = format!("{spans} --protocol {protocol} --size {size} --flows 240 --count 1200");
        let (report, frames) = cable.generate(&more);
        assert_eq!(frames.len(), 1200, "{report}");
        assert_eq!((&report["frames"], &report["flows"]), (&1200.into(), &240.into()));
        assert_eq!(report["transmitted"], 1200);

        let mut constant = if ip == "ipv4" { V4 } else { V6 }.to_vec();
        constant.extend(if protocol == "tcp" { ACK } else { &[] });
        let constant: &'static [_] = constant.leak();
        let expected = Expected { length: size, constant };
        for (number, frame) in frames.iter().enumerate() {
            let found = check(frame, &expected);
            let n = number % 240;
            // The digits of a flow's number: destination, its port, source port, source.
            let destination = match (ip, n % 4) {
                ("ipv6", 0) => "fd00::".to_owned(),
                (_, last) => format!("{prefix}{last}"),
            };
            let wanted = [
                (sources[n / 60].to_owned(), 40_000 + (n / 12 % 5) as u16),
                (destination, 80 + (n / 4 % 3) as u16),
            ];
            assert_eq!(flow(&found, ip, protocol), wanted, "frame {number}");
            let headers = frame.len() - payload(frame, ip, protocol).len();
            let bytes: Vec<u8> = (headers..size).map(|offset| offset as u8).collect();
            assert_eq!(payload(frame, ip, protocol), bytes, "frame {number}");
        }
    }
}

/// What follows the headers.
fn payload<'a>(frame: &'a [u8], ip: &str, transport: &str) -> &'a [u8] {
    let network = if ip == "ipv4" { 20 } else { 40 };
    let transport = if transport == "udp" { 8 } else { 20 };
    &frame[14 + network + transport..]
}

#[test]
fn a_flood_is_of_syn_segments_of_ever_other_flows() {
    let cable = Cable::new("flood");
    let more = "--profile syn-flood --source 198.18.0.0/24 --flows 1024 --count 2048";
    let (_, frames) = cable.generate(more);
    assert_eq!(frames.len(), 2048);
    let expected = Expected {
        length: 60,
        constant: &[("tcp.flags", "SYN"), ("tcp.acknowledgement", "0"), ("ipv4.ttl", "64")],
    };
    let mut flows = BTreeMap::<_, u32>::new();
    let mut sequences = BTreeMap::<_, u32>::new();
    let mut order = Vec::new();
    for frame in &frames {
        let found = check(frame, &expected);
        let [source, _] = flow(&found, "ipv4", "tcp");
        order.push(source.1);
        *flows.entry(source).or_default() += 1;
        *sequences.entry(found["tcp.sequence"].clone()).or_default() += 1;
    }
    assert_eq!((flows.len(), sequences.len()), (1024, 1024));
    assert!(flows.values().all(|frames| *frames == 2), "{flows:?}");
    let neighbours = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
    assert!(neighbours < 10, "{neighbours} of {} are in order", order.len());
}

#[test]
fn the_mix_has_three_sizes_of_two_protocols() {
    let cable = Cable::new("mix");
    let more = "--profile mixed --flows 10 --count 1200";
    let (_, frames) = cable.generate(more);
    let (mut kinds, mut flows) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    for frame in &frames {
        let found = parsed(frame);
        let protocol = found["ipv4.protocol"].to_lowercase();
        // GRO holds TCP back for a moment, so the order is not that on the wire.
        let [(_, port), _] = flow(&found, "ipv4", &protocol);
        assert_eq!(protocol, ["udp", "tcp"][usize::from(port % 2)], "a flow keeps its protocol");
        let headers = frame.len() - payload(frame, "ipv4", &protocol).len();
        let bytes: Vec<u8> = (headers..frame.len()).map(|offset| offset as u8).collect();
        assert_eq!(payload(frame, "ipv4", &protocol), bytes, "{}", summary(frame));
        *kinds.entry(frame.len()).or_default() += 1;
        *flows.entry(port).or_default() += 1;
    }
    assert_eq!(kinds, BTreeMap::from([(60, 700), (590, 400), (1514, 100)]));
    assert_eq!(flows, (1024..1034).map(|port| (port, 120)).collect());
}

#[test]
fn a_capture_is_sent_as_it_is() {
    let cable = Cable::new("replay");
    let (a, b) = ("198.18.0.1:40000".parse().unwrap(), "198.19.0.1:80".parse().unwrap());
    let recorded = [
        udp(a, b).payload([7; 1400]).build(),
        tcp(a, b).syn().build(),
        tcp(b, a).syn_ack().vlan(5).wrong_checksum().build(),
        vec![0xff; 14],
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.pcap");
    let mut writer = PcapWriter::new(File::create(&path).unwrap()).unwrap();
    for frame in &recorded {
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        writer.write_packet(&packet).unwrap();
    }
    drop(writer);
    let (report, frames) = cable.generate(&format!("--replay {} --count 1000", path.display()));
    assert_eq!((frames.len(), &report["flows"]), (1000, &0.into()));
    for recorded in &recorded {
        let sent = frames.iter().filter(|frame| *frame == recorded).count();
        assert_eq!(sent, 250, "{}", summary(recorded));
    }
}

#[test]
fn rate_and_duration_hold() {
    let cable = Cable::new("rate");
    let more = "--rate 1000 --duration 2 --samples 4";
    let start = Instant::now();
    let (report, frames) = cable.generate(more);
    let took = start.elapsed();
    assert_eq!(report["frames"], frames.len());
    // The rate is a limit: on a busy machine fewer are sent, and never more.
    assert!((1000..=2001).contains(&frames.len()), "{report}");
    assert!(took >= 2 * SECOND && took < 20 * SECOND, "{took:?}");
    let most = report["seconds"].as_f64().unwrap() * 1000.0;
    assert!(report["frames"].as_f64().unwrap() <= most, "{report}");
    assert!(report["pps"]["min"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn several_processors_share_the_frames() {
    let cable = Cable::new("threads");
    let more = "--threads 2 --flows 10 --count 1001";
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let (_, frames) = cable.generate(more);
    let mut ports = BTreeMap::<_, u32>::new();
    for frame in &frames {
        let [source, _] = flow(&parsed(frame), "ipv4", "udp");
        *ports.entry(source.1).or_default() += 1;
    }
    assert_eq!(frames.len(), 1001);
    assert_eq!((ports.len(), ports[&1024]), (10, 101));
}

#[test]
fn a_default_routes_interface_has_to_be_allowed() {
    let cable = Cable::new("route");
    cable
        .near
        .ip(&["addr add 192.0.2.1/24 dev eth0".into(), "route add default via 192.0.2.2".into()])
        .unwrap();
    let more = "--count 10";
    let capture = Capture::open(&cable.far, "eth0").unwrap();
    let output = cable.command(more).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("a default route leaves by eth0"), "{complaint}");
    assert!(
        capture.collect(SECOND / 4, |frame| frame.starts_with(&DESTINATION)).unwrap().is_empty()
    );
    assert_eq!(cable.generate("--count 10 --allow-default-route").1.len(), 10);
}
