//! A frame as named fields, for people.

use std::fmt::{Display, Write};

use super::{
    layers::{Frame, Packet, u16_at, u32_at},
    numbers::{self, ICMP, ICMPV6, SCTP, TCP, UDP},
    transport::TcpFlags,
    verify,
};

/// One field and its value, such as `ipv4.ttl` and `64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub value: String,
}

/// All fields of an Ethernet frame, in the order of their bytes; malformed frames as far as they go.
pub fn fields(frame: &[u8]) -> Vec<Field> {
    let mut out = Fields { prefix: String::new(), list: Vec::new() };
    let frame = Frame::parse(frame);
    out.push("ethernet.destination", bytes_text(frame.destination));
    out.push("ethernet.source", bytes_text(frame.source));
    for (tpid, tag) in &frame.tags {
        let what = if *tpid == numbers::ETHERTYPE_QINQ { "qinq" } else { "vlan" };
        out.push(what, format!("id {} priority {}", tag & 0xfff, tag >> 13));
    }
    let ether_type = frame.ether_type.map_or("missing".to_owned(), ether_type_text);
    out.push("ethernet.type", ether_type);
    match frame.packet() {
        Some(packet) => out.packet(&packet),
        None => out.push("data", bytes_text(frame.rest)),
    }
    out.list
}

