//! One machine of the bed: the node, a workload, a remote host or an outside client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use super::addresses::Dual;
use crate::{capture::Capture, netns::Netns};

/// Anything of the bed that has addresses and a namespace of its own.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) name: String,
    pub(super) zone: String,
    pub(super) netns: Netns,
    pub(super) interface: String,
    pub(super) mac: [u8; 6],
    pub(super) peer: Peer,
    pub(super) addresses: Dual,
    pub(super) pods: Vec<Dual>,
}

/// The other end of a host's veth pair.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub netns: Netns,
    pub interface: String,
    pub mac: [u8; 6],
}

impl Host {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zone; empty for outside clients.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The host's own interface, inside its namespace; the node's is its uplink.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The other end of its cable: for a workload the port in the node, else a switch port.
    pub fn port(&self) -> &str {
        &self.peer.interface
    }

    /// The namespace that holds [`Host::port`].
    pub fn port_netns(&self) -> &Netns {
        &self.peer.netns
    }

    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The link address of [`Host::port`]: a workload's gateway.
    pub fn port_mac(&self) -> [u8; 6] {
        self.peer.mac
    }

    pub fn v4(&self) -> Ipv4Addr {
        self.addresses.v4
    }

    pub fn v6(&self) -> Ipv6Addr {
        self.addresses.v6
    }

    pub fn addresses(&self) -> Dual {
        self.addresses
    }

    /// The host's IPv4 and IPv6 address with a port.
    pub fn sockets(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses.each().map(|ip| SocketAddr::new(ip, port))
    }

    /// The address of the family of `like`.
    pub fn same_family(&self, like: IpAddr) -> IpAddr {
        if like.is_ipv4() { self.v4().into() } else { self.v6().into() }
    }

    /// The n-th pod that a remote host carries, from 0; its addresses are local to that host.
    pub fn pod(&self, n: usize) -> Dual {
        *self.pods.get(n).unwrap_or_else(|| panic!("{} has {} pods", self.name, self.pods.len()))
    }

    /// Sees and sends frames on the host's interface.
    pub fn capture(&self) -> Result<Capture> {
        Capture::open(&self.netns, &self.interface)
    }

    /// Makes checksums and segments on both ends of the cable those of a real wire.
    ///
    /// All but workloads are like that from the start: a workload's stack hands over packets with
    /// partial checksums and of up to 64 KiB, as pods do.
    pub fn turn_offloads_off(&self) -> Result<()> {
        for (netns, interface) in
            [(&self.netns, &self.interface), (&self.peer.netns, &self.peer.interface)]
        {
            netns.shell(&format!("ethtool -K {interface} tx off tso off gso off"))?;
        }
        Ok(())
    }
}
