//! Addresses and CIDR blocks as Kubernetes writes them, which is not always how they are meant.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{IpNet, Ipv4Net};

use crate::model::Prefix;

/// Addresses inside a prefix and outside all exceptions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Block {
    pub prefix: Prefix,
    pub except: BTreeSet<Prefix>,
}

impl Block {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.prefix.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }
}

/// `10.0.0.0/8-10.1.0.0/16`.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)?;
        self.except.iter().try_for_each(|except| write!(f, "-{except}"))
    }
}

/// Why a text is of no use as an address or block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("{0:?} is not an IP address")]
    NotAnAddress(String),
    #[error("{0} is no address of a machine")]
    NoMachine(IpAddr),
    #[error("{0:?} is not a CIDR block")]
    NotABlock(String),
}

/// Reads the address of a pod or node.
pub(super) fn address(text: &str) -> Result<IpAddr, AddressError> {
    let address = parse(text).ok_or_else(|| AddressError::NotAnAddress(text.to_owned()))?;
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(AddressError::NoMachine(address));
    }
    Ok(address)
}

/// Reads the address that a node has a port at: the unspecified one stands for all of a family, and
/// 127.0.0.1 for all loopback addresses, which are one to a node's own processes.
pub(super) fn own_address(text: &str) -> Result<IpAddr, AddressError> {
    match parse(text) {
        Some(IpAddr::V4(it)) if it.is_loopback() => Ok(Ipv4Addr::LOCALHOST.into()),
        Some(own) if own.is_unspecified() || own.is_loopback() => Ok(own),
        _ => address(text),
    }
}

/// Reads a CIDR block. Older clusters hold blocks with host bits set: these mean nothing.
pub(super) fn prefix(text: &str) -> Result<Prefix, AddressError> {
    let not_a_block = || AddressError::NotABlock(text.to_owned());
    let (address, length) = text.split_once('/').ok_or_else(not_a_block)?;
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse::<u8>().ok().filter(|_| digits).ok_or_else(not_a_block)?;
    let given = parse_plain(address).ok_or_else(not_a_block)?;
    let net = match given {
        IpAddr::V6(v6)
            if length >= MAPPED_BITS
                && let Some(v4) = v6.to_ipv4_mapped() =>
        {
            Ipv4Net::new(v4, length - MAPPED_BITS).map(IpNet::V4)
        }
        _ => IpNet::new(given, length),
    };
    let net = net.map_err(|_| not_a_block())?;
    Prefix::new(net.trunc()).map_err(|_| not_a_block())
}

/// Packets never carry IPv4-mapped IPv6 addresses: the IPv4 address is meant.
fn parse(text: &str) -> Option<IpAddr> {
    parse_plain(text).map(|address| address.to_canonical())
}

/// Kubernetes reads leading zeros as decimal (KEP-4858), so older objects may have them.
fn parse_plain(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| sloppy(text).map(IpAddr::V4))
}

fn sloppy(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// How many bits of an IPv4-mapped address come before the IPv4 address.
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_they_are_meant() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("010.001.002.003/8", Some("10.0.0.0/8")),
            ("fd00::1/64", Some("fd00::/64")),
            ("::ffff:10.1.2.3/104", Some("10.0.0.0/8")),
            ("::/0", Some("::/0")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.0.0.1", None),
            ("10.0.0.1/33", None),
            ("10.0.0.1/+8", None),
            ("10.0.0.1/", None),
            ("fd00::/129", None),
            ("10.0.0/8", None),
            ("ten/8", None),
        ] {
            let read = prefix(text).ok().map(|prefix| prefix.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_those_of_machines() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("010.0.0.01", Some("10.0.0.1")),
            ("fd00::1", Some("fd00::1")),
            ("127.0.0.1", None),
            ("0.0.0.0", None),
            ("ff02::1", None),
            ("", None),
            ("node-1", None),
        ] {
            let read = address(text).ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