/// The source port of a frame without tags, options or extension headers.
///
/// # Panics
/// If the frame ends before.
pub fn source_port(frame: &[u8]) -> u16 {
    let at = if frame[14] >> 4 == 4 { 34 } else { 54 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// One line about a frame: addresses, ports, protocol, flags, length.
pub fn summary(frame: &[u8]) -> String {
    let parsed = Frame::parse(frame);
    let Some(packet) = parsed.packet() else {
        let ether_type = parsed.ether_type.map_or("cut short".to_owned(), ether_type_text);
        return format!("{ether_type}, {} bytes", frame.len());
    };
    let (source, destination) = (packet.source, packet.destination);
    let protocol = protocol_text(packet.protocol);
    let detail = match packet.protocol {
        _ if !packet.has_transport() => "fragment".to_owned(),
        TCP | UDP | SCTP if packet.body.len() >= 4 => {
            let ports = format!("{} > {}", u16_at(packet.body, 0), u16_at(packet.body, 2));
            match packet.body.get(13).filter(|_| packet.protocol == TCP) {
                Some(flags) => format!("{ports} [{}]", flags_text(*flags)),
                None => ports,
            }
        }
        ICMP | ICMPV6 if packet.body.len() >= 2 => {
            format!("type {} code {}", packet.body[0], packet.body[1])
        }
        _ => String::new(),
    };
    format!("{source} > {destination} {protocol} {detail}, {} bytes", frame.len())
}

struct Fields {
    prefix: String,
    list: Vec<Field>,
}

impl Fields {
    fn push(&mut self, name: &str, value: impl Display) {
        let name = format!("{}{name}", self.prefix);
        self.list.push(Field { name, value: value.to_string() });
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        let header = if packet.v4 { Self::ipv4 } else { Self::ipv6 };
        header(self, packet);
        if packet.missing > 0 {
            self.push("ip.missing", format!("{} bytes", packet.missing));
        }
        if packet.has_transport() {
            self.transport(packet);
        } else {
            self.push("payload", bytes_text(packet.body));
        }
    }

    fn ipv4(&mut self, packet: &Packet<'_>) {
        let header = packet.header;
        // The header is shorter than its fixed part if the length fields say so.
        if header.len() < 20 {
            return self.push("ipv4.header", bytes_text(header));
        }
        self.push("ipv4.header_words", header[0] & 0xf);
        self.push("ipv4.tos", header[1]);
        self.push("ipv4.length", u16_at(header, 2));
        self.push("ipv4.identification", u16_at(header, 4));
        let flags = u16_at(header, 6);
        self.push("ipv4.dont_fragment", flags & 0x4000 != 0);
        self.push("ipv4.more_fragments", flags & 0x2000 != 0);
        self.push("ipv4.offset", (flags & 0x1fff) * 8);
        self.push("ipv4.ttl", header[8]);
        self.push("ipv4.protocol", protocol_text(header[9]));
        self.push("ipv4.checksum", format!("{:#06x}", u16_at(header, 10)));
        self.push("ipv4.source", packet.source);
        self.push("ipv4.destination", packet.destination);
        if header.len() > 20 {
            self.push("ipv4.options", bytes_text(&header[20..]));
        }
    }

    fn ipv6(&mut self, packet: &Packet<'_>) {
        let word = u32_at(packet.header, 0);
        self.push("ipv6.traffic_class", (word >> 20) & 0xff);
        self.push("ipv6.flow_label", word & 0xf_ffff);
        self.push("ipv6.length", u16_at(packet.header, 4));
        self.push("ipv6.next", protocol_text(packet.header[6]));
        self.push("ipv6.hop_limit", packet.header[7]);
        self.push("ipv6.source", packet.source);
        self.push("ipv6.destination", packet.destination);
        for (number, extension) in &packet.extensions {
            self.push(&format!("ipv6.extension.{number}"), bytes_text(extension));
        }
        if let Some(fragment) = packet.fragment {
            self.push("ipv6.fragment.offset", fragment.offset);
            self.push("ipv6.fragment.more", fragment.more);
            self.push("ipv6.fragment.identification", fragment.identification);
        }
    }

    fn transport(&mut self, packet: &Packet<'_>) {
        let body = packet.body;
        let payload = match packet.protocol {
            TCP if body.len() >= 20 => {
                self.ports("tcp", body);
                self.push("tcp.sequence", u32_at(body, 4));
                self.push("tcp.acknowledgement", u32_at(body, 8));
                self.push("tcp.header_words", body[12] >> 4);
                self.push("tcp.flags", flags_text(body[13]));
                self.push("tcp.window", u16_at(body, 14));
                self.push("tcp.checksum", format!("{:#06x}", u16_at(body, 16)));
                let end = (usize::from(body[12] >> 4) * 4).clamp(20, body.len());
                if end > 20 {
                    self.push("tcp.options", bytes_text(&body[20..end]));
                }
                end
            }
            UDP if body.len() >= 8 => {
                self.ports("udp", body);
                self.push("udp.length", u16_at(body, 4));
                self.push("udp.checksum", format!("{:#06x}", u16_at(body, 6)));
                8
            }
            SCTP if body.len() >= 12 => {
                self.ports("sctp", body);
                self.push("sctp.tag", u32_at(body, 4));
                self.push("sctp.checksum", format!("{:#010x}", u32_at(body, 8)));
                12
            }
            ICMP | ICMPV6 if body.len() >= 8 => {
                self.push("icmp.type", body[0]);
                self.push("icmp.code", body[1]);
                self.push("icmp.checksum", format!("{:#06x}", u16_at(body, 2)));
                self.push("icmp.rest", bytes_text(&body[4..8]));
                if let Some(embedded) = verify::embedded(packet) {
                    let outer = format!("{}embedded.", self.prefix);
                    let outer = std::mem::replace(&mut self.prefix, outer);
                    self.packet(&embedded);
                    self.prefix = outer;
                    return;
                }
                8
            }
            _ => 0,
        };
        self.push("payload", bytes_text(&body[payload..]));
    }

    fn ports(&mut self, protocol: &str, body: &[u8]) {
        self.push(&format!("{protocol}.source"), u16_at(body, 0));
        self.push(&format!("{protocol}.destination"), u16_at(body, 2));
    }
}

fn ether_type_text(ether_type: u16) -> String {
    match ether_type {
        numbers::ETHERTYPE_IPV4 => "IPv4".to_owned(),
        numbers::ETHERTYPE_IPV6 => "IPv6".to_owned(),
        numbers::ETHERTYPE_ARP => "ARP".to_owned(),
        other => format!("{other:#06x}"),
    }
}

fn protocol_text(protocol: u8) -> String {
    match protocol {
        TCP => "TCP".to_owned(),
        UDP => "UDP".to_owned(),
        SCTP => "SCTP".to_owned(),
        ICMP => "ICMP".to_owned(),
        ICMPV6 => "ICMPv6".to_owned(),
        other => other.to_string(),
    }
}

fn flags_text(flags: u8) -> String {
    let set = TcpFlags::NAMES.iter().filter(|(flag, _)| flags & flag.0 != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

fn bytes_text(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    if !bytes.is_empty() && bytes.iter().all(printable) {
        return format!("{hex} {:?}", String::from_utf8_lossy(bytes));
    }
    format!("{hex} ({} bytes)", bytes.len())
}
