//! Writes what IP carries: TCP, UDP, SCTP, ICMP and ICMPv6 headers and their checksums.

use std::ops::BitOr;

use super::{network::Addresses, numbers};

/// The TCP flags, as their bits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const PSH: Self = Self(0x08);
    pub const ACK: Self = Self(0x10);
    pub const URG: Self = Self(0x20);
    pub const ECE: Self = Self(0x40);
    pub const CWR: Self = Self(0x80);

    /// The flags' names, in the order of their bits.
    pub const NAMES: [(Self, &str); 8] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An ICMP error, the same in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpError {
    HostUnreachable,
    PortUnreachable,
    /// Prohibited by a filter.
    Prohibited,
    /// Fragmentation needed, or packet too big; with the MTU.
    PacketTooBig(u16),
    TimeExceeded,
}

impl IcmpError {
    /// Type, code and the four bytes after the checksum (RFC 792, RFC 1191, RFC 4443).
    pub(super) fn wire(self, v4: bool) -> (u8, u8, [u8; 4]) {
        let (kind, code) = match (self, v4) {
            (Self::HostUnreachable, true) => (3, 1),
            (Self::PortUnreachable, true) => (3, 3),
            (Self::Prohibited, true) => (3, 13),
            (Self::PacketTooBig(_), true) => (3, 4),
            (Self::TimeExceeded, true) => (11, 0),
            (Self::HostUnreachable, false) => (1, 3),
            (Self::PortUnreachable, false) => (1, 4),
            (Self::Prohibited, false) => (1, 1),
            (Self::PacketTooBig(_), false) => (2, 0),
            (Self::TimeExceeded, false) => (3, 0),
        };
        let rest = if let Self::PacketTooBig(mtu) = self { u32::from(mtu) } else { 0 };
        (kind, code, rest.to_be_bytes())
    }
}

/// The transport header of a packet, with the lies told about it.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    header: Header,
    pub flags: TcpFlags,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub options: Vec<u8>,
    pub data_offset: Option<u8>,
    pub length: Option<u16>,
    pub checksum: Option<u16>,
    pub wrong_checksum: bool,
}

#[derive(Debug, Clone, Copy)]
enum Header {
    Tcp { source: u16, destination: u16 },
    Udp { source: u16, destination: u16 },
    Sctp { source: u16, destination: u16, tag: u32 },
    Icmp { kind: u8, code: u8, rest: [u8; 4] },
    Raw { protocol: u8 },
}

impl Transport {
    pub fn tcp(source: u16, destination: u16) -> Self {
        Self::new(Header::Tcp { source, destination })
    }

    pub fn udp(source: u16, destination: u16) -> Self {
        Self::new(Header::Udp { source, destination })
    }

    pub fn sctp(source: u16, destination: u16, tag: u32) -> Self {
        Self::new(Header::Sctp { source, destination, tag })
    }

    pub fn icmp(kind: u8, code: u8, rest: [u8; 4]) -> Self {
        Self::new(Header::Icmp { kind, code, rest })
    }

    pub fn raw(protocol: u8) -> Self {
        Self::new(Header::Raw { protocol })
    }

    fn new(header: Header) -> Self {
        Self {
            header,
            flags: TcpFlags::ACK,
            sequence: 0,
            acknowledgement: 0,
            window: 64_000,
            options: Vec::new(),
            data_offset: None,
            length: None,
            checksum: None,
            wrong_checksum: false,
        }
    }

    pub fn protocol(&self, addresses: Addresses) -> u8 {
        match (self.header, addresses) {
            (Header::Tcp { .. }, _) => numbers::TCP,
            (Header::Udp { .. }, _) => numbers::UDP,
            (Header::Sctp { .. }, _) => numbers::SCTP,
            (Header::Icmp { .. }, Addresses::V4(..)) => numbers::ICMP,
            (Header::Icmp { .. }, Addresses::V6(..)) => numbers::ICMPV6,
            (Header::Raw { protocol }, _) => protocol,
        }
    }

    /// The header and the payload, with the checksum in place.
    pub fn write(&self, addresses: Addresses, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.header();
        if let Header::Udp { .. } = self.header {
            let length = self.length.unwrap_or((bytes.len() + payload.len()) as u16);
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
        }
        bytes.extend(payload);
        self.fill_checksum(addresses, &mut bytes);
        bytes
    }

    fn header(&self) -> Vec<u8> {
        let ports = |source: u16, destination: u16| {
            [source.to_be_bytes(), destination.to_be_bytes()].concat()
        };
        match self.header {
            Header::Tcp { source, destination } => {
                let words = self.data_offset.unwrap_or((5 + self.options.len() / 4) as u8);
                let mut bytes = ports(source, destination);
                bytes.extend(self.sequence.to_be_bytes());
                bytes.extend(self.acknowledgement.to_be_bytes());
                bytes.extend([words << 4, self.flags.0]);
                bytes.extend(self.window.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(&self.options);
                bytes
            }
            Header::Udp { source, destination } => {
                [ports(source, destination), vec![0; 4]].concat()
            }
            Header::Sctp { source, destination, tag } => {
                [ports(source, destination), tag.to_be_bytes().to_vec(), vec![0; 4]].concat()
            }
            Header::Icmp { kind, code, rest } => [&[kind, code, 0, 0], &rest[..]].concat(),
            Header::Raw { .. } => Vec::new(),
        }
    }

    fn fill_checksum(&self, addresses: Addresses, bytes: &mut [u8]) {
        let protocol = self.protocol(addresses);
        let pseudo_header = addresses.pseudo_header(protocol, bytes.len());
        let (at, sum) = match (self.header, addresses) {
            (Header::Raw { .. }, _) => return,
            (Header::Sctp { .. }, _) => {
                let wrong = u32::from(self.wrong_checksum);
                // RFC 9260 §6.8: the CRC is transmitted least significant byte first.
                let crc = (crc32c(bytes) ^ wrong).to_le_bytes();
                return bytes[8..12].copy_from_slice(&crc);
            }
            (Header::Tcp { .. }, _) => (16, pseudo_header.add_slice(bytes).ones_complement()),
            (Header::Udp { .. }, _) => {
                (6, pseudo_header.add_slice(bytes).to_ones_complement_with_no_zero())
            }
            (Header::Icmp { .. }, Addresses::V4(..)) => {
                (2, etherparse::checksum::Sum16BitWords::new().add_slice(bytes).ones_complement())
            }
            (Header::Icmp { .. }, Addresses::V6(..)) => {
                (2, pseudo_header.add_slice(bytes).ones_complement())
            }
        };
        let sum = self.checksum.unwrap_or(sum.to_be()) ^ u16::from(self.wrong_checksum);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// CRC-32C (Castagnoli), reflected, bit by bit.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_catalogues_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
