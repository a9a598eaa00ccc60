//! A node under test, its workloads, and a world around it.
//!
//! ```text
//!  workload ns   workload ns            remote ns   remote ns   client ns
//!     eth0          eth0                   eth0        eth0       eth0
//!      │             │                      │           │          │
//!    zg-web        zg-shop                port1       port2      port3
//!  ┌───┴─────────────┴───┐              ┌───┴───────────┴──────────┴───┐
//!  │ node ns     uplink0 ├──────────────┤ port0    br0     fabric ns   │
//!  └─────────────────────┘              └──────────────────────────────┘
//! ```
//!
//! Every cable but the workloads' carries frames as a real wire does: full checksums, nothing
//! above the MTU. Outside clients reach everything through the node and are reached through it,
//! so that replies to them pass the node whichever backend answers.

use std::time::Duration;

use anyhow::{Context, Result};

pub use self::{
    addresses::{Dual, cluster_vip, external_vip},
    builder::BedBuilder,
    host::Host,
};
use crate::netns::Netns;

pub mod addresses;
mod builder;
mod host;
mod neighbour;
mod ready;
mod receiver;
mod wiring;

/// A running topology; dropping it removes its namespaces.
#[derive(Debug)]
pub struct Bed {
    name: String,
    node: Host,
    fabric: Netns,
    workloads: Vec<Host>,
    remotes: Vec<Host>,
    clients: Vec<Host>,
    /// Kept for what it does to the far end of the uplink.
    receiver: Option<receiver::Receiver>,
}

impl Bed {
    pub fn builder() -> BedBuilder {
        BedBuilder::default()
    }

    /// Three zones of two hosts (`zone-a-1` … `zone-c-2`), the node in `zone-a`, the workloads
    /// `web`, `shop`, `batch` and `spare`, and the client `outside`.
    pub fn three_zones() -> Result<Self> {
        let mut builder = Self::builder().node("node-a", "zone-a").client("outside");
        for zone in ["zone-a", "zone-b", "zone-c"] {
            for n in 1..=2 {
                builder = builder.remote(&format!("{zone}-{n}"), zone);
            }
        }
        for workload in ["web", "shop", "batch", "spare"] {
            builder = builder.workload(workload);
        }
        builder.build()
    }

    /// The prefix of the bed's namespaces, `zg-<pid>-<n>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node under test; its interface is the uplink.
    pub fn node(&self) -> &Host {
        &self.node
    }

    /// The workload of this name; panics, naming those there are, if there is none.
    pub fn workload(&self, name: &str) -> &Host {
        find(&self.workloads, name)
    }

    /// The remote host of this name; panics like [`Bed::workload`].
    pub fn remote(&self, name: &str) -> &Host {
        find(&self.remotes, name)
    }

    /// The outside client of this name; panics like [`Bed::workload`].
    pub fn client(&self, name: &str) -> &Host {
        find(&self.clients, name)
    }

    pub fn workloads(&self) -> &[Host] {
        &self.workloads
    }

    pub fn remotes(&self) -> &[Host] {
        &self.remotes
    }

    pub fn clients(&self) -> &[Host] {
        &self.clients
    }

    /// The switch's namespace; its side of the uplink is [`Host::port`] of the node.
    pub fn fabric(&self) -> &Netns {
        &self.fabric
    }

    /// Has the node resolve every other host, and every other host resolve the node.
    pub fn warm_neighbours(&self) -> Result<()> {
        let others = || self.workloads.iter().chain(&self.remotes).chain(&self.clients);
        let addresses: Vec<_> = others().flat_map(|host| host.addresses.each()).collect();
        ready::resolve(&self.node.netns, &addresses, RESOLVE_TIMEOUT).context("on the node")?;
        for host in self.remotes.iter().chain(&self.clients) {
            ready::resolve(&host.netns, &self.node.addresses.each(), RESOLVE_TIMEOUT)
                .with_context(|| format!("on {}", host.name))?;
        }
        Ok(())
    }
}

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

fn find<'a>(hosts: &'a [Host], name: &str) -> &'a Host {
    hosts.iter().find(|host| host.name == name).unwrap_or_else(|| {
        let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
        panic!("the bed has no {name:?}, only {names:?}")
    })
}
