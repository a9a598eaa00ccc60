//! What an operator decides about services on a node, where Kubernetes leaves it open.

use std::net::IpAddr;

use serde::Deserialize;

use crate::model::Prefix;

/// Service settings; the defaults are what kube-proxy does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub cluster_from_outside: FromOutside,
    /// Node ports are at those of the node's addresses that are in one of these; none is all.
    pub node_port_addresses: Vec<Prefix>,
}

/// What becomes of connections to cluster addresses from outside the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromOutside {
    /// They get a backend, which sees them as this node.
    #[default]
    Translate,
    /// They are dropped.
    Refuse,
}

impl Settings {
    /// Whether node ports are at an address of this node. With prefixes, 127.0.0.1 has to be in one
    /// of them too (kube-proxy, `NodePortAddresses.ContainsIPv4Loopback`).
    pub(super) fn has_node_ports(&self, address: IpAddr) -> bool {
        let prefixes = &self.node_port_addresses;
        prefixes.is_empty() || prefixes.iter().any(|prefix| prefix.contains(address))
    }
}
