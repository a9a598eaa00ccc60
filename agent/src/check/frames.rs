//! The first packet of a connection.

use std::net::IpAddr;

use etherparse::{IpNumber, PacketBuilder};

use crate::simulate::Frame;

/// What a probe's packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    Tcp(u16),
    Udp(u16),
    Sctp(u16),
    /// An echo request.
    Icmp,
    /// Any other protocol, by number.
    Other(u8),
}

/// The client's port.
pub const SOURCE_PORT: u16 = 40_000;

impl Traffic {
    /// Reads a protocol as probes name it.
    pub fn new(protocol: &str, port: Option<u16>) -> Result<Self, String> {
        let port = || port.ok_or_else(|| format!("{protocol} needs a port"));
        Ok(match protocol {
            "TCP" => Self::Tcp(port()?),
            "UDP" => Self::Udp(port()?),
            "SCTP" => Self::Sctp(port()?),
            "ICMP" | "ICMPv6" => Self::Icmp,
            number => Self::Other(number.parse().map_err(|_| {
                format!("{number:?} is none of TCP, UDP, SCTP, ICMP and no protocol number")
            })?),
        })
    }

    /// The same protocol at another port.
    pub fn to_port(self, port: u16) -> Self {
        match self {
            Self::Tcp(_) => Self::Tcp(port),
            Self::Udp(_) => Self::Udp(port),
            Self::Sctp(_) => Self::Sctp(port),
            Self::Icmp | Self::Other(_) => self,
        }
    }

    /// The number of the protocol towards such an address, and the port, if there are ports.
    pub fn numbers(self, destination: IpAddr) -> (u8, u16) {
        match self {
            Self::Tcp(port) => (IpNumber::TCP.0, port),
            Self::Udp(port) => (IpNumber::UDP.0, port),
            Self::Sctp(port) => (IpNumber::SCTP.0, port),
            Self::Icmp if destination.is_ipv4() => (IpNumber::ICMP.0, 0),
            Self::Icmp => (IpNumber::IPV6_ICMP.0, 0),
            Self::Other(number) => (number, 0),
        }
    }
}

/// Builds the packet; `None` where the addresses are of different families.
pub fn first_packet(source: IpAddr, destination: IpAddr, traffic: Traffic) -> Option<Frame> {
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            link.ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            link.ipv6(source.octets(), destination.octets(), 64)
        }
        _ => return None,
    };
    let mut bytes = Vec::new();
    let written = match traffic {
        Traffic::Tcp(port) => ip.tcp(SOURCE_PORT, port, 1, 64_240).syn().write(&mut bytes, &[]),
        Traffic::Udp(port) => ip.udp(SOURCE_PORT, port).write(&mut bytes, &[]),
        Traffic::Sctp(port) => {
            // The common header (RFC 9260, 3.1); nobody looks at the checksum.
            let mut header = [0; 12];
            header[..2].copy_from_slice(&SOURCE_PORT.to_be_bytes());
            header[2..4].copy_from_slice(&port.to_be_bytes());
            ip.write(&mut bytes, IpNumber::SCTP, &header)
        }
        Traffic::Icmp if source.is_ipv4() => ip.icmpv4_echo_request(1, 1).write(&mut bytes, &[]),
        Traffic::Icmp => ip.icmpv6_echo_request(1, 1).write(&mut bytes, &[]),
        Traffic::Other(number) => ip.write(&mut bytes, IpNumber(number), &[0; 8]),
    };
    written.ok().map(|()| Frame(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_with_ports_needs_one() {
        assert_eq!(Traffic::new("UDP", Some(53)), Ok(Traffic::Udp(53)));
        assert_eq!(Traffic::new("47", None), Ok(Traffic::Other(47)));
        assert!(Traffic::new("SCTP", None).unwrap_err().contains("needs a port"));
        assert!(Traffic::new("tcp", Some(1)).unwrap_err().contains("none of TCP"));
    }
}
