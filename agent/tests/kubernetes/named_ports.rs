//! Ports by name: they are looked up on the destination pod, and never widen to anything.

use crate::{
    network_policy::policy,
    world::{cluster, lines, removes, translated, upserts},
};

#[test]
fn ingress_splits_the_subjects() {
    let outcome = translated(&policy("{ingress: [{ports: [{port: http}, {port: 22}]}, {}]}"));
    assert_eq!(
        lines(&outcome),
        [
            "set pods/x/{}[http/TCP=TCP/8080] [10.0.0.2/32]",
            "set pods/x/{}[http/TCP=TCP/80] [10.0.0.1/32]",
            "policy networkpolicy/x/p#1 Network 0 on pods/x/{}[http/TCP=TCP/80]",
            " ingress ingress[0]: Accept * TCP/22,TCP/80",
            " ingress ingress[1]: Accept * *",
            "policy networkpolicy/x/p#2 Network 0 on pods/x/{}[http/TCP=TCP/8080]",
            " ingress ingress[0]: Accept * TCP/22,TCP/8080",
            " ingress ingress[1]: Accept * *",
        ]
    );
}

#[test]
fn what_resolves_nowhere_matches_nothing() {
    // The name is there, for another protocol only.
    let outcome = translated(&policy("{ingress: [{ports: [{port: dns}]}]}"));
    assert_eq!(
        lines(&outcome),
        [
            "set pods/x/{}[dns/TCP=] [10.0.0.1/32, 10.0.0.2/32]",
            "policy networkpolicy/x/p#1 Network 0 on pods/x/{}[dns/TCP=]",
            " ingress ingress[0]: Accept * -",
        ]
    );
    let outcome = translated(&policy("{policyTypes: [Egress], egress: [{ports: [{port: dns}]}]}"));
    assert_eq!(
        lines(&outcome),
        [
            "set pods/x/{} [10.0.0.1/32, 10.0.0.2/32]",
            "policy networkpolicy/x/p Network 0 on pods/x/{}",
            " egress egress[0]: Accept - -",
        ]
    );
}

#[test]
fn egress_splits_the_peers() {
    let subject = "set pods/x/{app=web} [10.0.0.1/32]";
    let head = "policy networkpolicy/x/p Network 0 on pods/x/{app=web}";
    for (case, to, expected) in [
        (
            "any peer: pods everywhere, nobody outside",
            "[]",
            vec![
                "set pods/{}/{}[http/TCP=TCP/80] [10.0.0.1/32]",
                "set pods/{}/{}[http/TCP=TCP/8080] [10.0.0.2/32]",
                head,
                " egress egress[0]: Accept * TCP/22",
                " egress egress[0]: Accept pods/{}/{}[http/TCP=TCP/80] TCP/80",
                " egress egress[0]: Accept pods/{}/{}[http/TCP=TCP/8080] TCP/8080",
            ],
        ),
        (
            "a block: the pods in it",
            "[{ipBlock: {cidr: 10.0.0.0/31, except: [10.0.0.0/32]}}]",
            vec![
                "set cidr/10.0.0.0/31-10.0.0.0/32 [10.0.0.0/31] except [10.0.0.0/32]",
                "set pods/{}/{}@10.0.0.0/31-10.0.0.0/32[http/TCP=TCP/80] [10.0.0.1/32]",
                head,
                " egress egress[0]: Accept cidr/10.0.0.0/31-10.0.0.0/32 TCP/22",
                " egress egress[0]: Accept \
                 pods/{}/{}@10.0.0.0/31-10.0.0.0/32[http/TCP=TCP/80] TCP/80",
            ],
        ),
    ] {
        let spec = format!(
            "{{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], \
             egress: [{{to: {to}, ports: [{{port: http}}, {{port: 22}}]}}]}}"
        );
        let lines = lines(&translated(&policy(&spec)));
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        expected.push(subject.to_owned());
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(lines), sorted(expected), "{case}");
    }
}

#[test]
fn cluster_policies_take_the_protocol_of_the_container_port() {
    let policy = "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy,
        metadata: {name: p}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [
        {action: Deny, to: [{pods: {podSelector: {matchLabels: {app: web}}}}, {nodes: {}}],
         protocols: [{destinationNamedPort: dns}, {destinationNamedPort: http}]}]}}";
    let set = "pods/{}/{app=web}[dns=UDP/53,http=TCP/80]";
    assert_eq!(
        lines(&translated(policy)),
        [
            format!("set {set} [10.0.0.1/32]"),
            "set pods/{}/{} [10.0.0.1/32, 10.0.0.2/32, 10.0.1.1/32, fd00::1/128]".into(),
            "policy clusternetworkpolicy/p Admin 1 on pods/{}/{}".into(),
            format!(" egress egress[0]: Deny {set} TCP/80,UDP/53"),
        ]
    );
}

#[test]
fn groups_come_and_go_with_pods() {
    let mut translator = cluster();
    translator.apply(upserts(&policy("{ingress: [{ports: [{port: http}]}]}")));
    let outcome = translator.apply(removes(WEB));
    assert_eq!(
        lines(&outcome),
        [
            "policy networkpolicy/x/p#1 Network 0 on pods/x/{}[http/TCP=TCP/8080]",
            " ingress ingress[0]: Accept * TCP/8080",
            "-Workload x/web",
            "-AddressSet pods/x/{}[http/TCP=TCP/80]",
            "-Policy networkpolicy/x/p#2",
        ]
    );
    let outcome = translator.apply(upserts(WEB));
    assert_eq!(
        lines(&outcome),
        [
            "workload x/web n1 [10.0.0.1]",
            // Ports of sidecars count, those of other init containers do not.
            "set pods/x/{}[http/TCP=TCP/81] [10.0.0.1/32]",
            "policy networkpolicy/x/p#1 Network 0 on pods/x/{}[http/TCP=TCP/81]",
            " ingress ingress[0]: Accept * TCP/81",
            "policy networkpolicy/x/p#2 Network 0 on pods/x/{}[http/TCP=TCP/8080]",
            " ingress ingress[0]: Accept * TCP/8080",
        ]
    );
}

const WEB: &str = "
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: web}, spec: {nodeName: n1,
  initContainers: [
    {name: i, ports: [{name: http, containerPort: 99}]},
    {name: s, restartPolicy: Always, ports: [{name: http, containerPort: 81}]}],
  containers: [{name: c}]}, status: {podIP: 10.0.0.1}}
";
