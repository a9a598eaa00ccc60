//! What a resource must be by itself, beyond what its types ensure: names, limits, addresses
//! that make sense, ports.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::Limits;
use crate::{
    model::{
        Action, AddressSet, BackendSet, Frontend, FrontendKind, Key, Node, Policy, Prefix,
        Resource, Rule, Service, Tier, Topology, TrafficPolicy, Workload,
    },
    refusal::Refusal,
};

/// Adds what is wrong with `resources` to `refusals`.
pub(super) fn check(resources: &[Resource], limits: &Limits, refusals: &mut Vec<Refusal>) {
    for resource in resources {
        let key = resource.key();
        let mut check = Check { key: &key, limits, refusals: &mut *refusals };
        check.name("name", &key.name);
        match resource {
            Resource::Node(it) => check.node(it),
            Resource::Workload(it) => check.workload(it),
            Resource::AddressSet(it) => check.address_set(it),
            Resource::Policy(it) => check.policy(it),
            Resource::BackendSet(it) => check.backend_set(it),
            Resource::Service(it) => check.service(it),
        }
    }
}

/// The checks of one resource.
struct Check<'a> {
    key: &'a Key,
    limits: &'a Limits,
    refusals: &'a mut Vec<Refusal>,
}

impl Check<'_> {
    fn node(&mut self, node: &Node) {
        let limit = self.limits.addresses_per_node;
        self.limit("addresses", node.addresses.len(), "addresses_per_node", limit);
        self.addresses("addresses", &node.addresses);
        self.limit("pod_prefixes", node.pod_prefixes.len(), "addresses_per_node", limit);
        self.prefixes("pod_prefixes", &node.pod_prefixes);
    }

    fn workload(&mut self, workload: &Workload) {
        self.name("node", &workload.node);
        let limit = self.limits.addresses_per_workload;
        self.limit("addresses", workload.addresses.len(), "addresses_per_workload", limit);
        self.addresses("addresses", &workload.addresses);
    }

    fn address_set(&mut self, set: &AddressSet) {
        let limit = self.limits.prefixes_per_address_set;
        for (field, prefixes) in [("prefixes", &set.prefixes), ("except", &set.except)] {
            self.limit(field, prefixes.len(), "prefixes_per_address_set", limit);
            self.prefixes(field, prefixes);
        }
    }

    fn policy(&mut self, policy: &Policy) {
        let limit = self.limits.subjects_per_policy;
        self.limit("subjects", policy.subjects.len(), "subjects_per_policy", limit);
        for (direction, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
            let rules = rules.as_deref().unwrap_or_default();
            let limit = self.limits.rules_per_policy;
            self.limit(&format!("{direction}.rules"), rules.len(), "rules_per_policy", limit);
            for (index, rule) in rules.iter().enumerate() {
                self.rule(&format!("{direction}.rules[{index}]"), policy.tier, rule);
            }
        }
    }

    fn rule(&mut self, path: &str, tier: Tier, rule: &Rule) {
        if tier == Tier::Network && rule.action != Action::Accept {
            self.refuse(format!("{path}.action"), "rules of the network tier can only accept");
        }
        self.limit(&format!("{path}.name"), rule.name.len(), "name_bytes", self.limits.name_bytes);
        let peers = rule.peers.as_ref().map_or(0, Vec::len);
        let limit = self.limits.peers_per_rule;
        self.limit(&format!("{path}.peer_sets.names"), peers, "peers_per_rule", limit);
        let ports = rule.ports.as_ref().map_or(0, Vec::len);
        let limit = self.limits.ports_per_rule;
        self.limit(&format!("{path}.port_matches.matches"), ports, "ports_per_rule", limit);
    }

    fn backend_set(&mut self, set: &BackendSet) {
        let limit = self.limits.backends_per_backend_set;
        self.limit("backends", set.backends.len(), "backends_per_backend_set", limit);
        let mut seen = BTreeSet::new();
        for (index, backend) in set.backends.iter().enumerate() {
            let path = format!("backends[{index}]");
            self.address(&format!("{path}.address"), backend.address.ip());
            self.port(&format!("{path}.port"), backend.address.port());
            if backend.weight == 0 {
                self.refuse(format!("{path}.weight"), "a weight is at least 1");
            }
            if !seen.insert(backend.address) {
                self.refuse(path, format!("{} is listed twice", backend.address));
            }
        }
    }

    fn service(&mut self, service: &Service) {
        self.name("backend_set", &service.backend_set);
        let limit = self.limits.frontends_per_service;
        self.limit("frontends", service.frontends.len(), "frontends_per_service", limit);
        for (index, frontend) in service.frontends.iter().enumerate() {
            self.frontend(&format!("frontends[{index}]"), frontend);
        }
        let limit = self.limits.prefixes_per_address_set;
        let ranges = &service.source_ranges;
        self.limit("source_ranges", ranges.len(), "prefixes_per_address_set", limit);
        self.prefixes("source_ranges", ranges);
        if service.frontends.iter().any(|it| it.kind == FrontendKind::HostPort) {
            self.name("node", &service.node);
        } else if !service.node.is_empty() {
            self.refuse("node", "is for services with host ports");
        }
        let Topology::Keys(keys) = &service.topology else { return };
        for (index, key) in keys.iter().enumerate() {
            self.name(&format!("topology_keys[{index}]"), key);
        }
        let is_external = service.frontends.iter().any(|it| it.kind.is_external());
        if is_external && service.external_policy == TrafficPolicy::Local {
            let reason = "cannot be combined with an external traffic policy LOCAL";
            self.refuse("topology_keys", reason);
        }
    }

    fn frontend(&mut self, path: &str, frontend: &Frontend) {
        let field = format!("{path}.address");
        let at = frontend.address;
        match frontend.kind {
            FrontendKind::Cluster | FrontendKind::LoadBalancer | FrontendKind::External => {
                self.address(&field, at);
            }
            FrontendKind::NodePort if !at.is_unspecified() => {
                self.refuse(field, "of a node port is 0.0.0.0 or ::");
            }
            FrontendKind::HostPort if !at.is_unspecified() && !is_localhost(at) => {
                self.address(&field, at);
            }
            FrontendKind::NodePort | FrontendKind::HostPort => {}
        }
        self.port(&format!("{path}.port"), frontend.port);
    }

    fn name(&mut self, field: &str, name: &str) {
        if name.is_empty() {
            self.refuse(field, "is empty");
        }
        self.limit(field, name.len(), "name_bytes", self.limits.name_bytes);
    }

    fn limit(&mut self, field: &str, actual: usize, name: &str, limit: usize) {
        if actual > limit {
            self.refuse(field, format!("{actual} exceeds the limit {name} of {limit}"));
        }
    }

    fn prefixes(&mut self, field: &str, prefixes: &[Prefix]) {
        for (index, prefix) in prefixes.iter().enumerate() {
            if mapped(prefix.net().addr()) {
                self.refuse(format!("{field}[{index}]"), MAPPED);
            }
        }
    }

    fn addresses(&mut self, field: &str, addresses: &[IpAddr]) {
        for (index, address) in addresses.iter().enumerate() {
            self.address(&format!("{field}[{index}]"), *address);
        }
    }

    fn address(&mut self, field: &str, address: IpAddr) {
        if mapped(address) {
            self.refuse(field, MAPPED);
        } else if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            self.refuse(field, format!("{address} is no address of a machine"));
        }
    }

    fn port(&mut self, field: &str, port: u16) {
        if port == 0 {
            self.refuse(field, "port 0 is outside 1-65535");
        }
    }

    fn refuse(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.refusals.push(Refusal::new(self.key.clone(), field, reason));
    }
}

/// The address that stands for all loopback addresses at the node's sockets.
fn is_localhost(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

/// Packets never carry these: what is meant is the IPv4 address.
fn mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

const MAPPED: &str = "an IPv4-mapped IPv6 address; write it as IPv4";
