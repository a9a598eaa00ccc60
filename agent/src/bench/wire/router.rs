//! What forwards.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Serialize, Serializer};

/// A router that can be put between generator and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// The agent with its programs, and [`ZONEGATE_SERVICES`].
    Zonegate,
    /// A program that redirects everything: the ceiling of whatever goes on.
    Redirect,
    /// A program that sends everything back: the ceiling of one port.
    Tx,
    /// A program that drops everything: what generator and wire take.
    Drop,
    /// The kernel's forwarding, without any netfilter rule.
    Kernel,
    /// xdp-filter of xdp-tools before the kernel's forwarding.
    XdpFilter,
    /// As kube-proxy writes its rules for so many services.
    Nftables(u32),
    Iptables(u32),
}

impl Router {
    /// Names without a number, and with.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// Services that there are; packets to a router without any go to backends themselves.
    pub fn services(self) -> Option<u32> {
        match self {
            Self::Zonegate => Some(ZONEGATE_SERVICES),
            Self::Nftables(services) | Self::Iptables(services) => Some(services),
            _ => None,
        }
    }
}

pub const ZONEGATE_SERVICES: u32 = 1000;
/// Services that packets are for, at most.
pub const CALLED: u32 = 64;
/// Most services, which is what their addresses have room for.
pub const MOST_SERVICES: u32 = 65_536;

pub const CLIENTS: &str = "198.18.0.0/15";
pub const BACKENDS: &str = "10.129.0.0/16";
pub const SERVICE_PORT: u16 = 80;
pub const BACKEND_PORT: u16 = 8080;

pub const fn service(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24 | 96 << 16) + index)
}

/// Addresses that nobody may reach: ZoneGate's workloads, and what xdp-filter is told.
pub const fn unwanted(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24 | 130 << 16) + index)
}

/// Of the service with the same number.
pub const fn backend(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((10 << 24 | 129 << 16) + index)
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zonegate => f.write_str("zonegate"),
            Self::Redirect => f.write_str("redirect"),
            Self::Tx => f.write_str("tx"),
            Self::Drop => f.write_str("drop"),
            Self::Kernel => f.write_str("kernel"),
            Self::XdpFilter => f.write_str("xdp-filter"),
            Self::Nftables(services) => write!(f, "nftables-{services}"),
            Self::Iptables(services) => write!(f, "iptables-{services}"),
        }
    }
}

/// Not the name of a router.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not one of zonegate, redirect, tx, drop, kernel, xdp-filter, nftables-N and iptables-N, N from 1 to \
     65536"
)]
pub struct NoRouter;

impl FromStr for Router {
    type Err = NoRouter;

    fn from_str(text: &str) -> Result<Self, NoRouter> {
        let services = |text: &str| {
            text.parse().ok().filter(|it| (1..=MOST_SERVICES).contains(it)).ok_or(NoRouter)
        };
        match text.split_once('-') {
            Some(("nftables", number)) => Ok(Self::Nftables(services(number)?)),
            Some(("iptables", number)) => Ok(Self::Iptables(services(number)?)),
            _ => [
                Self::Zonegate,
                Self::Redirect,
                Self::Tx,
                Self::Drop,
                Self::Kernel,
                Self::XdpFilter,
            ]
            .into_iter()
            .find(|router| router.to_string() == text)
            .ok_or(NoRouter),
        }
    }
}

impl Serialize for Router {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_are_known_by_their_names() {
        for name in
            ["zonegate", "redirect", "tx", "kernel", "xdp-filter", "nftables-10", "iptables-65536"]
        {
            assert_eq!(name.parse::<Router>().unwrap().to_string(), name);
        }
        for name in ["", "nftables", "nftables-0", "iptables-65537", "iptables-x", "ipvs-1"] {
            assert_eq!(name.parse::<Router>(), Err(NoRouter), "{name}");
        }
    }
}
