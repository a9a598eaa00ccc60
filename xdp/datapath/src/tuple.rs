//! The five values that name one direction of a flow.

use crate::{Address, word16};

/// Protocol numbers (IANA).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    /// IPv6's fragment header; in the flow table, later fragments of either family.
    pub const FRAGMENT: u8 = 44;
    pub const ICMP6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// A port as it lies in memory: in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Port(pub u16);

impl Port {
    #[inline(always)]
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    #[inline(always)]
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The other port of an echo exchange, whose identifier is the requester's port. No constant
    /// will do: with the identifier of that number, requests from either side would be alike.
    #[inline(always)]
    pub const fn echo(self) -> Self {
        Self::new(self.number().wrapping_add(1))
    }
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<A> {
    pub source: A,
    pub destination: A,
    pub source_port: Port,
    pub destination_port: Port,
    pub protocol: u8,
}

impl<A: Address> Tuple<A> {
    /// The opposite direction.
    #[inline(always)]
    pub fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    /// Whether packets with these addresses are routed: from one host to another.
    #[inline(always)]
    pub fn is_ordinary(&self) -> bool {
        !self.source.is_martian_source()
            && !self.destination.is_loopback()
            && !self.destination.is_local_scope()
    }

    /// Both ports and the protocol as they lie in a flow entry's key.
    #[inline(always)]
    pub fn port_word(&self) -> u64 {
        let protocol = u16::from_ne_bytes([self.protocol, 0]);
        word16::pack([self.source_port.0, self.destination_port.0, protocol, 0])
    }

    /// Whether the protocol carries ports that policies and services can name.
    #[inline(always)]
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
    }
}
