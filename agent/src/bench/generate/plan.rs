//! What the generator's programs are told, from what the user said.

use std::net::IpAddr;

use abi::generate::{HEADER_WORDS, Plan, SIZES, Span, Template, shape};

use super::{
    GenerateError,
    options::{GenerateOptions, Profile, TransportProtocol},
    span::{Addresses, Mac},
};

/// Frames of many flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames {
    pub plan: Plan,
    pub templates: Vec<Template>,
    /// As long as the longest, with the payload of all: the low byte of its offset in the frame.
    pub frame: Vec<u8>,
}

impl Frames {
    /// Out of the interface with this index, from this link address.
    pub fn new(
        options: &GenerateOptions,
        interface: u32,
        source_mac: Mac,
    ) -> Result<Self, GenerateError> {
        if options.source.first.is_ipv4() != options.destination.first.is_ipv4() {
            return Err(GenerateError::TwoFamilies);
        }
        let is_flood = options.profile == Profile::SynFlood;
        let spans = [
            options.destination.span(),
            options.destination_port.span(),
            options.source_port.span(),
            options.source.span(),
        ];
        let protocols = options.protocols();
        let plan = plan(spans, options.flows, protocols.len() as u32, is_flood, interface)?;
        let headers = Headers {
            ethernet: (source_mac, options.destination_mac.unwrap_or(source_mac)),
            addresses: (options.source.first, options.destination.first),
            flags: if options.profile == Profile::SynFlood { SYN } else { ACK },
        };
        let floor = options.profile == Profile::Mixed;
        Self::assemble(plan, &headers, protocols, options.sizes(), floor)
    }

    /// UDP of one size, of clients with any of their ports.
    pub fn udp(shape: &Shape) -> Result<Self, GenerateError> {
        Self::of_shape(shape, TransportProtocol::Udp, ACK)
    }

    /// A flood of SYNs, of clients with any of their ports.
    pub fn syn_flood(shape: &Shape) -> Result<Self, GenerateError> {
        Self::of_shape(shape, TransportProtocol::Tcp, SYN)
    }

    fn of_shape(
        shape: &Shape,
        protocol: TransportProtocol,
        flags: u8,
    ) -> Result<Self, GenerateError> {
        let source_port = Span { first: 1024, count: 64_512 };
        let destination_port = Span { first: shape.destination_port.into(), count: 1 };
        let spans = [shape.destination.span(), destination_port, source_port, shape.source.span()];
        let is_flood = flags == SYN;
        let plan = plan(spans, Some(shape.flows), 1, is_flood, shape.interface)?;
        let headers = Headers {
            ethernet: shape.macs,
            addresses: (shape.source.first, shape.destination.first),
            flags,
        };
        let sizes = [shape.size; SIZES as usize];
        Self::assemble(plan, &headers, &[protocol], sizes, false)
    }

    /// `floor`: what is shorter than the headers is as short as they allow, and no error.
    fn assemble(
        mut plan: Plan,
        headers: &Headers,
        protocols: &[TransportProtocol],
        sizes: [u32; SIZES as usize],
        floor: bool,
    ) -> Result<Self, GenerateError> {
        let least = protocols.iter().map(|it| headers.length(*it)).max().unwrap_or_default();
        let mut templates = Vec::new();
        for protocol in protocols {
            for size in sizes {
                let size = if floor { size.max(least) } else { size };
                if size < least {
                    return Err(GenerateError::TooShort { size, least });
                }
                templates.push(headers.template(*protocol, size));
            }
        }
        let longest = templates.iter().map(|it| it.length).max().unwrap_or_default();
        plan.longest = longest;
        Ok(Self { plan, templates, frame: payload(longest) })
    }
}

/// What other benchmarks send.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// An index.
    pub interface: u32,
    /// Source and destination.
    pub macs: (Mac, Mac),
    pub source: Addresses,
    pub destination: Addresses,
    pub destination_port: u16,
    pub flows: u32,
    /// Of frames, in bytes.
    pub size: u32,
}

impl GenerateOptions {
    fn protocols(&self) -> &[TransportProtocol] {
        match (self.profile, self.protocol) {
            (Profile::Mixed, _) => &[TransportProtocol::Udp, TransportProtocol::Tcp],
            (Profile::Plain, TransportProtocol::Udp) => &[TransportProtocol::Udp],
            _ => &[TransportProtocol::Tcp],
        }
    }

