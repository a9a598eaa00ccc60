//! Verifies checksums the plain way of RFC 1071, sharing no code with the builder.

use std::net::IpAddr;

use super::{
    layers::{Frame, Packet, u16_at, u32_at},
    numbers::{ICMP, ICMPV6, SCTP, TCP, UDP},
    transport::crc32c,
};

/// Checks every checksum of an Ethernet frame: IPv4 header, transport, and those of the packet that
/// an ICMP error embeds; says what is wrong with which.
///
/// Frames without IP have none. A fragment's transport checksum spans the other fragments and is
/// skipped, as is that of an embedded packet cut short; any other packet cut short is an error.
pub fn verify_checksums(frame: &[u8]) -> Result<(), String> {
    let frame = Frame::parse(frame);
    let Some(packet) = frame.packet() else { return Ok(()) };
    header(&packet, "IPv4 header")?;
    if packet.missing > 0 {
        return Err(format!("the packet lacks its last {} bytes", packet.missing));
    }
    if !packet.is_whole() {
        return Ok(());
    }
    transport(&packet)?;
    let Some(embedded) = embedded(&packet) else { return Ok(()) };
    header(&embedded, "embedded IPv4 header")?;
    if embedded.is_whole() {
        transport(&embedded).map_err(|problem| format!("embedded {problem}"))?;
    }
    Ok(())
}

/// The packet that an ICMP or ICMPv6 error is about.
pub(super) fn embedded<'a>(packet: &Packet<'a>) -> Option<Packet<'a>> {
    let kind = packet.body.first().filter(|_| packet.has_transport())?;
    match (packet.protocol, kind) {
        (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMPV6, 1..=4) => Packet::parse(packet.body.get(8..)?),
        _ => None,
    }
}

fn header(packet: &Packet<'_>, what: &str) -> Result<(), String> {
    if packet.v4 { expect_zero(&[packet.header], what) } else { Ok(()) }
}

fn transport(packet: &Packet<'_>) -> Result<(), String> {
    let (name, shortest) = match packet.protocol {
        TCP => ("TCP", 20),
        UDP => ("UDP", 8),
        SCTP => ("SCTP", 12),
        ICMP => ("ICMP", 8),
        ICMPV6 => ("ICMPv6", 8),
        _ => return Ok(()),
    };
    let body = packet.body;
    if body.len() < shortest {
        return Err(format!("{name}: {} bytes are no header", body.len()));
    }
    match packet.protocol {
        SCTP => {
            let crc = crc32c(&[&body[..8], &[0; 4], &body[12..]].concat());
            let found = u32_at(body, 8).swap_bytes();
            let wrong = format!("SCTP: checksum is {found:#010x}, not {crc:#010x}");
            if found == crc { Ok(()) } else { Err(wrong) }
        }
        UDP if u16_at(body, 6) == 0 => {
            let forbidden = "UDP: no checksum, which IPv6 forbids".to_owned();
            if packet.v4 { Ok(()) } else { Err(forbidden) }
        }
        ICMP => expect_zero(&[body], name),
        _ => expect_zero(&[&pseudo_header(packet), body], name),
    }
}

fn pseudo_header(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in [packet.source, packet.destination] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend((packet.body.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, packet.protocol]);
    bytes
}

/// The ones' complement sum over data and checksum is all ones, its complement zero.
fn expect_zero(parts: &[&[u8]], what: &str) -> Result<(), String> {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    match 0xffff - folded {
        0 => Ok(()),
        off => Err(format!("{what}: checksum is wrong by {off:#06x}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::packet::{self, IcmpError, PacketBuilder};

    #[test]
    fn finds_what_is_wrong() {
        let from: SocketAddr = "10.1.0.11:1000".parse().unwrap();
        let to: SocketAddr = "10.96.0.1:53".parse().unwrap();
        let from_v6: SocketAddr = "[fd00::1]:1000".parse().unwrap();
        let to_v6: SocketAddr = "[fd00::2]:53".parse().unwrap();
        let ping = || packet::echo_request(from.ip(), to.ip(), 1, 1);
        let bad_inside = packet::udp(to, from).wrong_ip_checksum().build_ip();
        let bad_deeper = packet::udp(to, from).wrong_checksum().build_ip();
        let about = |embedded: &[u8]| {
            packet::icmp_error(from.ip(), to.ip(), IcmpError::PortUnreachable, embedded)
        };
        let cases: [(&str, PacketBuilder, Option<&str>); 14] = [
            ("no lie", packet::udp(from, to).payload(b"x"), None),
            ("no UDP checksum", packet::udp(from, to).zero_checksum(), None),
            ("fragment", packet::udp(from, to).wrong_checksum().fragment(0, true), None),
            ("IPv4 header", packet::udp(from, to).wrong_ip_checksum(), Some("IPv4 header")),
            ("UDP", packet::udp(from, to).wrong_checksum(), Some("UDP")),
            ("TCP", packet::tcp(from_v6, to_v6).wrong_checksum(), Some("TCP")),
            ("SCTP", packet::sctp(from, to, 1).wrong_checksum(), Some("SCTP")),
            ("ICMP", ping().wrong_checksum(), Some("ICMP")),
            (
                "ICMPv6",
                packet::echo_reply(from_v6.ip(), to_v6.ip(), 1, 1).wrong_checksum(),
                Some("ICMPv6"),
            ),
            ("no UDP checksum, IPv6", packet::udp(from_v6, to_v6).zero_checksum(), Some("IPv6")),
            ("embedded", about(&bad_inside), Some("embedded IPv4 header")),
            ("embedded transport", about(&bad_deeper), Some("embedded UDP")),
            ("embedded and cut", about(&bad_deeper[..27]), None),
            ("cut", packet::tcp(from, to).payload([0; 9]).truncate(60), Some("last 3 bytes")),
        ];
        for (what, packet, problem) in cases {
            match (verify_checksums(&packet.build()), problem) {
                (Ok(()), None) => {}
                (Err(found), Some(part)) if found.contains(part) => {}
                (found, _) => panic!("{what}: {found:?}, not {problem:?}"),
            }
        }
    }

    #[test]
    fn accepts_the_textbook_header() {
        // The example of Wikipedia's "Internet checksum": its checksum is 0xb861.
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(expect_zero(&[&header], "header"), Ok(()));
        header[8] -= 1;
        assert!(expect_zero(&[&header], "header").is_err());
    }
}
