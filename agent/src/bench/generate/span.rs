//! Addresses and ports that frames are of.

use std::{
    net::{AddrParseError, IpAddr},
    num::ParseIntError,
    str::FromStr,
};

use abi::generate::Span;
use ipnet::IpNet;

/// Addresses of one family that differ in their last 32 bits only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub first: IpAddr,
    pub count: u32,
}

/// Ports, from the first on; never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// Why a text is none of these.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("not an address: {0}")]
    Address(#[from] AddrParseError),
    #[error("not a prefix: {0}")]
    Prefix(#[from] ipnet::AddrParseError),
    #[error("not a port: {0}")]
    Port(#[from] ParseIntError),
    #[error("the last one is before the first")]
    Backwards,
    #[error("both have to be of one family, and differ in the last 32 bits only")]
    Apart,
    #[error("there are too many: at most 4294967295")]
    TooMany,
    #[error("not six bytes in hexadecimal with colons between")]
    Mac,
}

impl Addresses {
    pub fn span(&self) -> Span {
        Span { first: low_bits(self.first), count: self.count }
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, SpanError> {
        let together = match (first, last) {
            (IpAddr::V4(_), IpAddr::V4(_)) => true,
            (IpAddr::V6(first), IpAddr::V6(last)) => first.to_bits() >> 32 == last.to_bits() >> 32,
            _ => false,
        };
        if !together {
            return Err(SpanError::Apart);
        }
        let distance = low_bits(last).checked_sub(low_bits(first)).ok_or(SpanError::Backwards)?;
        Ok(Self { first, count: distance.checked_add(1).ok_or(SpanError::TooMany)? })
    }
}

impl FromStr for Addresses {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        if let Some((first, last)) = text.split_once('-') {
            return Self::between(first.parse()?, last.parse()?);
        }
        if text.contains('/') {
            let net: IpNet = text.parse()?;
            return Self::between(net.network(), net.broadcast());
        }
        let only = text.parse()?;
        Self::between(only, only)
    }
}

impl Ports {
    pub fn span(self) -> Span {
        Span { first: self.first.into(), count: u32::from(self.last - self.first) + 1 }
    }
}

impl FromStr for Ports {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse()?, last.parse()?);
        if last < first { Err(SpanError::Backwards) } else { Ok(Self { first, last }) }
    }
}

impl FromStr for Mac {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let bytes = text.split(':').map(|byte| match byte.len() {
            1 | 2 => u8::from_str_radix(byte, 16).map_err(|_| SpanError::Mac),
            _ => Err(SpanError::Mac),
        });
        let bytes = bytes.collect::<Result<Vec<u8>, _>>()?;
        bytes.try_into().map(Self).map_err(|_| SpanError::Mac)
    }
}

/// The last 32 bits of an address.
fn low_bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_or_several() {
        for (text, first, count) in [
            ("10.0.0.1", "10.0.0.1", 1),
            ("10.0.0.1-10.0.1.0", "10.0.0.1", 256),
            ("10.0.0.77/24", "10.0.0.0", 256),
            ("10.0.0.77/32", "10.0.0.77", 1),
            ("2001:db8::1", "2001:db8::1", 1),
            ("2001:db8::1-2001:db8::ffff:ffff", "2001:db8::1", u32::MAX),
            ("2001:db8::/112", "2001:db8::", 65_536),
        ] {
            let expected = Addresses { first: first.parse().unwrap(), count };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("10.0.0.2-10.0.0.1", SpanError::Backwards),
            ("10.0.0.2-::1", SpanError::Apart),
            ("2001:db8::-2001:db8:0:1::", SpanError::Apart),
            ("2001:db8::/64", SpanError::Apart),
            ("0.0.0.0/0", SpanError::TooMany),
        ] {
            assert_eq!(text.parse::<Addresses>(), Err(expected), "{text}");
        }
        for text in ["", "web", "10.0.0.0/33", "10.0.0.1-"] {
            text.parse::<Addresses>().unwrap_err();
        }
    }

    #[test]
    fn ports_are_one_or_several() {
        let span = |text: &str| text.parse::<Ports>().map(Ports::span);
        assert_eq!(span("80"), Ok(Span { first: 80, count: 1 }));
        assert_eq!(span("0-65535"), Ok(Span { first: 0, count: 65_536 }));
        assert_eq!(span("81-80"), Err(SpanError::Backwards));
        assert!(span("65536").is_err() && span("").is_err() && span("1-2-3").is_err());
    }

    #[test]
    fn link_addresses_have_six_bytes() {
        assert_eq!("2:0:a:ff:00:01".parse(), Ok(Mac([2, 0, 10, 255, 0, 1])));
        for text in ["", "2:0:a:ff:00", "2:0:a:ff:00:01:02", "2:0:a:ff:00:100", "2:0:a:ff:00:g"] {
            assert_eq!(text.parse::<Mac>(), Err(SpanError::Mac), "{text}");
        }
    }
}
