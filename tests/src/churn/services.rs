//! Services of every type, which become others.

use serde_json::{Value, json};

use super::{Churn, Operation, nodes::ZONES, random::LABELS};

impl Churn {
    /// A new service, or another form of one that there is.
    pub(super) fn service(&mut self) -> Option<Vec<Operation>> {
        let index = self.random.below(MOST);
        let namespace = self.service_namespace(index)?;
        let service = self.service_of(index, &namespace);
        let shape = |service: &Value| {
            let spec = &service["spec"];
            (spec["clusterIP"].clone(), spec["type"] == "ExternalName")
        };
        let mut operations = Vec::new();
        if let Some(held) = self.held(&service)
            && shape(held) != shape(&service)
        {
            // Its cluster address never changes.
            operations.push(Operation::Delete(held.clone()));
        }
        operations.push(Operation::Apply(service));
        Some(operations)
    }

    /// A service stays where it is.
    fn service_namespace(&mut self, index: u32) -> Option<String> {
        let name = name(index);
        let held = self.of_kind("Service").into_iter();
        let held = held.map(|it| it["metadata"].clone()).find(|it| it["name"] == name);
        match held.and_then(|it| it["namespace"].as_str().map(str::to_owned)) {
            Some(namespace) => Some(namespace),
            None => self.some_namespace(),
        }
    }

