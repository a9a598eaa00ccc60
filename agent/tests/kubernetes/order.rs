//! Whatever way a cluster comes about, the resources are those of its objects as they are.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};
use zonegate::kubernetes::{Change, Effect, Object, ObjectKey, Options, Translator};

use crate::world::{Held, objects};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changes_in_any_split_lead_to_the_same(
        steps in vec((any::<bool>(), any_object(), any::<bool>()), 1..40),
    ) {
        let mut translator = Translator::new(Options::default());
        let mut held = Held::default();
        let mut batch = Vec::new();
        // The last usable form of each object, and its last form if that is not usable.
        let mut current: BTreeMap<ObjectKey, Vec<Change>> = BTreeMap::new();
        for (remove, (yaml, usable), cut) in steps {
            let [object] = <[Object; 1]>::try_from(objects(&yaml)).unwrap();
            let key = object.key().clone();
            let change = if remove { Change::Remove(key.clone()) } else { Change::Upsert(object) };
            let forms = current.entry(key).or_default();
            if remove || usable {
                forms.clear();
            }
            if !remove {
                // Of several forms that cannot be used, the last one counts.
                forms.truncate(1);
                if let [Change::Upsert(only)] = forms.as_slice() && !usable_object(only) {
                    forms.clear();
                }
                forms.push(change.clone());
            }
            batch.push(change);
            if cut {
                held.take(translator.apply(batch.drain(..)));
            }
        }
        held.take(translator.apply(batch));

        let mut anew = Translator::new(Options::default());
        let mut expected = Held::default();
        expected.take(anew.apply(current.into_values().rev().flatten()));
        prop_assert_eq!(&held, &expected);
        prop_assert!(translator.problems().eq(anew.problems()));
        prop_assert!(translator.resources().eq(anew.resources()));
    }
}

/// Whether it stands alone as a last form: the bad ones here all fail to translate.
fn usable_object(object: &Object) -> bool {
    let mut translator = Translator::new(Options::default());
    translator.apply([Change::Upsert(object.clone())]);
    translator.problems().all(|problem| problem.effect == Effect::FieldIgnored)
}

/// An object as YAML, and whether it can be used.
fn any_object() -> impl Strategy<Value = (String, bool)> {
    let usable = prop_oneof![4 => any_pod(), 1 => any_namespace(), 1 => any_node(),
        3 => any_network_policy(), 2 => any_cluster_policy(), 3 => any_service(), 2 => any_slice()];
    let bad = select(vec!["p", "q"]).prop_map(|name| network_policy("x", name, BAD_SPEC));
    let bad_service = select(vec!["s", "t"]).prop_map(|name| service("x", name, "", BAD_SERVICE));
    prop_oneof![
        15 => usable.prop_map(|yaml| (yaml, true)),
        1 => bad.prop_map(|yaml| (yaml, false)),
        1 => bad_service.prop_map(|yaml| (yaml, false)),
    ]
}

/// Services that take addresses from each other, and from pods.
fn any_service() -> impl Strategy<Value = String> {
    let label = select(vec!["", "", "", "service.kubernetes.io/service-proxy-name: other"]);
    let cluster = select(vec!["10.96.0.1", "10.96.0.2", "None"]);
    let external = select(vec!["", "203.0.113.1", "10.96.0.2", "10.0.0.1", "10.0.0.5"]);
    let balancer = select(vec!["", "{ip: 203.0.113.1}"]);
    let node_port = select(vec![0, 0, 30_080]);
    let name = select(vec!["s", "t"]);
    (any_namespace_name(), name, label, (cluster, external, balancer), 80..82, node_port).prop_map(
        |(namespace, name, label, (cluster, external, balancer), port, node_port)| {
            let spec = format!(
                "spec: {{clusterIP: {cluster}, externalIPs: [{external}], \
                 ports: [{{port: {port}, nodePort: {node_port}}}]}}, \
                 status: {{loadBalancer: {{ingress: [{balancer}]}}}}"
            );
            service(namespace, name, label, &spec)
        },
    )
}

fn service(namespace: &str, name: &str, label: &str, fields: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{namespace: {namespace}, name: {name}, \
         labels: {{{label}}}}}, {fields}}}"
    )
}

fn any_slice() -> impl Strategy<Value = String> {
    let (name, of) = (select(vec!["a", "b"]), select(vec!["s", "t"]));
    (any_namespace_name(), name, of, vec((1..4_u8, any::<bool>()), 0..3)).prop_map(
        |(namespace, name, of, endpoints)| {
            let endpoints = endpoints.into_iter().map(|(address, ready)| {
                format!("{{addresses: [10.0.0.{address}], conditions: {{ready: {ready}}}}}")
            });
            format!(
                "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
                 metadata: {{namespace: {namespace}, name: {name}, \
                 labels: {{kubernetes.io/service-name: {of}}}}}, ports: [{{port: 8080}}], \
                 endpoints: [{}]}}",
                endpoints.collect::<Vec<_>>().join(",")
            )
        },
    )
}

