//! Finds the layers of a frame without objecting to any of it.
//!
//! Independent of the builder, so that what one gets wrong the other shows.

use std::net::IpAddr;

use super::numbers::{
    AUTHENTICATION, DESTINATION_OPTIONS, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ,
    ETHERTYPE_VLAN, FRAGMENT, HOP_BY_HOP, ROUTING,
};

/// An Ethernet frame; what is cut off is empty.
pub(super) struct Frame<'a> {
    pub destination: &'a [u8],
    pub source: &'a [u8],
    /// TPID and tag, outermost first.
    pub tags: Vec<(u16, u16)>,
    pub ether_type: Option<u16>,
    pub rest: &'a [u8],
}

impl<'a> Frame<'a> {
    pub fn parse(frame: &'a [u8]) -> Self {
        let (destination, rest) = split(frame, 6);
        let (source, mut rest) = split(rest, 6);
        let mut tags = Vec::new();
        let mut ether_type = take_u16(&mut rest);
        while let Some(tpid @ (ETHERTYPE_VLAN | ETHERTYPE_QINQ)) = ether_type {
            let Some(tag) = take_u16(&mut rest) else { break };
            tags.push((tpid, tag));
            ether_type = take_u16(&mut rest);
        }
        Self { destination, source, tags, ether_type, rest }
    }

    /// The IP packet, if the frame says that it carries one with whole addresses.
    pub fn packet(&self) -> Option<Packet<'a>> {
        match self.ether_type {
            Some(ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => Packet::parse(self.rest),
            _ => None,
        }
    }
}

/// An IP packet whose fixed header is there.
pub(super) struct Packet<'a> {
    pub v4: bool,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// The fixed header, with IPv4's options as far as they are there.
    pub header: &'a [u8],
    /// IPv6 extension headers, each with its number.
    pub extensions: Vec<(u8, &'a [u8])>,
    pub fragment: Option<Fragment>,
    pub protocol: u8,
    /// What the packet carries, to the end its length field names or the frame's.
    pub body: &'a [u8],
    /// Bytes that the length field promises and the frame lacks.
    pub missing: usize,
}

/// Present also for an IPv6 fragment header of a whole packet ("atomic").
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    pub offset: u16,
    pub more: bool,
    pub identification: u32,
}

impl<'a> Packet<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 if bytes.len() >= 20 => Some(Self::parse_v4(bytes)),
            6 if bytes.len() >= 40 => Some(Self::parse_v6(bytes)),
            _ => None,
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Self {
        let (whole, missing) = within(bytes, usize::from(u16_at(bytes, 2)));
        let (header, body) = split(whole, usize::from(bytes[0] & 0xf) * 4);
        let flags = u16_at(bytes, 6);
        let fragment = Fragment {
            offset: (flags & 0x1fff) * 8,
            more: flags & 0x2000 != 0,
            identification: u16_at(bytes, 4).into(),
        };
        Self {
            v4: true,
            source: address::<4>(bytes, 12),
            destination: address::<4>(bytes, 16),
            header,
            extensions: Vec::new(),
            fragment: (fragment.offset != 0 || fragment.more).then_some(fragment),
            protocol: bytes[9],
            body,
            missing,
        }
    }

    fn parse_v6(bytes: &'a [u8]) -> Self {
        let (whole, missing) = within(bytes, 40 + usize::from(u16_at(bytes, 4)));
        let (header, mut body) = split(whole, 40);
        let mut protocol = bytes[6];
        let mut extensions = Vec::new();
        let mut fragment = None;
        while body.len() >= 8 && fragment.is_none_or(|f: Fragment| f.offset == 0) {
            let length = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(body[1]) + 1) * 8,
                AUTHENTICATION => (usize::from(body[1]) + 2) * 4,
                FRAGMENT => {
                    let field = u16_at(body, 2);
                    let identification = u32::from(u16_at(body, 4)) << 16;
                    fragment = Some(Fragment {
                        offset: field & !7,
                        more: field & 1 != 0,
                        identification: identification | u32::from(u16_at(body, 6)),
                    });
                    8
                }
                _ => break,
            };
            let (extension, rest) = split(body, length);
            extensions.push((protocol, extension));
            protocol = body[0];
            body = rest;
        }
        Self {
            v4: false,
            source: address::<16>(bytes, 8),
            destination: address::<16>(bytes, 24),
            header,
            extensions,
            fragment,
            protocol,
            body,
            missing,
        }
    }

    /// Whether the transport header stands at the start of the body.
    pub fn has_transport(&self) -> bool {
        self.fragment.is_none_or(|fragment| fragment.offset == 0)
    }

    /// Whether the body is the whole transport segment, so that its checksum can be checked.
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.fragment.is_none_or(|f| f.offset == 0 && !f.more)
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    (u32::from(u16_at(bytes, at)) << 16) | u32::from(u16_at(bytes, at + 2))
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*value))
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// The first `length` bytes, and how many of them are missing.
fn within(bytes: &[u8], length: usize) -> (&[u8], usize) {
    (split(bytes, length).0, length.saturating_sub(bytes.len()))
}

fn address<const N: usize>(bytes: &[u8], at: usize) -> IpAddr
where
    IpAddr: From<[u8; N]>,
{
    let mut address = [0; N];
    address.copy_from_slice(&bytes[at..at + N]);
    address.into()
}
