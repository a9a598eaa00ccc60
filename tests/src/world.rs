//! What an agent in a [three-zone bed](Bed::three_zones) is told, as manifests.

use std::{fmt::Write, net::IpAddr};

use serde_json::{Value, json};

use crate::bed::{Bed, Host, cluster_vip, external_vip};

/// Documents for one `zonegate apply`.
#[derive(Debug, Clone, Default)]
pub struct Manifest(String);

impl Manifest {
    /// Adds a resource.
    #[must_use]
    pub fn with(mut self, kind: &str, mut fields: Value) -> Self {
        fields["kind"] = kind.into();
        // JSON is YAML; a document each.
        let _ = writeln!(self.0, "---\n{fields}");
        self
    }

    /// All nodes and workloads of a bed.
    #[must_use]
    pub fn hosts(bed: &Bed) -> Self {
        let mut manifest = Self::default();
        for node in std::iter::once(bed.node()).chain(bed.remotes()) {
            manifest = manifest.with(
                "Node",
                json!({ "name": node.name(), "addresses": texts(node), "zone": node.zone() }),
            );
        }
        for workload in bed.workloads() {
            manifest = manifest.with(
                "Workload",
                json!({
                    "name": workload.name(),
                    "node": bed.node().name(),
                    "addresses": texts(workload),
                    "interface": workload.port(),
                }),
            );
            manifest = manifest.address_set(workload.name(), &[workload]);
        }
        manifest
    }

    /// The addresses of hosts under a name.
    #[must_use]
    pub fn address_set(self, name: &str, hosts: &[&Host]) -> Self {
        let prefixes: Vec<_> = hosts.iter().flat_map(|host| texts(host)).collect();
        self.with("AddressSet", json!({ "name": name, "prefixes": prefixes }))
    }

    /// Backends on hosts at one port, of both families; those in `ready` take connections.
    #[must_use]
    pub fn backends(self, name: &str, hosts: &[&Host], port: u16, ready: &[&str]) -> Self {
        let backends: Vec<_> = hosts
            .iter()
            .flat_map(|host| host.addresses().each().map(|address| (host, address)))
            .map(|(host, address)| {
                let ready = ready.contains(&host.name());
                json!({
                    "address": address.to_string(),
                    "port": port,
                    "zone": host.zone(),
                    "ready": ready,
                    "serving": true,
                })
            })
            .collect();
        self.with("BackendSet", json!({ "name": name, "backends": backends }))
    }

    /// A service at the `n`th cluster and external addresses, of both families.
    #[must_use]
    pub fn service(
        self,
        name: &str,
        n: u8,
        port: u16,
        protocol: &str,
        preference: &[&str],
    ) -> Self {
        let frontends: Vec<_> = vips(n)
            .into_iter()
            .map(|address| {
                json!({ "address": address.to_string(), "port": port, "protocol": protocol })
            })
            .collect();
        self.with(
            "Service",
            json!({
                "name": name,
                "frontends": frontends,
                "backendSet": name,
                "preference": preference,
            }),
        )
    }

    /// A network policy that lets only `peers` (address sets) into the workloads of `subject`.
    #[must_use]
    pub fn allow_only(self, subject: &str, peers: &[&str]) -> Self {
        let rule = json!({
            "action": "ACCEPT",
            "peerSets": { "names": peers },
            "anyTraffic": {},
        });
        let rules = if peers.is_empty() { vec![] } else { vec![rule] };
        self.with(
            "Policy",
            json!({
                "name": format!("only-into-{subject}"),
                "tier": "NETWORK",
                "subjects": [subject],
                "ingress": { "rules": rules },
            }),
        )
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The addresses at which the `n`th service answers.
pub fn vips(n: u8) -> Vec<IpAddr> {
    cluster_vip(n).each().into_iter().chain(external_vip(n).each()).collect()
}

fn texts(host: &Host) -> Vec<String> {
    host.addresses().each().iter().map(ToString::to_string).collect()
}