    /// Of frames in turn.
    fn sizes(&self) -> [u32; SIZES as usize] {
        match self.profile {
            Profile::Mixed => MIX,
            _ => [self.size; SIZES as usize],
        }
    }
}

/// The "simple Internet mix" of 7 to 4 to 1.
const MIX: [u32; SIZES as usize] = [60, 590, 60, 590, 60, 1514, 60, 590, 60, 590, 60, 60];

/// `spans` are in the order of digits; without a number of flows, a flood is of all there are.
fn plan(
    spans: [Span; 4],
    flows: Option<u32>,
    protocols: u32,
    is_flood: bool,
    interface: u32,
) -> Result<Plan, GenerateError> {
    let possible = spans.iter().fold(1_u64, |all, span| all.saturating_mul(span.count.into()));
    let most = u32::try_from(possible).unwrap_or(u32::MAX);
    let flows = flows.unwrap_or(if is_flood { most } else { 1 });
    if flows > most {
        return Err(GenerateError::TooManyFlows { flows, possible });
    }
    let [destination, destination_port, source_port, source] = spans;
    Ok(Plan {
        destination,
        destination_port,
        source_port,
        source,
        flows,
        stride: if is_flood { stride(flows) } else { 1 },
        protocols,
        vary_sequence: is_flood.into(),
        interface,
        ..Plan::default()
    })
}

/// A number that visits all flows, each far from the one before: near their golden section, without
/// a factor in common with them.
fn stride(flows: u32) -> u32 {
    let golden = (u64::from(flows) * 618 / 1000) as u32;
    (golden.max(1)..flows).find(|stride| divisor(*stride, flows) == 1).unwrap_or(1)
}

/// The greatest common one (Euclid).
fn divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { divisor(other, one % other) }
}

fn payload(length: u32) -> Vec<u8> {
    (0..length).map(|offset| offset as u8).collect()
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const ETHERNET: usize = 14;
const HOP_LIMIT: u8 = 64;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the headers of all frames have in common.
struct Headers {
    /// Source and destination.
    ethernet: (Mac, Mac),
    addresses: (IpAddr, IpAddr),
    flags: u8,
}

impl Headers {
    /// Of all headers, in bytes.
    fn length(&self, protocol: TransportProtocol) -> u32 {
        let network = if self.addresses.0.is_ipv4() { 20 } else { 40 };
        let transport = if protocol == TransportProtocol::Udp { 8 } else { 20 };
        ETHERNET as u32 + network + transport
    }

    fn template(&self, protocol: TransportProtocol, length: u32) -> Template {
        let mut frame = payload(length.max(8 * HEADER_WORDS as u32));
        let headers = self.headers(protocol, length as u16);
        frame[..headers.len()].copy_from_slice(&headers);
        let transport = headers.len() - if protocol == TransportProtocol::Udp { 8 } else { 20 };
        let number = if protocol == TransportProtocol::Udp { UDP } else { TCP };
        let covered = &frame[transport..length as usize];
        let mut transport_sum = sum(covered) + covered.len() as u32 + u32::from(number);
        if !self.addresses.0.is_ipv4() {
            // The halves that do not differ; the others are zero here.
            transport_sum += sum(&headers[ETHERNET + 8..transport]);
        }
        let word = |index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&frame[8 * index..][..8]);
            u64::from_ne_bytes(bytes)
        };
        Template {
            headers: std::array::from_fn(word),
            transport_sum,
            network_sum: sum(&headers[ETHERNET..transport]),
            length,
            shape: match (self.addresses.0.is_ipv4(), protocol) {
                (true, TransportProtocol::Udp) => shape::V4_UDP,
                (true, TransportProtocol::Tcp) => shape::V4_TCP,
                (false, TransportProtocol::Udp) => shape::V6_UDP,
                (false, TransportProtocol::Tcp) => shape::V6_TCP,
            },
            ..Template::default()
        }
    }

    /// The headers with zeros where the programs write.
    fn headers(&self, protocol: TransportProtocol, length: u16) -> Vec<u8> {
        let (source_mac, destination_mac) = self.ethernet;
        let mut bytes = [destination_mac.0, source_mac.0].concat();
        let packet = length - ETHERNET as u16;
        let number = if protocol == TransportProtocol::Udp { UDP } else { TCP };
        let transport = if let (IpAddr::V6(source), IpAddr::V6(destination)) = self.addresses {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend((packet - 40).to_be_bytes());
            bytes.extend([number, HOP_LIMIT]);
            for address in [source, destination] {
                bytes.extend(&address.octets()[..12]);
                bytes.extend([0; 4]);
            }
            packet - 40
        } else {
            bytes.extend([0x08, 0x00, 0x45, 0]);
            bytes.extend(packet.to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, HOP_LIMIT, number, 0, 0]);
            bytes.extend([0; 8]);
            packet - 20
        };
        bytes.extend([0; 4]);
        match protocol {
            TransportProtocol::Udp => {
                bytes.extend(transport.to_be_bytes());
                bytes.extend([0; 2]);
            }
            TransportProtocol::Tcp => {
                let acknowledged = u8::from(self.flags != SYN);
                bytes.extend([0, 0, 0, 0, 0, 0, 0, acknowledged, 0x50, self.flags]);
                bytes.extend([0xff, 0xff, 0, 0, 0, 0]);
            }
        }
        bytes
    }
}

