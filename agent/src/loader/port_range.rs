//! Ranges of ports that must not meet.

use std::{fmt, fs, io};

use abi::control::PortRange;
use serde::Deserialize;

use super::error::LoadError;

/// Ports `first..=last`, neither of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Why a text is no range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of ports, such as 61000-65535")]
pub struct NoPorts(String);

/// Where the kernel says which ports it gives to sockets that ask for none (Linux,
/// Documentation/networking/ip-sysctl.rst).
const SOCKET_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

impl Ports {
    pub(super) const fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// The ports of this network namespace's own connections.
    pub(super) fn of_sockets() -> Result<Self, LoadError> {
        let error = |source| LoadError::SocketPorts { path: SOCKET_PORTS, source };
        let text = fs::read_to_string(SOCKET_PORTS).map_err(error)?;
        let words = text.split_whitespace().collect::<Vec<_>>().join("-");
        Self::try_from(words).map_err(|no| error(io::Error::other(no)))
    }

    /// As in the control record.
    pub(super) const fn range(self) -> PortRange {
        // All ports but 0 are one less than fits.
        PortRange { first: self.first, count: self.last - self.first + 1 }
    }

    /// Refuses to share a port with another range: answers would be taken for those of others.
    pub(super) fn check_apart(self, name: &'static str, other: Self) -> Result<(), LoadError> {
        if self.first <= other.last && other.first <= self.last {
            return Err(LoadError::PortsOverlap { ports: self, name, other });
        }
        Ok(())
    }
}

impl TryFrom<String> for Ports {
    type Error = NoPorts;

    fn try_from(text: String) -> Result<Self, NoPorts> {
        let range = text.split_once('-').and_then(|(first, last)| {
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        });
        match range {
            Some((first, last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(NoPorts(text)),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Result<Ports, NoPorts> {
        Ports::try_from(text.to_owned())
    }

    #[test]
    fn ranges_are_read_and_written() {
        for text in ["61000-65535", "1-1", "1-65535"] {
            assert_eq!(ports(text).unwrap().to_string(), text);
        }
        for text in ["", "80", "0-80", "90-80", "1-65536", "a-b", "1-2-3"] {
            let message = ports(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{text:?} is no range")), "{message}");
        }
        let all = ports("1-65535").unwrap().range();
        assert_eq!((all.first, all.count), (1, 65_535));
    }

    #[test]
    fn ranges_that_meet_are_named() {
        let ours = ports("100-200").unwrap();
        for (other, apart) in [
            ("1-99", true),
            ("201-300", true),
            ("1-100", false),
            ("200-300", false),
            ("150-160", false),
        ] {
            let result = ours.check_apart("node_ports", ports(other).unwrap());
            assert_eq!(result.is_ok(), apart, "{other}");
        }
        let message = ours.check_apart("node_ports", ours).unwrap_err().to_string();
        assert_eq!(message, "masquerade_ports 100-200 and node_ports 100-200 share ports");
    }
}