fn any_pod() -> impl Strategy<Value = String> {
    let ports = select(vec![
        "",
        "{name: http, containerPort: 80}",
        "{name: http, containerPort: 8080}",
        "{name: http, containerPort: 53, protocol: UDP}, {name: http, containerPort: 80}",
        "{containerPort: 80, hostPort: 30080}",
        "{containerPort: 80, hostPort: 80, hostIP: 203.0.113.1}",
        "{containerPort: 80, hostPort: 80, hostIP: 192.0.2.1}, {containerPort: 1, hostPort: 30080}",
    ]);
    let host = select(vec![false, false, false, true]);
    let phase = select(vec!["Running", "Running", "Running", "Succeeded"]);
    (any_namespace_name(), 0..4_u8, any_labels(), ports, 0..6_u8, host, phase).prop_map(
        |(namespace, name, labels, ports, address, host, phase)| {
            let addresses = match address {
                0 => String::new(),
                5 => "{ip: 10.0.0.5}, {ip: 'fd00::5'}".into(),
                last => format!("{{ip: 10.0.0.{last}}}"),
            };
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{namespace: {namespace}, name: pod{name}, \
                 labels: {labels}}}, spec: {{nodeName: n1, hostNetwork: {host}, \
                 containers: [{{name: c, ports: [{ports}]}}]}}, \
                 status: {{phase: {phase}, podIPs: [{addresses}]}}}}"
            )
        },
    )
}

fn any_namespace() -> impl Strategy<Value = String> {
    (any_namespace_name(), any_labels()).prop_map(|(name, labels)| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}")
    })
}

fn any_node() -> impl Strategy<Value = String> {
    (1..3_u8, any_labels(), 1..4_u8).prop_map(|(name, labels, address)| {
        format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n{name}, labels: {labels}}}, \
             status: {{addresses: [{{type: InternalIP, address: 192.0.2.{address}}}]}}}}"
        )
    })
}

fn any_network_policy() -> impl Strategy<Value = String> {
    let peer = prop_oneof![
        any_selector().prop_map(|it| format!("{{podSelector: {it}}}")),
        any_selector().prop_map(|it| format!("{{namespaceSelector: {it}}}")),
        (any_selector(), any_selector())
            .prop_map(|(one, two)| format!("{{namespaceSelector: {one}, podSelector: {two}}}")),
        Just("{ipBlock: {cidr: 10.0.0.0/29, except: [10.0.0.2/31]}}".to_owned()),
    ];
    let port = select(vec!["{port: 80}", "{port: http}", "{port: http, protocol: UDP}", "{}"]);
    let rules = |peers: &'static str| {
        vec((vec(peer.clone(), 0..3), vec(port.clone(), 0..3)), 0..3).prop_map(move |rules| {
            let rules = rules.into_iter().map(|(list, ports)| {
                format!("{{{peers}: [{}], ports: [{}]}}", list.join(","), ports.join(","))
            });
            rules.collect::<Vec<_>>().join(",")
        })
    };
    let types = select(vec!["", "Ingress", "Egress", "Ingress, Egress"]);
    let name = select(vec!["p", "q"]);
    (any_namespace_name(), name, any_selector(), types, rules("from"), rules("to")).prop_map(
        |(namespace, name, pods, types, ingress, egress)| {
            let spec = format!(
                "{{podSelector: {pods}, policyTypes: [{types}], ingress: [{ingress}], \
                 egress: [{egress}]}}"
            );
            network_policy(namespace, name, &spec)
        },
    )
}

fn any_cluster_policy() -> impl Strategy<Value = String> {
    let peer = |direction| {
        let pods = any_selector().prop_map(|it| format!("{{pods: {{podSelector: {it}}}}}"));
        let namespaces = any_selector().prop_map(|it| format!("{{namespaces: {it}}}"));
        let nodes = any_selector().prop_map(|it| format!("{{nodes: {it}}}"));
        match direction {
            "from" => prop_oneof![pods, namespaces].boxed(),
            _ => prop_oneof![pods, namespaces, nodes].boxed(),
        }
    };
    let action = select(vec!["Accept", "Deny", "Pass"]);
    let protocols = select(vec![
        "",
        "{destinationNamedPort: http}",
        "{tcp: {destinationPort: {number: 80}}}, {destinationNamedPort: http}",
    ]);
    let rule = move |direction: &'static str| {
        (action.clone(), vec(peer(direction), 1..3), protocols.clone()).prop_map(
            move |(action, peers, protocols)| {
                let peers = peers.join(",");
                format!("{{action: {action}, {direction}: [{peers}], protocols: [{protocols}]}}")
            },
        )
    };
    let tier = select(vec!["Admin", "Baseline"]);
    (tier, any_selector(), vec(rule("from"), 0..3), vec(rule("to"), 0..3)).prop_map(
        |(tier, subject, ingress, egress)| {
            format!(
                "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, \
                 metadata: {{name: c}}, spec: {{tier: {tier}, priority: 1, \
                 subject: {{namespaces: {subject}}}, ingress: [{}], egress: [{}]}}}}",
                ingress.join(","),
                egress.join(",")
            )
        },
    )
}

fn network_policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{namespace: {namespace}, name: {name}}}, spec: {spec}}}"
    )
}

fn any_namespace_name() -> impl Strategy<Value = &'static str> {
    select(vec!["x", "y"])
}

fn any_labels() -> impl Strategy<Value = &'static str> {
    select(vec!["{}", "{a: b}", "{a: c}", "{a: b, d: e}"])
}

fn any_selector() -> impl Strategy<Value = &'static str> {
    select(vec![
        "{}",
        "{matchLabels: {a: b}}",
        "{matchLabels: {a: b, d: e}}",
        "{matchExpressions: [{key: a, operator: In, values: [b, c]}]}",
        "{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}",
        "{matchExpressions: [{key: d, operator: DoesNotExist}]}",
        "{matchLabels: {kubernetes.io/metadata.name: x}}",
    ])
}

const BAD_SERVICE: &str = "spec: {clusterIP: ten, ports: [{port: 80}]}";
const BAD_SPEC: &str = "{podSelector: {matchLabels: {a: b}}, ingress: [{ports: [{port: 0}]}]}";
