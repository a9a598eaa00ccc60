//! Endpoint slices of services and pods, where there is no controller that makes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One for each family and each list of ports that pods resolve the service's ports to.
pub fn slices<'o>(service: &Value, pods: impl Iterator<Item = &'o Value> + Clone) -> Vec<Value> {
    let (metadata, spec) = (&service["metadata"], &service["spec"]);
    let Some(selector) = spec["selector"].as_object() else { return Vec::new() };
    if spec["clusterIP"] == "None" {
        return Vec::new();
    }
    let mut slices = Vec::new();
    for family in spec["ipFamilies"].as_array().into_iter().flatten() {
        let mut groups: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
        for pod in pods.clone().filter(|it| it["metadata"]["namespace"] == metadata["namespace"]) {
            let labels = &pod["metadata"]["labels"];
            if !selector.iter().all(|(key, value)| labels[key] == *value)
                || pod["status"]["phase"] != "Running"
            {
                continue;
            }
            let addresses = pod["status"]["podIPs"].as_array().into_iter().flatten();
            let mut addresses = addresses.filter_map(|it| it["ip"].as_str());
            let Some(address) = addresses.find(|it| it.contains(':') == (family == "IPv6")) else {
                continue;
            };
            let ready = pod["status"]["conditions"][0]["status"] == "True";
            let ports = spec["ports"].as_array().into_iter().flatten();
            let ports: Vec<Value> = ports.filter_map(|port| resolve(port, pod)).collect();
            let group = groups.entry(json!(ports).to_string()).or_insert((ports, Vec::new()));
            group.1.push(json!({
                "addresses": [address],
                "conditions": { "ready": ready, "serving": ready },
                "nodeName": pod["spec"]["nodeName"],
            }));
        }
        for (number, (ports, endpoints)) in groups.into_values().enumerate() {
            let name = metadata["name"].as_str().unwrap_or_default();
            slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "namespace": metadata["namespace"],
                    "name": format!("{name}-{}-{number}", family.as_str().unwrap_or_default()),
                    "labels": { "kubernetes.io/service-name": name },
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": ports,
            }));
        }
    }
    slices
}

/// A service's port at a pod; nothing where the pod does not have it by that name.
fn resolve(port: &Value, pod: &Value) -> Option<Value> {
    let number = match &port["targetPort"] {
        Value::String(name) => {
            let ports = pod["spec"]["containers"][0]["ports"].as_array()?;
            let named = ports
                .iter()
                .find(|it| it["name"] == json!(name) && it["protocol"] == port["protocol"]);
            named?["containerPort"].clone()
        }
        number => number.clone(),
    };
    Some(json!({ "name": port["name"], "protocol": port["protocol"], "port": number }))
}
