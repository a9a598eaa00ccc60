//! Packets by name: built, taken apart, compared, verified.
//!
//! ```
//! use testbed::packet;
//!
//! let syn = packet::tcp("10.1.0.11:40000".parse()?, "10.96.0.1:80".parse()?).syn().build();
//! packet::verify_checksums(&syn)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use self::{
    builder::{PacketBuilder, echo_reply, echo_request, icmp_error, ip, sctp, tcp, udp},
    compare::{assert_packet_eq, write_pcap},
    fields::{Field, fields, source_port, summary},
    network::Extension,
    transport::{IcmpError, TcpFlags},
    verify::verify_checksums,
};

mod builder;
mod compare;
mod fields;
mod layers;
mod network;
mod numbers;
mod transport;
mod verify;

/// A link address as people write it.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The IP packet inside an Ethernet frame, tags stripped; what an ICMP error embeds.
pub fn without_ethernet(frame: &[u8]) -> &[u8] {
    layers::Frame::parse(frame).rest
}
