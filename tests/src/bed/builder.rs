//! Says what a bed consists of, then makes it.

use std::sync::Once;

use anyhow::{Context, Result, ensure};

use super::{
    Bed, Host,
    addresses::{self, Dual},
    host::Peer,
    ready,
    receiver::Receiver,
    wiring,
};
use crate::{
    names,
    netns::{self, Netns},
};

/// Lists the parts of a bed; names are the test's own and appear in error messages.
#[derive(Debug, Clone)]
pub struct BedBuilder {
    node: (String, String),
    workloads: Vec<String>,
    remotes: Vec<Remote>,
    clients: Vec<String>,
}

#[derive(Debug, Clone)]
struct Remote {
    name: String,
    zone: String,
    pods: u8,
}

impl Default for BedBuilder {
    fn default() -> Self {
        Self {
            node: ("node-a".to_owned(), "zone-a".to_owned()),
            workloads: Vec::new(),
            remotes: Vec::new(),
            clients: Vec::new(),
        }
    }
}

impl BedBuilder {
    /// Names the node under test and its zone; `node-a` in `zone-a` if never called.
    #[must_use]
    pub fn node(mut self, name: &str, zone: &str) -> Self {
        self.node = (name.to_owned(), zone.to_owned());
        self
    }

    /// Adds a workload on the node; its port there is `zg-<name>`, so at most 12 letters.
    #[must_use]
    pub fn workload(mut self, name: &str) -> Self {
        self.workloads.push(name.to_owned());
        self
    }

    /// Adds a host on the uplink subnet.
    #[must_use]
    pub fn remote(self, name: &str, zone: &str) -> Self {
        self.remote_with_pods(name, zone, 0)
    }

    /// Adds a host that also carries pods, in a subnet of its own that is routed to it.
    #[must_use]
    pub fn remote_with_pods(mut self, name: &str, zone: &str, pods: u8) -> Self {
        self.remotes.push(Remote { name: name.to_owned(), zone: zone.to_owned(), pods });
        self
    }

    /// Adds a client outside the cluster, whose only way is through the node.
    #[must_use]
    pub fn client(mut self, name: &str) -> Self {
        self.clients.push(name.to_owned());
        self
    }

    /// Makes the namespaces, cables, addresses and routes, and waits until they carry traffic.
    pub fn build(self) -> Result<Bed> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| netns::sweep().unwrap_or_else(|error| eprintln!("sweep: {error:#}")));

        for name in &self.workloads {
            ensure!(name.len() <= 12, "workload name {name:?} is longer than 12 letters");
        }
        let mut bed = self.make_namespaces().context("creating namespaces")?;
        wiring::connect(&bed)?;
        bed.receiver = Some(Receiver::attach(&bed.fabric, bed.node.port())?);
        ready::wait_for_links(&bed)?;
        Ok(bed)
    }

    fn make_namespaces(self) -> Result<Bed> {
        let name = names::unique();
        let parts = ["node", "fabric"]
            .into_iter()
            .chain(self.workloads.iter().map(String::as_str))
            .chain(self.remotes.iter().map(|remote| remote.name.as_str()))
            .chain(self.clients.iter().map(String::as_str));
        let names: Vec<_> = parts.map(|part| format!("{name}-{part}")).collect();
        let mut namespaces = Netns::create_all(&names)?.into_iter();
        let mut next = || namespaces.next().context("a namespace is missing");
        let (node_netns, fabric) = (next()?, next()?);

        let mut numbers = 0..;
        let mut switch_port = || {
            let port = numbers.next().unwrap_or_default();
            Peer {
                netns: fabric.clone(),
                interface: format!("port{port}"),
                mac: mac(Kind::SwitchPort, port),
            }
        };
        let node = Host {
            name: self.node.0,
            zone: self.node.1.clone(),
            netns: node_netns.clone(),
            interface: "uplink0".to_owned(),
            mac: mac(Kind::Node, 0),
            peer: switch_port(),
            addresses: addresses::NODE,
            pods: Vec::new(),
        };
        let mut host = |name: String, zone: String, kind, n, addresses: Dual, peer| {
            let interface = "eth0".to_owned();
            let netns = next()?;
            let mac = mac(kind, n);
            anyhow::Ok(Host { name, zone, netns, interface, mac, peer, addresses, pods: vec![] })
        };

        let mut workloads = Vec::new();
        for (n, name) in (1..).zip(self.workloads) {
            let interface = format!("zg-{name}");
            let peer =
                Peer { netns: node_netns.clone(), interface, mac: mac(Kind::WorkloadPort, n) };
            let at = addresses::workload(n);
            workloads.push(host(name, self.node.1.clone(), Kind::Workload, n, at, peer)?);
        }
        let mut remotes = Vec::new();
        for (n, Remote { name, zone, pods }) in (1..).zip(self.remotes) {
            let at = addresses::remote(n);
            let mut remote = host(name, zone, Kind::Remote, n, at, switch_port())?;
            remote.pods = (1..=pods).map(|m| addresses::remote_pod(n, m)).collect();
            remotes.push(remote);
        }
        let mut clients = Vec::new();
        for (n, name) in (1..).zip(self.clients) {
            let at = addresses::client(n);
            clients.push(host(name, String::new(), Kind::Client, n, at, switch_port())?);
        }
        Ok(Bed { name, node, fabric, workloads, remotes, clients, receiver: None })
    }
}

/// What an interface belongs to: the fifth byte of its link address.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Node = 1,
    Workload,
    WorkloadPort,
    Remote,
    Client,
    SwitchPort,
}

/// A locally administered address that can be recognised in a capture.
pub(super) fn mac(kind: Kind, n: u8) -> [u8; 6] {
    [0x02, b'z', b'g', 0, kind as u8, n]
}
