//! Kinds that an apiserver does not have by itself.

use serde_json::{Value, json};

/// As much of the definition of a policy of the cluster as an apiserver asks for.
pub fn definition(kind: &str, version: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{}ies", singular.trim_end_matches('y'));
    let texts = ["type", "status", "reason", "message", "lastTransitionTime"];
    let mut fields: serde_json::Map<_, _> =
        texts.into_iter().map(|it| (it.to_owned(), json!({ "type": "string" }))).collect();
    fields.insert("observedGeneration".to_owned(), json!({ "type": "integer" }));
    let conditions = json!({
        "type": "array",
        "items": { "type": "object", "required": ["type"], "properties": fields },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.policy.networking.k8s.io"),
            "annotations": { "api-approved.kubernetes.io":
                "https://github.com/kubernetes-sigs/network-policy-api/pull/300" },
        },
        "spec": {
            "group": "policy.networking.k8s.io",
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": singular,
            },
            "versions": [{
                "name": version, "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": true,
                            // What is applied takes the place of all that was.
                            "x-kubernetes-map-type": "atomic",
                        },
                        "status": { "type": "object", "properties": { "conditions": conditions } },
                    },
                }},
            }],
        },
    })
}
