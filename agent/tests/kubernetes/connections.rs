//! What `zonegate check` says of connections through services.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::Value;
use zonegate::check::{Answer, Checker, Cluster, Probe, Verdict};

/// Two nodes with pods `a` on `n1` and `b` on `n2`, and a service of both.
const WORLD: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.0.1.0/24]},
  status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.0.2.0/24]},
  status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: x}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: a, labels: {app: a}},
  spec: {nodeName: n1, containers: []}, status: {podIP: 10.0.1.1}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: b, labels: {app: b}},
  spec: {nodeName: n2, containers: []}, status: {podIP: 10.0.2.1}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: agent},
  spec: {nodeName: n1, hostNetwork: true, containers: []}, status: {podIP: 192.0.2.1}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: x, name: s}, spec: {type: LoadBalancer,
  clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080}], loadBalancerSourceRanges:
  [10.0.0.0/8, 192.0.2.1/32]}, status: {loadBalancer: {ingress: [{ip: 198.51.100.1},
  {ip: 198.51.100.2, ipMode: Proxy}]}}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
  metadata: {namespace: x, name: s, labels: {kubernetes.io/service-name: s}},
  ports: [{port: 8080}], endpoints: [{addresses: [10.0.1.1], nodeName: n1},
  {addresses: [10.0.2.1], nodeName: n2}]}
