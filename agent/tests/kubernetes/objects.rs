//! What documents are objects, and what pods and nodes become.

use serde_json::json;
use zonegate::kubernetes::{Effect, Object, ObjectError};

use crate::world::{cluster, lines, objects, translated, upserts};

#[test]
fn documents_that_are_no_objects_say_why() {
    for (document, expected) in [
        (json!([]), "a Kubernetes object has apiVersion, kind and metadata; this is a list"),
        (json!({"kind": "Pod"}), "apiVersion: is missing"),
        (json!({"apiVersion": "v1"}), "kind: is missing"),
        (json!({"apiVersion": "v1", "kind": 7}), "kind: is not a text"),
        (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata.name: is missing"),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": ""}}),
            "metadata.name: is empty",
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}),
            "Deployment of apps/v1 is not a kind that ZoneGate reads",
        ),
        (
            json!({"apiVersion": "v2", "kind": "Pod", "metadata": {"name": "a"}}),
            "Pod of v2 is not a kind that ZoneGate reads",
        ),
    ] {
        let error = Object::parse(document.clone()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{document}");
        assert_eq!(error.problem(), None, "{document}");
    }
}

#[test]
fn an_unreadable_object_is_named_with_the_field() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x", "name": "a"},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": "http"}]}]}});
    let error = Object::parse(pod).unwrap_err();
    let ObjectError::Unreadable { field, .. } = &error else { panic!("{error}") };
    assert_eq!(field, "spec.containers[0].ports[0].containerPort");
    let problem = error.problem().unwrap();
    assert_eq!(problem.effect, Effect::LeftOut);
    assert_eq!(problem.object.to_string(), r#"Pod "x/a""#);
}

#[test]
fn lists_hold_objects() {
    let keys = |yaml: &str| -> Vec<String> {
        objects(yaml).iter().map(|object| object.key().to_string()).collect()
    };
    let list = "{apiVersion: v1, kind: List, items: [
        {apiVersion: v1, kind: Node, metadata: {name: n}},
        {apiVersion: v1, kind: PodList, items: [{metadata: {name: a, namespace: x}}]}]}";
    assert_eq!(keys(list), [r#"Node "n""#, r#"Pod "x/a""#]);
    assert_eq!(keys("{apiVersion: v1, kind: PodList, items: []}"), [""; 0]);
    assert_eq!(keys("---\n---\n"), [""; 0]);
    let policies = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicyList,
        items: [{metadata: {name: p}}]}";
    assert_eq!(keys(policies), [r#"NetworkPolicy "default/p""#]);
}

#[test]
fn nodes_have_places_and_pod_prefixes() {
    let outcome = translated(
        "{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {
            topology.kubernetes.io/zone: z1, topology.kubernetes.io/region: r1}},
          spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.7/24, 'fd00:3::/64']},
          status: {addresses: [{type: Hostname, address: n3}, {type: InternalIP, address: 192.0.2.3},
            {type: ExternalIP, address: '2001:db8::3'}, {type: InternalIP, address: nowhere},
            {type: InternalIP, address: 192.0.2.3}]}}",
    );
    assert_eq!(
        lines(&outcome),
        ["node n3 [192.0.2.3, 2001:db8::3] zone=z1 region=r1 pods=[10.244.3.0/24, fd00:3::/64]"]
    );
    let [problem] = outcome.problems.as_slice() else { panic!("{:?}", outcome.problems) };
    assert_eq!((problem.field.as_str(), problem.effect), ("status.addresses[3].address", IGNORED));
}

#[test]
fn only_pods_with_addresses_of_their_own_are_workloads() {
    let pod = |spec: &str, status: &str| {
        let outcome = translated(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{namespace: x, name: new}}, \
             spec: {{nodeName: n1, containers: [], {spec}}}, status: {{{status}}}}}"
        ));
        lines(&outcome)
    };
    let workload = ["workload x/new n1 [10.0.0.9]"];
    assert_eq!(pod("", "phase: Running, podIPs: [{ip: 10.0.0.9}]"), workload);
    assert_eq!(pod("", "podIP: 10.0.0.9"), workload);
    assert_eq!(pod("hostNetwork: false", "phase: Pending, podIP: 10.0.0.9"), workload);
    assert_eq!(
        pod("", "podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}, {ip: 'fd00::9'}]"),
        ["workload x/new n1 [10.0.0.9, fd00::9]"]
    );
    assert_eq!(pod("hostNetwork: true", "phase: Running, podIP: 192.0.2.1"), [""; 0]);
    assert_eq!(pod("", "phase: Succeeded, podIP: 10.0.0.9"), [""; 0]);
    assert_eq!(pod("", "phase: Failed, podIP: 10.0.0.9"), [""; 0]);
    assert_eq!(pod("", "phase: Running"), [""; 0]);
    assert_eq!(pod("", "phase: Running, podIP: ''"), [""; 0]);
    assert_eq!(pod("nodeName: ''", "podIP: 10.0.0.9"), [""; 0]);
}

#[test]
fn pods_on_the_host_are_neither_subjects_nor_peers() {
    let mut translator = cluster();
    let policy = crate::network_policy::policy("{ingress: [{from: [{namespaceSelector: {}}]}]}");
    translator.apply(upserts(&policy));
    let host = "{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: host},
        spec: {nodeName: n1, hostNetwork: true, containers: []}, status: {podIP: 192.0.2.1}}";
    assert_eq!(lines(&translator.apply(upserts(host))), [""; 0]);
}

const IGNORED: Effect = Effect::FieldIgnored;
