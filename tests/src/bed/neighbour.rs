//! A remote host that is a node in its own right: with a pod behind a port, as the node under test
//! has its workloads.

use anyhow::{Context, Result};

use super::{
    Bed, Host, addresses,
    builder::{Kind, mac},
    host::Peer,
    ready, wiring,
};
use crate::netns::Netns;

impl Bed {
    /// Gives a remote host a pod in a namespace of its own, behind the port `zg-<name>`, at the
    /// first of the host's pod addresses. The host carries no other pods.
    ///
    /// From then on the host reaches outside clients directly, rather than by the node.
    pub fn add_pod(&self, remote: &str, name: &str) -> Result<Host> {
        let host = self.remote(remote);
        let n = (1..).zip(&self.remotes).find_map(|(n, it)| (it.name == remote).then_some(n));
        let n = n.context("the host has no number")?;
        let pod = Host {
            name: name.to_owned(),
            zone: host.zone.clone(),
            netns: Netns::create(&format!("{}-{name}", self.name))?,
            interface: "eth0".to_owned(),
            mac: mac(Kind::Workload, 100 + n),
            peer: Peer {
                netns: host.netns.clone(),
                interface: format!("zg-{name}"),
                mac: mac(Kind::WorkloadPort, 100 + n),
            },
            addresses: addresses::remote_pod(n, 1),
            pods: Vec::new(),
        };
        pod.netns.sysctl(wiring::QUIET)?;
        host.netns.sysctl(wiring::ROUTER)?;
        self.fabric.ip(&[wiring::cable(&pod)])?;
        host.netns.ip(&wiring::port(host, &pod))?;
        let direct = addresses::CLIENT_PREFIXES;
        host.netns.ip(&direct.map(|prefix| format!("route replace {prefix} dev eth0")))?;
        pod.netns.ip(&wiring::workload(&pod))?;
        let prefixes = addresses::remote_pod_prefixes(n);
        self.node.netns.ip(&prefixes.map(|prefix| wiring::route(&prefix, host)))?;
        pod.netns.shell("ethtool -K eth0 gro on")?;
        [&pod.netns, &host.netns].into_iter().try_for_each(ready::wait_for_links_of)?;
        Ok(pod)
    }
}
