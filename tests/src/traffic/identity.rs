//! Who answers, and what an answer says.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};

use crate::bed::Host;

/// The name and zone that a server gives in its answers.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    name: String,
    zone: String,
}

impl Identity {
    pub fn of(host: &Host) -> Self {
        Self { name: host.name().to_owned(), zone: host.zone().to_owned() }
    }

    pub fn named(name: &str, zone: &str) -> Self {
        Self { name: name.to_owned(), zone: zone.to_owned() }
    }

    /// The line that [`Reply::parse`] reads.
    pub fn line(&self, client: SocketAddr) -> String {
        format!("server={} zone={} client={client}\n", self.name, self.zone)
    }
}

/// What a server said about itself and about the client it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub server: String,
    pub zone: String,
    /// The client's address and port as the server saw them.
    pub client: SocketAddr,
    /// The client's own view of its address and port.
    pub local: SocketAddr,
    /// What followed: for UDP the payload that came back.
    pub payload: Vec<u8>,
}

impl Reply {
    /// Whether the server saw the client's real address, not one that somebody put in its place.
    pub fn client_is_real(&self) -> bool {
        self.client == self.local
    }

    pub(super) fn parse(bytes: &[u8], local: SocketAddr) -> Result<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n').context("no line of identity")?;
        let line = std::str::from_utf8(&bytes[..end])?;
        let value = |key: &str| {
            let mut words = line.split(' ');
            words
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .with_context(|| format!("no {key} in {line:?}"))
        };
        Ok(Self {
            server: value("server")?.to_owned(),
            zone: value("zone")?.to_owned(),
            client: value("client")?.parse().context("the client's address")?,
            local,
            payload: bytes[end + 1..].to_vec(),
        })
    }
}

/// Where a client's sockets start from: an address of its own choice or the kernel's.
pub(super) fn any_port(server: SocketAddr) -> SocketAddr {
    let any = if server.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
    SocketAddr::new(any, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_reads_what_an_identity_writes() {
        let client: SocketAddr = "[fd00::1]:7".parse().unwrap();
        let mut bytes = Identity::named("zone-b-1", "").line(client).into_bytes();
        bytes.extend(b"rest");
        let reply = Reply::parse(&bytes, client).unwrap();
        assert_eq!((reply.server.as_str(), reply.zone.as_str()), ("zone-b-1", ""));
        assert!(reply.client_is_real());
        assert_eq!(reply.payload, b"rest");
        assert!(Reply::parse(b"server=x zone=y\n", client).is_err());
    }
}
