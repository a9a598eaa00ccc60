//! Who may talk to whom.

use std::{fmt, str::FromStr};

/// The tiers in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Cluster-wide rules that come before any other; first match wins.
    Admin,
    /// Kubernetes NetworkPolicy: additive, default-deny for the directions it lists.
    Network,
    /// Cluster-wide defaults for what no other tier decided; first match wins.
    Baseline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Accept,
    Deny,
    /// Leaves the decision to the next tier.
    Pass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The IP protocol number (IANA).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// An inclusive range of ports, `1 ≤ first ≤ last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    #[error("port {0} is outside 1-65535")]
    OutOfRange(u32),
    #[error("port range {first}-{last} ends before it begins")]
    Reversed { first: u32, last: u32 },
}

impl PortRange {
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    pub fn new(first: u32, last: u32) -> Result<Self, PortRangeError> {
        let port = |value: u32| match u16::try_from(value) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(PortRangeError::OutOfRange(value)),
        };
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            return Err(PortRangeError::Reversed { first, last });
        }
        Ok(range)
    }

    pub const fn first(self) -> u16 {
        self.first
    }

    pub const fn last(self) -> u16 {
        self.last
    }

    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// One line of a rule's ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortMatch {
    pub protocol: Protocol,
    pub range: PortRange,
}

/// Matches a connection by its peer and its destination port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What answers call the rule; empty when it has no name. Decides nothing.
    pub name: String,
    pub action: Action,
    /// Names of address sets; `None` is every address, an empty list none.
    pub peers: Option<Vec<String>>,
    /// `None` is everything, ICMP and unknown protocols included; an empty list is nothing.
    pub ports: Option<Vec<PortMatch>>,
}

/// Rules for the workloads whose addresses are in any of `subjects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub tier: Tier,
    /// Ascending within the admin and baseline tiers, then by name; without meaning in the
    /// network tier.
    pub priority: u32,
    /// Names of address sets.
    pub subjects: Vec<String>,
    /// `None`: this policy says nothing of the direction. `Some(vec![])` in the network tier
    /// isolates and allows nothing.
    pub ingress: Option<Vec<Rule>>,
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// The rules of both directions.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        [&self.ingress, &self.egress].into_iter().flatten().flatten()
    }

    /// The names of the sets that rules name.
    pub fn peer_sets(&self) -> impl Iterator<Item = &str> {
        self.rules().filter_map(|rule| rule.peers.as_ref()).flatten().map(String::as_str)
    }
}

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            _ => Err(()),
        }
    }
}
