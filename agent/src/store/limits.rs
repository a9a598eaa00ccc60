//! How large a resource may be.
//!
//! What all resources may be together is bounded by the tables; the compiler and the dataplane
//! refuse what does not fit there.

use serde::Deserialize;

/// Limits by name; exceeding one refuses the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub name_bytes: usize,
    pub addresses_per_node: usize,
    pub addresses_per_workload: usize,
    pub prefixes_per_address_set: usize,
    pub subjects_per_policy: usize,
    /// For each direction.
    pub rules_per_policy: usize,
    pub peers_per_rule: usize,
    pub ports_per_rule: usize,
    pub frontends_per_service: usize,
    pub backends_per_backend_set: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes: 253,
            addresses_per_node: 256,
            addresses_per_workload: 64,
            prefixes_per_address_set: 100_000,
            subjects_per_policy: 1_000,
            rules_per_policy: 10_000,
            peers_per_rule: 1_000,
            ports_per_rule: 1_000,
            frontends_per_service: 1_000,
            backends_per_backend_set: 10_000,
        }
    }
}

impl Limits {
    /// All of them, as told to clients.
    pub fn list(&self) -> [(&'static str, usize); 10] {
        [
            ("name_bytes", self.name_bytes),
            ("addresses_per_node", self.addresses_per_node),
            ("addresses_per_workload", self.addresses_per_workload),
            ("prefixes_per_address_set", self.prefixes_per_address_set),
            ("subjects_per_policy", self.subjects_per_policy),
            ("rules_per_policy", self.rules_per_policy),
            ("peers_per_rule", self.peers_per_rule),
            ("ports_per_rule", self.ports_per_rule),
            ("frontends_per_service", self.frontends_per_service),
            ("backends_per_backend_set", self.backends_per_backend_set),
        ]
    }
}
