//! Policies of the cluster, in both forms that there are of them.

use serde_json::{Value, json};

use super::Churn;

pub(super) const KINDS: [&str; 3] =
    ["ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"];

impl Churn {
    pub(super) fn cluster_policy(&mut self) -> Value {
        let kind = self.random.weighted(&[(KINDS[0], 6), (KINDS[1], 3), (KINDS[2], 1)]);
        let is_new = kind == KINDS[0];
        let version = if is_new { "v1alpha2" } else { "v1alpha1" };
        let name = match kind {
            "BaselineAdminNetworkPolicy" => "default".to_owned(),
            _ => format!("cluster-policy-{}", self.random.below(4)),
        };
        let mut spec = json!({ "subject": self.selected() });
        if kind != KINDS[2] {
            spec["priority"] = json!(self.random.below(4));
        }
        if is_new {
            spec["tier"] = json!(self.random.pick(&["Admin", "Baseline"]));
        }
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let mut rules = Vec::new();
            for _ in 0..self.random.below(3) {
                rules.push(self.cluster_rule(kind, peers));
            }
            spec[direction] = json!(rules);
        }
        json!({
            "apiVersion": format!("policy.networking.k8s.io/{version}"), "kind": kind,
            "metadata": { "name": name },
            "spec": spec,
        })
    }

    fn selected(&mut self) -> Value {
        if self.random.percent(40) {
            return json!({ "namespaces": self.random.selector() });
        }
        json!({ "pods": { "namespaceSelector": self.random.selector(),
            "podSelector": self.random.selector() } })
    }

    fn cluster_rule(&mut self, kind: &str, peers: &str) -> Value {
        let accept = if kind == KINDS[0] { "Accept" } else { "Allow" };
        let action = match self.random.below(if kind == KINDS[2] { 2 } else { 3 }) {
            0 => accept,
            1 => "Deny",
            _ => "Pass",
        };
        let mut all = Vec::new();
        for _ in 0..=self.random.below(2) {
            all.push(match self.random.below(4) {
                0 if peers == "to" => json!({ "nodes": self.random.selector() }),
                1 if peers == "to" => json!({ "networks": [self.random.network()] }),
                _ => self.selected(),
            });
        }
        let mut rule = json!({ "action": action, peers: all });
        if self.random.percent(60) {
            if kind == KINDS[0] {
                rule["protocols"] = json!([self.random.pick_any(&[
                    json!({ "tcp": { "destinationPort": { "number": 8080 } } }),
                    json!({ "udp": { "destinationPort": { "range": { "start": 50, "end": 60 } } } }),
                    json!({ "destinationNamedPort": "http" }),
                ])]);
            } else {
                rule["ports"] = json!([self.random.pick_any(&[
                    json!({ "portNumber": { "protocol": "TCP", "port": 8080 } }),
                    json!({ "portRange": { "protocol": "UDP", "start": 50, "end": 60 } }),
                    json!({ "namedPort": "http" }),
                ])]);
            }
        }
        rule
    }
}
