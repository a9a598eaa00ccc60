//! Endpoint slices that somebody other than Kubernetes' controller writes.

use serde_json::{Value, json};

use super::{
    Churn,
    nodes::ZONES,
    services::{self, PORTS},
};

impl Churn {
    pub(super) fn slice(&mut self) -> Option<Value> {
        let namespace = self.some_namespace()?;
        let of = services::name(self.random.below(services::MOST));
        let family = self.random.pick(&["IPv4", "IPv6"]);
        let number = self.random.below(2);
        let mut endpoints = Vec::new();
        for _ in 0..self.random.below(5) {
            endpoints.push(self.endpoint(family));
        }
        let mut ports = Vec::new();
        for (name, protocol, number, _) in self.random.some(&PORTS, 3) {
            let number = number + self.random.pick(&[0, 8000]);
            ports.push(json!({ "name": name, "protocol": protocol, "port": number }));
        }
        Some(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace,
                "name": format!("{of}-by-hand-{}-{number}", family.to_lowercase()),
                "labels": {
                    "kubernetes.io/service-name": of,
                    "endpointslice.kubernetes.io/managed-by": "churn",
                },
            },
            "addressType": family,
            "endpoints": endpoints,
            "ports": ports,
        }))
    }

    fn endpoint(&mut self, family: &str) -> Value {
        let machine = self.random.below(self.machines.len() as u32) as usize;
        let machine = self.machines[machine].clone();
        let number = 2 + self.random.below(24);
        let address = match (family, self.random.percent(80)) {
            ("IPv4", true) => format!("{}{number}", machine.pods4),
            ("IPv4", false) => format!("198.51.100.{number}"),
            (_, true) => format!("{}{number:x}", machine.pods6),
            (_, false) => format!("2001:db8:64::{number:x}"),
        };
        let ready = self.random.percent(70);
        let serving = ready || self.random.percent(50);
        let terminating = self.random.percent(15);
        let mut endpoint = json!({
            "addresses": [address],
            "conditions": { "ready": ready && !terminating, "serving": serving,
                "terminating": terminating },
        });
        if self.random.percent(75) {
            endpoint["nodeName"] = json!(machine.name);
        }
        if self.random.percent(60) {
            endpoint["zone"] = json!(self.random.pick(&ZONES));
        }
        if self.random.percent(30) {
            let zone = json!({ "name": self.random.pick(&ZONES) });
            endpoint["hints"] = json!({ "forZones": [zone] });
            if self.random.percent(30) {
                endpoint["hints"]["forNodes"] = json!([{ "name": machine.name }]);
            }
        }
        endpoint
    }
}