/// Of the 16-bit words; a byte that is left over is the higher half of one.
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: GenerateOptions,
    }

    fn frames(arguments: &[&str]) -> Result<Frames, String> {
        let usual = ["generate", "-i", "eth0", "--destination-mac", "2:0:0:0:0:2"];
        let cli = Cli::try_parse_from([&usual, arguments].concat()).unwrap();
        Frames::new(&cli.options, 7, Mac([2, 0, 0, 0, 0, 1])).map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for (arguments, message) in [
            (&["--source", "::1"][..], "source and destination are of two families"),
            (&["--flows", "3", "--source-port", "1-2"], "addresses and ports make 2 flows, not 3"),
            (
                &["--size", "53", "--protocol", "tcp"],
                "the headers take 54 bytes, and a frame is to have 53",
            ),
            (
                &["--size", "61", "--source", "::1", "--destination", "::2"],
                "the headers take 62 bytes, and a frame is to have 61",
            ),
        ] {
            assert_eq!(frames(arguments).unwrap_err(), message);
        }
        frames(&["--size", "42"]).unwrap();
    }

    #[test]
    fn a_flood_is_of_all_flows_unless_told() {
        let plan = |arguments: &[&str]| frames(arguments).unwrap().plan;
        assert_eq!((plan(&[]).flows, plan(&[]).stride), (1, 1));
        let flood = plan(&["--profile", "syn-flood", "--source", "10.0.0.0/24"]);
        assert_eq!(flood.flows, 256 * 64_512);
        assert_eq!(divisor(flood.flows, flood.stride), 1);
        assert_eq!(plan(&["--profile", "syn-flood", "--source", "10.0.0.0/8"]).flows, u32::MAX);
        assert_eq!(plan(&["--profile", "syn-flood", "--flows", "1k"]).flows, 1024);
    }

    #[test]
    fn strides_visit_all_flows() {
        for flows in [1, 2, 3, 4, 10, 64, 1000, 65_536] {
            let stride = u64::from(stride(flows));
            let mut seen = vec![false; flows as usize];
            for index in 0..u64::from(flows) {
                seen[(index * stride % u64::from(flows)) as usize] = true;
            }
            assert!(seen.iter().all(|it| *it), "{flows}");
        }
    }

    #[test]
    fn the_mix_is_of_three_sizes_and_two_protocols() {
        let mixed = frames(&["--profile", "mixed"]).unwrap();
        let lengths: Vec<_> = mixed.templates.iter().map(|it| it.length).collect();
        let many = |length| lengths.iter().filter(|it| **it == length).count();
        assert_eq!((many(60), many(590), many(1514)), (14, 8, 2));
        assert_eq!((mixed.frame.len(), mixed.plan.protocols), (1514, 2));
        let of_six = ["--profile", "mixed", "--source", "::1", "--destination", "::2"];
        assert_eq!(frames(&of_six).unwrap().templates[0].length, 74);
    }
}
