//! Pods: made, labelled, ready or not, shutting down, and their addresses in other hands.

use serde_json::{Value, json};

use super::{Churn, Machine, id};

impl Churn {
    /// A pod on some node, or on none yet; with addresses of its node's pods that are mostly free.
    pub(super) fn new_pod(&mut self) -> Option<Value> {
        if self.of_kind("Pod").len() >= MOST {
            return None;
        }
        let namespace = self.some_namespace()?;
        self.pods += 1;
        let labels = self.random.labels();
        let mut spec = json!({ "containers": [self.container()] });
        let machine = (!self.random.percent(5)).then(|| self.machine());
        if let Some(machine) = &machine {
            spec["nodeName"] = json!(machine.name);
        }
        if machine.is_some() && self.random.percent(6) {
            spec["hostNetwork"] = json!(true);
            for port in spec["containers"][0]["ports"].as_array_mut().into_iter().flatten() {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
        if self.random.percent(15) {
            let mut sidecar = self.container();
            sidecar["name"] = json!("sidecar");
            sidecar["restartPolicy"] = json!("Always");
            // Names and ports are the main container's.
            sidecar["ports"] = json!([{ "name": "side", "containerPort": 9999 }]);
            spec["initContainers"] = json!([sidecar]);
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": namespace, "name": format!("pod-{}", self.pods),
                "labels": labels },
            "spec": spec,
        });
        if machine.is_some() && !self.random.percent(10) {
            pod["status"] = self.status(&pod);
        }
        Some(pod)
    }

    pub(super) fn labelled_pod(&mut self) -> Option<Value> {
        let mut pod = self.any("Pod")?;
        pod["metadata"]["labels"] = self.random.labels();
        Some(pod)
    }

    /// What a kubelet says of a pod: mostly whether it is ready.
    pub(super) fn pod_with_status(&mut self) -> Option<Value> {
        let mut pod = self.any("Pod")?;
        if !pod["spec"]["nodeName"].is_string() || is_done(&pod) {
            return None;
        }
        let status = self.status(&pod);
        if pod["status"].is_object() && !self.random.percent(10) {
            pod["status"]["conditions"] = status["conditions"].clone();
        } else {
            pod["status"] = status;
        }
        if self.random.percent(6) {
            pod["status"]["phase"] = json!(self.random.pick(&["Succeeded", "Failed"]));
            pod["status"]["conditions"][0]["status"] = json!("False");
        }
        Some(pod)
    }

    pub(super) fn running_pod(&mut self) -> Option<Value> {
        let running = self.of_kind("Pod").into_iter();
        let running: Vec<_> = running.filter(|it| !self.terminating.contains(&id(it))).collect();
        self.random.pick_any(&running)
    }

    pub(super) fn terminating_pod(&mut self) -> Option<Value> {
        let leaving: Vec<_> = self.terminating.iter().cloned().collect();
        let id = self.random.pick_any(&leaving)?;
        self.objects.get(&id).cloned()
    }

    fn machine(&mut self) -> Machine {
        let machine = self.random.below(self.machines.len() as u32);
        self.machines[machine as usize].clone()
    }

    fn container(&mut self) -> Value {
        let mut ports = Vec::new();
        for (name, protocol, numbers) in PORTS {
            if self.random.percent(60) {
                let mut port = json!({ "name": name, "protocol": protocol,
                    "containerPort": self.random.pick(&numbers) });
                if self.random.percent(12) {
                    port["hostPort"] = json!(self.random.pick(&[8080, 9053, 30_001]));
                    if self.random.percent(40) {
                        let at = ["192.168.50.1", "127.0.0.1", "fd00:50::b", "203.0.113.1"];
                        port["hostIP"] = json!(self.random.pick(&at));
                    }
                }
                ports.push(port);
            }
        }
        json!({ "name": "main", "image": "none", "ports": ports })
    }

    fn status(&mut self, pod: &Value) -> Value {
        let name = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let machine = self.machines.iter().find(|it| it.name == name).cloned();
        let addresses = match machine {
            Some(machine) if pod["spec"]["hostNetwork"] == true => machine.addresses,
            Some(machine) => self.pod_addresses(&machine),
            None => Vec::new(),
        };
        let ready = if self.random.percent(75) { "True" } else { "False" };
        let ips: Vec<Value> = addresses.iter().map(|it| json!({ "ip": it })).collect();
        json!({
            "phase": "Running",
            "podIP": addresses.first(),
            "podIPs": ips,
            "conditions": [{ "type": "Ready", "status": ready }],
        })
    }

    /// Of one family or both; now and then those of another pod, which goes or went.
    fn pod_addresses(&mut self, machine: &Machine) -> Vec<String> {
        let taken: Vec<Value> = self.of_kind("Pod");
        let mut number = 2 + self.random.below(ADDRESSES);
        for _ in 0..4 {
            let wanted = format!("{}{number}", machine.pods4);
            let is_taken = taken.iter().any(|pod| pod["status"]["podIP"] == wanted);
            if !is_taken || self.random.percent(15) {
                break;
            }
            number = 2 + self.random.below(ADDRESSES);
        }
        let v4 = format!("{}{number}", machine.pods4);
        let v6 = format!("{}{number:x}", machine.pods6);
        match self.random.below(6) {
            0 => vec![v4],
            1 => vec![v6],
            2 => vec![v6, v4],
            _ => vec![v4, v6],
        }
    }
}

fn is_done(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

const MOST: usize = 60;
/// Of each node's pods: few, so that they are used again.
const ADDRESSES: u32 = 24;

const PORTS: [(&str, &str, [u16; 3]); 4] = [
    ("http", "TCP", [8080, 80, 8081]),
    ("dns", "UDP", [53, 5353, 53]),
    ("metrics", "TCP", [9100, 9101, 9100]),
    ("peer", "SCTP", [7000, 7001, 7000]),
];
