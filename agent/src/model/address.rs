//! Who has which address: nodes, workloads and named sets of prefixes.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::Deserialize;

/// A CIDR prefix without host bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(IpNet);

/// Why a text is not a [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("{0:?} is not an address or CIDR prefix")]
    Syntax(String),
    #[error("{given} has host bits set; the prefix is {prefix}")]
    HostBits { given: IpNet, prefix: IpNet },
}

impl Prefix {
    /// Accepts a prefix whose host bits are all zero.
    pub fn new(net: IpNet) -> Result<Self, PrefixError> {
        let prefix = net.trunc();
        if prefix == net {
            Ok(Self(net))
        } else {
            Err(PrefixError::HostBits { given: net, prefix })
        }
    }

    /// The prefix that holds exactly one address.
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    pub fn net(self) -> IpNet {
        self.0
    }

    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// Parses `10.0.0.0/8`, `fd00::/8`, or a bare address as a host prefix.
impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::host(address));
        }
        text.parse().map_err(|_| PrefixError::Syntax(text.to_owned())).and_then(Self::new)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A machine of the cluster; the one the agent runs on is known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// The addresses the node's own stack answers to.
    pub addresses: Vec<IpAddr>,
    /// Empty when the node has none.
    pub zone: String,
    pub region: String,
    pub labels: BTreeMap<String, String>,
    /// What its pods get their addresses from: whoever has one of these is a pod, known or not.
    pub pod_prefixes: Vec<Prefix>,
    /// Its share of the cluster's clients.
    pub weight: u64,
}

impl Node {
    /// What a node weighs that nobody says more of: one CPU, in thousandths.
    pub const WEIGHT: u64 = 1000;
}

/// Something with addresses of its own behind a port of a node: a pod, a VM, a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `namespace/name` by convention; unique.
    pub name: String,
    /// The node it runs on, by name; the node need not be known.
    pub node: String,
    pub addresses: Vec<IpAddr>,
    /// The host side of its port, as the kernel names it; empty when the agent has to find it.
    pub interface: String,
}

/// A named set of addresses: those inside `prefixes` and outside `except`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSet {
    pub name: String,
    pub prefixes: Vec<Prefix>,
    pub except: Vec<Prefix>,
}

impl AddressSet {
    pub fn contains(&self, address: IpAddr) -> bool {
        let inside = |list: &[Prefix]| list.iter().any(|prefix| prefix.contains(address));
        inside(&self.prefixes) && !inside(&self.except)
    }
}
