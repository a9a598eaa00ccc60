//! Writes IP headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;

use super::numbers;

/// Source and destination, of one family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addresses {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Addresses {
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::V4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Self::V6(source, destination),
            _ => panic!("{source} and {destination} are of different families"),
        }
    }

    /// The sum over the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
    pub fn pseudo_header(self, protocol: u8, length: usize) -> Sum16BitWords {
        let mut sum = Sum16BitWords::new();
        sum = match self {
            Self::V4(source, destination) => {
                sum.add_slice(&source.octets()).add_slice(&destination.octets())
            }
            Self::V6(source, destination) => {
                sum.add_slice(&source.octets()).add_slice(&destination.octets())
            }
        };
        sum.add_slice(&(length as u32).to_be_bytes()).add_2bytes([0, protocol])
    }
}

/// An IPv6 extension header; bodies are padded with zeros (Pad1 options) to 8 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    HopByHop(Vec<u8>),
    DestinationOptions(Vec<u8>),
    /// Routing type, segments left and what follows them.
    Routing(u8, u8, Vec<u8>),
    /// A header of this number with exactly these bytes; the first is overwritten by the number
    /// of the next header.
    Raw(u8, Vec<u8>),
}

impl Extension {
    fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => numbers::HOP_BY_HOP,
            Self::DestinationOptions(_) => numbers::DESTINATION_OPTIONS,
            Self::Routing(..) => numbers::ROUTING,
            Self::Raw(number, _) => *number,
        }
    }

    fn write(&self, next: u8) -> Vec<u8> {
        let mut bytes = match self {
            Self::HopByHop(body) | Self::DestinationOptions(body) => [&[0, 0], &body[..]].concat(),
            Self::Routing(kind, left, body) => [&[0, 0, *kind, *left], &body[..]].concat(),
            Self::Raw(_, bytes) => bytes.clone(),
        };
        if !matches!(self, Self::Raw(..)) {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes[1] = (bytes.len() / 8 - 1) as u8;
        }
        if let Some(first) = bytes.first_mut() {
            *first = next;
        }
        bytes
    }
}

/// The IP layer of a packet, with the lies told about it.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub addresses: Addresses,
    pub ttl: u8,
    pub traffic_class: u8,
    pub identification: u32,
    pub dont_fragment: bool,
    pub options: Vec<u8>,
    pub extensions: Vec<Extension>,
    /// Offset in bytes, and whether more follow.
    pub fragment: Option<(u16, bool)>,
    pub length: Option<u16>,
    pub header_words: Option<u8>,
    pub version: Option<u8>,
    pub wrong_checksum: bool,
}

impl Network {
    pub fn new(addresses: Addresses) -> Self {
        Self {
            addresses,
            ttl: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: false,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            length: None,
            header_words: None,
            version: None,
            wrong_checksum: false,
        }
    }

    /// The packet: headers before `body`, which is of `protocol`.
    pub fn wrap(&self, protocol: u8, body: &[u8]) -> Vec<u8> {
        match self.addresses {
            Addresses::V4(source, destination) => self.wrap_v4(protocol, body, source, destination),
            Addresses::V6(source, destination) => self.wrap_v6(protocol, body, source, destination),
        }
    }

    /// RFC 791 §3.1.
    fn wrap_v4(
        &self,
        protocol: u8,
        body: &[u8],
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let words = self.header_words.unwrap_or((header_length / 4) as u8);
        let length = self.length.unwrap_or((header_length + body.len()) as u16);
        let (offset, more) = self.fragment.unwrap_or_default();
        let fragment =
            (offset / 8) | (u16::from(more) << 13) | (u16::from(self.dont_fragment) << 14);

        let mut packet = vec![(self.version.unwrap_or(4) << 4) | words, self.traffic_class];
        packet.extend(length.to_be_bytes());
        packet.extend((self.identification as u16).to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(&self.options);
        let sum = Sum16BitWords::new().add_slice(&packet).ones_complement().to_be();
        packet[10..12].copy_from_slice(&(sum ^ u16::from(self.wrong_checksum)).to_be_bytes());
        packet.extend(body);
        packet
    }

    /// RFC 8200 §3 and §4.
    fn wrap_v6(
        &self,
        protocol: u8,
        body: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let mut header = vec![0, 0];
            header.extend((offset | u16::from(more)).to_be_bytes());
            header.extend(self.identification.to_be_bytes());
            extensions.push(Extension::Raw(numbers::FRAGMENT, header));
        }
        let mut next = protocol;
        let mut chain = Vec::new();
        for extension in extensions.iter().rev() {
            chain.insert(0, extension.write(next));
            next = extension.number();
        }
        let chain = chain.concat();

        let length = self.length.unwrap_or((chain.len() + body.len()) as u16);
        let version = u32::from(self.version.unwrap_or(6)) << 28;
        let mut packet = (version | (u32::from(self.traffic_class) << 20)).to_be_bytes().to_vec();
        packet.extend(length.to_be_bytes());
        packet.extend([next, self.ttl]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(chain);
        packet.extend(body);
        packet
    }
}
