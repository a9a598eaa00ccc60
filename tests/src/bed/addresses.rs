//! The bed's address plan. Beds never share a namespace, so all of them use the same one.
//!
//! | who | IPv4 | IPv6 |
//! |---|---|---|
//! | uplink subnet: node `.1`, remotes from `.11` | 192.168.50.0/24 | fd00:50::/64 |
//! | workloads on the node | 10.1.0.0/24 | fd00:1::/64 |
//! | pods of the n-th remote | 10.2.n.0/24 | fd00:2:n::/64 |
//! | outside clients | 198.51.100.0/24 | 2001:db8:64::/64 |
//! | service addresses inside | 10.96.0.0/16 | fd00:96::/64 |
//! | service addresses outside | 203.0.113.0/24 | 2001:db8:cb::/64 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 and the IPv6 address of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dual {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Dual {
    /// Both addresses, for tests that do the same over each family.
    pub fn each(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// The n-th service address used inside the cluster, from 1.
pub fn cluster_vip(n: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(10, 96, 0, n),
        v6: Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, n.into()),
    }
}

/// The n-th service address for clients outside the cluster, from 1.
pub fn external_vip(n: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(203, 0, 113, n),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xcb, 0, 0, 0, 0, n.into()),
    }
}

/// Prefixes of service addresses, which remotes route to the node.
pub const SERVICE_PREFIXES: [&str; 4] =
    ["10.96.0.0/16", "203.0.113.0/24", "fd00:96::/64", "2001:db8:cb::/64"];
pub const WORKLOAD_PREFIXES: [&str; 2] = ["10.1.0.0/24", "fd00:1::/64"];
pub const CLIENT_PREFIXES: [&str; 2] = ["198.51.100.0/24", "2001:db8:64::/64"];
pub const UPLINK_PREFIXES: [&str; 2] = ["192.168.50.0/24", "fd00:50::/64"];

/// The prefixes of the n-th remote's pods.
pub fn remote_pod_prefixes(n: u8) -> [String; 2] {
    [format!("10.2.{n}.0/24"), format!("fd00:2:{n:x}::/64")]
}

/// What workloads use as their gateway: the same on every port of the node.
pub(super) const WORKLOAD_GATEWAY: Dual =
    Dual { v4: Ipv4Addr::new(10, 1, 0, 1), v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1) };

pub(super) const NODE: Dual =
    Dual { v4: Ipv4Addr::new(192, 168, 50, 1), v6: Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 1) };

/// The n-th workload, from 1.
pub(super) fn workload(n: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(10, 1, 0, 10 + n),
        v6: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, u16::from(10 + n)),
    }
}

/// The n-th remote host, from 1.
pub(super) fn remote(n: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(192, 168, 50, 10 + n),
        v6: Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, u16::from(10 + n)),
    }
}

/// The m-th pod of the n-th remote, both from 1.
pub(super) fn remote_pod(n: u8, m: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(10, 2, n, m),
        v6: Ipv6Addr::new(0xfd00, 2, n.into(), 0, 0, 0, 0, m.into()),
    }
}

/// The n-th outside client, from 1.
pub(super) fn client(n: u8) -> Dual {
    Dual {
        v4: Ipv4Addr::new(198, 51, 100, 10 + n),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, u16::from(10 + n)),
    }
}
