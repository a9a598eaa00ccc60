//! Waits: links that carry, addresses that may be used, neighbours that are known.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result};

use super::Bed;
use crate::{netns::Netns, wait};

/// Waits until every interface of the bed has a carrier and no IPv6 address is tentative.
pub(super) fn wait_for_links(bed: &Bed) -> Result<()> {
    let hosts = bed.workloads.iter().chain(&bed.remotes).chain(&bed.clients);
    hosts
        .map(|host| &host.netns)
        .chain([&bed.node.netns, &bed.fabric])
        .try_for_each(wait_for_links_of)
}

/// The same for one namespace.
pub(super) fn wait_for_links_of(netns: &Netns) -> Result<()> {
    wait::until(LINK_TIMEOUT, || {
        let links = netns.shell("ip -o link show; ip -o addr show tentative")?;
        let waiting = |line: &&str| {
            line.contains("inet6") || line.contains("NO-CARRIER") || line.contains("state DOWN")
        };
        Ok(links.lines().find(waiting).map(str::to_owned))
    })
    .with_context(|| format!("waiting for the links of {}", netns.name()))
}

/// Makes the kernel resolve link addresses by sending to them, until it knows all of them.
pub(super) fn resolve(netns: &Netns, addresses: &[IpAddr], timeout: Duration) -> Result<()> {
    netns.run(|| {
        for &address in addresses {
            let any = match address {
                IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).context("binding a socket")?;
            socket
                .send_to(&[0], SocketAddr::new(address, DISCARD))
                .with_context(|| format!("sending to {address}"))?;
        }
        anyhow::Ok(())
    })?;
    wait::until(timeout, || {
        let known: BTreeSet<IpAddr> = netns
            .shell("ip neigh show")?
            .lines()
            .filter(|line| line.contains(" lladdr "))
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect();
        let unknown = addresses.iter().find(|address| !known.contains(address));
        Ok(unknown.map(|address| format!("{address} does not answer")))
    })
}

const LINK_TIMEOUT: Duration = Duration::from_secs(5);

/// The discard port (RFC 863): nobody listens, and that is as good an answer as any.
const DISCARD: u16 = 9;
