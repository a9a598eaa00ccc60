//! Nodes: in one zone or another, ready or not, coming and going.

use serde_json::{Value, json};

use super::Churn;

impl Churn {
    pub(super) fn node(&mut self) -> Value {
        let machine = self.random.below(self.machines.len() as u32);
        let machine = self.machines[machine as usize].clone();
        let mut labels = self.random.labels();
        if self.random.percent(85) {
            let zone = self.random.pick(&ZONES);
            labels["topology.kubernetes.io/zone"] = json!(zone);
            labels["topology.kubernetes.io/region"] = json!(self.random.pick(&["r1", "r2"]));
            labels["kubernetes.io/hostname"] = json!(machine.name);
        }
        // What pods have: it never changes for a node.
        let prefixes = [format!("{}0/24", machine.pods4), format!("{}/64", machine.pods6)];
        let mut spec = json!({ "podCIDR": prefixes[0], "podCIDRs": prefixes });
        if self.random.percent(10) {
            let taint = "ToBeDeletedByClusterAutoscaler";
            spec["taints"] = json!([{ "key": taint, "effect": "NoSchedule" }]);
        }
        let mut addresses = machine.addresses.clone();
        if self.random.percent(10) {
            addresses.truncate(1);
        }
        let mut all: Vec<Value> =
            addresses.iter().map(|it| json!({ "type": "InternalIP", "address": it })).collect();
        all.push(json!({ "type": "Hostname", "address": machine.name }));
        let ready = if self.random.percent(85) { "True" } else { "False" };
        let cpu = self.random.pick(&["4", "2500m", "8"]);
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": machine.name, "labels": labels },
            "spec": spec,
            "status": {
                "addresses": all,
                "allocatable": { "cpu": cpu },
                "conditions": [{ "type": "Ready", "status": ready, "reason": "Churn",
                    "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                    "lastHeartbeatTime": "2026-01-01T00:00:00Z" }],
            },
        })
    }
}

pub(super) const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