    fn service_of(&mut self, index: u32, namespace: &str) -> Value {
        let metadata = json!({ "namespace": namespace, "name": name(index), "labels": {} });
        let mut service =
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {} });
        if self.random.percent(3) {
            service["spec"] = json!({ "type": "ExternalName", "externalName": "example.com" });
            return service;
        }
        let kind = self.random.weighted(&[
            ("ClusterIP", 4),
            ("NodePort", 3),
            ("LoadBalancer", 4),
            ("headless", 1),
        ]);
        self.set_addresses(&mut service, index, kind == "headless");
        self.set_ports(&mut service["spec"], index, matches!(kind, "NodePort" | "LoadBalancer"));
        if !self.random.percent(15) {
            let (key, values) = self.random.pick(&LABELS);
            service["spec"]["selector"] = json!({ key: self.random.pick(&values) });
        }
        if self.random.percent(8) {
            let label = "service.kubernetes.io/service-proxy-name";
            service["metadata"]["labels"][label] = json!("other");
        }
        if self.random.percent(10) {
            service["spec"]["publishNotReadyAddresses"] = json!(true);
        }
        if kind == "headless" {
            return service;
        }
        service["spec"]["type"] = json!(kind);
        self.set_policies(&mut service, kind);
        if kind == "LoadBalancer" {
            self.set_balancer(&mut service, index);
        }
        service
    }

    /// One family always comes first for a service; its addresses follow from its number.
    fn set_addresses(&mut self, service: &mut Value, index: u32, headless: bool) {
        let mut families =
            if index.is_multiple_of(3) { ["IPv6", "IPv4"] } else { ["IPv4", "IPv6"] }.to_vec();
        let dual = self.random.percent(50);
        families.truncate(if dual { 2 } else { 1 });
        let spec = &mut service["spec"];
        spec["ipFamilyPolicy"] = json!(if dual { "RequireDualStack" } else { "SingleStack" });
        spec["ipFamilies"] = json!(families);
        if headless {
            spec["clusterIP"] = json!("None");
            spec["clusterIPs"] = json!(["None"]);
            return;
        }
        let addresses: Vec<String> = families
            .iter()
            .map(|family| match *family {
                "IPv4" => format!("10.96.1.{}", index + 1),
                _ => format!("fd00:96::1{:02x}", index + 1),
            })
            .collect();
        spec["clusterIP"] = json!(addresses[0]);
        spec["clusterIPs"] = json!(addresses);
        if self.random.percent(20) {
            spec["externalIPs"] = json!(self.random.some(&EXTERNAL, 2));
        }
    }

    fn set_ports(&mut self, spec: &mut Value, index: u32, at_nodes: bool) {
        let mut ports = Vec::new();
        for (slot, (name, protocol, number, target)) in (0..).zip(PORTS) {
            if !ports.is_empty() && self.random.percent(60) {
                continue;
            }
            let number = if self.random.percent(15) { number + 1 } else { number };
            let target = if self.random.percent(50) { json!(target) } else { json!(number) };
            let mut port = json!({ "name": name, "protocol": protocol, "port": number,
                "targetPort": target });
            if at_nodes {
                let other = self.random.below(2) * 4;
                port["nodePort"] = json!(30_000 + index * 10 + slot + other);
            }
            ports.push(port);
        }
        spec["ports"] = json!(ports);
    }

    fn set_policies(&mut self, service: &mut Value, kind: &str) {
        let local_outside = kind != "ClusterIP" && self.random.percent(35);
        let spec = &mut service["spec"];
        if local_outside {
            spec["externalTrafficPolicy"] = json!("Local");
        }
        if self.random.percent(20) {
            spec["internalTrafficPolicy"] = json!("Local");
        }
        if self.random.percent(25) {
            let timeout = self.random.pick(&[60, 10_800]);
            spec["sessionAffinity"] = json!("ClientIP");
            spec["sessionAffinityConfig"] = json!({ "clientIP": { "timeoutSeconds": timeout } });
        }
        let mut annotations = json!({});
        match self.random.below(8) {
            0 => spec["trafficDistribution"] = json!("PreferClose"),
            1 => spec["trafficDistribution"] = json!("PreferSameZone"),
            2 => spec["trafficDistribution"] = json!("PreferSameNode"),
            3 if !local_outside => {
                let keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "*"];
                let keys = keys[self.random.below(3) as usize..].join(",");
                annotations["zonegate.io/topology-keys"] = json!(keys);
            }
            4 => {
                annotations["zonegate.io/zone-spill"] = json!(self.random.pick(&["true", "1.5"]));
                if self.random.percent(50) {
                    let clients = format!("{}=3,{}=1", ZONES[0], ZONES[1]);
                    annotations["zonegate.io/zone-clients"] = json!(clients);
                }
            }
            _ => {}
        }
        if kind != "ClusterIP" && self.random.percent(20) {
            annotations["zonegate.io/forwarding"] = json!("dsr");
        }
        service["metadata"]["annotations"] = annotations;
    }

    fn set_balancer(&mut self, service: &mut Value, index: u32) {
        if service["spec"]["externalTrafficPolicy"] == "Local" {
            service["spec"]["healthCheckNodePort"] = json!(31_000 + index);
        }
        if self.random.percent(30) {
            let ranges = ["198.51.100.0/24", "10.0.0.0/8", "2001:db8:64::/64", "198.51.100.7/32"];
            service["spec"]["loadBalancerSourceRanges"] = json!(self.random.some(&ranges, 3));
        }
        let mut ingress = Vec::new();
        for address in [
            format!("203.0.113.{}", 101 + index % 6),
            format!("2001:db8:cb::{:x}", 101 + index % 6),
        ] {
            if self.random.percent(60) {
                let mode = if self.random.percent(10) { "Proxy" } else { "VIP" };
                ingress.push(json!({ "ip": address, "ipMode": mode }));
            }
        }
        service["status"] = json!({ "loadBalancer": { "ingress": ingress } });
    }
}

pub(super) fn name(index: u32) -> String {
    format!("service-{index}")
}

pub(super) const MOST: u32 = 16;

/// Services may want the same ones, and what is somebody's already.
const EXTERNAL: [&str; 6] =
    ["203.0.113.1", "203.0.113.2", "2001:db8:cb::1", "203.0.113.101", "10.96.1.2", "10.2.1.5"];

/// Name, protocol, number and target.
pub(super) const PORTS: [(&str, &str, u16, &str); 4] = [
    ("http", "TCP", 80, "http"),
    ("dns", "UDP", 53, "dns"),
    ("metrics", "TCP", 9100, "metrics"),
    ("peer", "SCTP", 7000, "peer"),
];