---
{apiVersion: v1, kind: Service, metadata: {namespace: x, name: self}, spec: {
  clusterIP: 10.96.0.2, ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
  metadata: {namespace: x, name: self, labels: {kubernetes.io/service-name: self}},
  ports: [{port: 8080}], endpoints: [{addresses: [10.0.1.1], nodeName: n1}]}
---
{apiVersion: v1, kind: Service, metadata: {namespace: x, name: none}, spec: {
  clusterIP: 10.96.0.3, ports: [{port: 80}]}}
";

fn checker(more: &str) -> Checker {
    let text = format!("{WORLD}---\n{more}");
    let documents = serde_norway::Deserializer::from_str(&text);
    let documents: Vec<Value> = documents.map(|it| Value::deserialize(it).unwrap()).collect();
    Checker::new(Cluster::new(&documents).unwrap())
}

/// `forward 10.0.1.1:80,10.0.2.1:80 snat`, or the verdict and the reason.
fn said(checker: &mut Checker, node: &str, from: &str, to: &str) -> String {
    let (destination, port) = to.rsplit_once(':').unwrap();
    let answer = checker.answer(&Probe {
        id: "p".to_owned(),
        node: (!node.is_empty()).then(|| node.to_owned()),
        source: from.to_owned(),
        destination: destination.to_owned(),
        protocol: "TCP".to_owned(),
        port: Some(port.parse().unwrap()),
    });
    let Answer { verdict, backends, snat, reason, decisions, .. } = answer.unwrap();
    let denied = decisions.iter().any(|decision| !decision.allowed);
    assert_eq!(denied, reason.is_some_and(|it| it.starts_with("policy")), "{decisions:?}");
    let mut words = vec![format!("{verdict:?}").to_lowercase()];
    let backends = backends.unwrap_or_default().into_iter().collect::<Vec<_>>();
    words.extend((!backends.is_empty()).then(|| backends.join(",")));
    words.extend(snat.filter(|snat| *snat).map(|_| "snat".to_owned()));
    words.extend(reason.map(str::to_owned));
    if verdict == Verdict::Forward {
        assert_eq!(snat.is_some(), words.len() > 1, "{words:?}");
    }
    words.join(" ")
}

const BOTH: &str = "forward 10.0.1.1:8080,10.0.2.1:8080";

#[test]
fn an_answer_has_all_backends_of_the_client() {
    let mut checker = checker("");
    let snat = format!("{BOTH} snat");
    for (case, node, from, to, expected) in [
        ("a pod", "", "x/a", "10.96.0.1:80", BOTH),
        ("a pod nobody has heard of", "n1", "10.0.2.77", "10.96.0.1:80", BOTH),
        ("a node's process", "", "x/agent", "10.96.0.1:80", &snat),
        ("an outsider", "n1", "203.0.113.1", "10.96.0.1:80", &snat),
        ("a node port", "", "203.0.113.1", "192.0.2.1:30080", &snat),
        ("a node port, from a pod", "", "x/a", "192.0.2.1:30080", &snat),
        ("another node's port", "", "x/a", "192.0.2.2:30080", &snat),
        ("only hairpin", "", "x/a", "10.96.0.2:80", "forward 10.0.1.1:8080 snat"),
        ("not hairpin", "", "x/b", "10.96.0.2:80", "forward 10.0.1.1:8080"),
        ("nobody there", "", "x/a", "10.96.0.3:80", "reject"),
        ("no such port", "", "x/a", "10.96.0.1:81", "drop no_frontend"),
        ("a balancer, admitted", "", "x/a", "198.51.100.1:80", &snat),
        ("a balancer, not admitted", "n1", "203.0.113.1", "198.51.100.1:80", "drop source_range"),
        ("ranges are a balancer's alone", "n1", "203.0.113.1", "192.0.2.1:30080", &snat),
        ("itself, where its node is admitted", "n1", "198.51.100.1", "198.51.100.1:80", &snat),
        ("where it is not", "n2", "198.51.100.1", "198.51.100.1:80", "drop source_range"),
        ("a node port at home", "", "x/agent", "127.0.0.1:30080", &snat),
        ("from home", "n1", "127.0.0.1", "127.0.0.1:30080", &snat),
        ("another port at home", "", "x/agent", "127.0.0.1:22", "pass"),
        ("a pod's own home", "", "x/a", "127.0.0.1:30080", "drop martian"),
        ("a balancer that answers itself", "", "x/a", "198.51.100.2:80", "pass"),
        ("a node without a service there", "", "x/a", "192.0.2.1:22", "forward"),
    ] {
        assert_eq!(said(&mut checker, node, from, to), *expected, "{case}");
    }
    let probe = Probe {
        id: "p".to_owned(),
        node: None,
        source: "203.0.113.1".to_owned(),
        destination: "10.96.0.1".to_owned(),
        protocol: "TCP".to_owned(),
        port: Some(80),
    };
    assert!(checker.answer(&probe).unwrap_err().to_string().contains("node: is needed"));
}

#[test]
fn policy_judges_the_translated_connection() {
    let policy = |selector: &str, spec: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: x, \
             name: p}}, spec: {{podSelector: {{matchLabels: {{app: {selector}}}}}, {spec}}}}}"
        )
    };
    let block = |block: &str| format!("ingress: [{{from: [{{ipBlock: {{cidr: {block}}}}}]}}]");
    let snat = format!("{BOTH} snat");
    let denied = "drop policy_ingress";
    for (case, policy, node, from, to, expected) in [
        ("the backend's port counts", policy("a", PORT), "", "x/b", "10.96.0.2:80", FORWARD),
        ("not the service's", policy("a", OTHER), "", "x/b", "10.96.0.2:80", denied),
        ("one of two backends is enough", policy("b", "ingress: []"), "", "x/a", CLUSTER, BOTH),
        ("egress to the backend", policy("b", EGRESS), "", "x/b", "10.96.0.2:80", FORWARD),
        ("egress to nobody", policy("b", NOWHERE), "", "x/b", "10.96.0.2:80", NO_EGRESS),
        ("never from itself", policy("a", "ingress: []"), "", "x/a", "10.96.0.2:80", HAIRPIN),
        (
            "the client, where it is translated",
            policy("a", &block("203.0.113.0/24")),
            "n1",
            "203.0.113.1",
            "10.96.0.2:80",
            "forward 10.0.1.1:8080 snat",
        ),
        (
            "the translating node, elsewhere",
            policy("a", &block("203.0.113.0/24")),
            "n2",
            "203.0.113.1",
            "10.96.0.2:80",
            denied,
        ),
        (
            "which may be admitted",
            policy("a", &block("192.0.2.2/32")),
            "n2",
            "203.0.113.1",
            "10.96.0.2:80",
            "forward 10.0.1.1:8080 snat",
        ),
        ("a node port", policy("a", "ingress: []"), "", "x/b", "192.0.2.1:30080", &snat),
    ] {
        assert_eq!(said(&mut checker(&policy), node, from, to), expected, "{case}");
    }
    let hairpin = "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy,
        metadata: {name: p}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}},
        ingress: [{action: Deny, from: [{namespaces: {}}]}]}}";
    let mut checker = checker(hairpin);
    assert_eq!(said(&mut checker, "", "x/a", "10.96.0.2:80"), denied, "cluster policy may");
}

#[test]
fn answers_do_not_depend_on_the_questions_before() {
    let mut checker = checker("");
    let ask = |checker: &mut Checker| said(checker, "", "x/a", "10.96.0.1:80");
    let answers: BTreeSet<String> = (0..3).map(|_| ask(&mut checker)).collect();
    assert_eq!(answers, BTreeSet::from([BOTH.to_owned()]));
}

const CLUSTER: &str = "10.96.0.1:80";
const FORWARD: &str = "forward 10.0.1.1:8080";
const HAIRPIN: &str = "forward 10.0.1.1:8080 snat";
const PORT: &str = "ingress: [{ports: [{port: 8080}]}]";
const OTHER: &str = "ingress: [{ports: [{port: 80}]}]";
const EGRESS: &str = "policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.1.1/32}}]}]";
const NO_EGRESS: &str = "drop policy_egress";
const NOWHERE: &str = "policyTypes: [Egress]";
