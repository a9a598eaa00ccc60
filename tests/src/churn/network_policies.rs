//! Network policies of namespaces.

use serde_json::{Value, json};

use super::Churn;

impl Churn {
    pub(super) fn network_policy(&mut self) -> Option<Value> {
        let namespace = self.some_namespace()?;
        let name = format!("policy-{}", self.random.below(5));
        let mut spec = json!({ "podSelector": self.random.selector() });
        let types: &[&str] =
            self.random.pick(&[&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]]);
        spec["policyTypes"] = json!(types);
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let mut rules = Vec::new();
            for _ in 0..self.random.below(3) {
                rules.push(self.rule(peers));
            }
            spec[direction] = json!(rules);
        }
        Some(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": namespace, "name": name },
            "spec": spec,
        }))
    }

    fn rule(&mut self, peers: &str) -> Value {
        let mut rule = json!({});
        let mut all = Vec::new();
        for _ in 0..self.random.below(3) {
            all.push(match self.random.below(4) {
                0 => json!({ "podSelector": self.random.selector() }),
                1 => json!({ "namespaceSelector": self.random.selector() }),
                2 => json!({ "namespaceSelector": self.random.selector(),
                    "podSelector": self.random.selector() }),
                _ => json!({ "ipBlock": self.random.block() }),
            });
        }
        rule[peers] = json!(all);
        let mut ports = Vec::new();
        for _ in 0..self.random.below(3) {
            let port = match self.random.below(5) {
                0 => json!({ "port": "http" }),
                1 => json!({ "protocol": "UDP", "port": "dns" }),
                2 => json!({ "protocol": "SCTP" }),
                3 => json!({ "port": 8000, "endPort": 8000 + self.random.below(200) }),
                _ => json!({ "port": self.random.pick(&[80, 8080, 9100]) }),
            };
            ports.push(port);
        }
        rule["ports"] = json!(ports);
        rule
    }
}
