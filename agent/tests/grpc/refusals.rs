//! What is wrong is named by resource and field, and nothing of the transaction is applied.

use proto::v1::{self, Resource, apply_response::Answer, resource, resource_key::Kind};
use zonegate::{grpc::Options, store::Limits};

use crate::{
    node::Node,
    resources::{
        address_set, backend_set, key, node, policy, policy_of, resource, rule, service, shop,
        workload,
    },
    tables::capacity_failure,
};

struct Case {
    what: &'static str,
    upserts: Vec<Resource>,
    resource: (Kind, &'static str),
    field: &'static str,
    reason: &'static str,
}

#[tokio::test]
async fn a_refusal_names_resource_and_field_and_nothing_is_applied() {
    let limits = Limits { frontends_per_service: 2, name_bytes: 20, ..Limits::default() };
    let node = Node::with(Options::default(), limits).await;
    assert!(matches!(node.apply("cli", shop()).await, Ok(Answer::Ack(_))));
    let before = (node.held().await, node.tables.content().commits);

    for Case { what, mut upserts, resource, field, reason } in cases() {
        upserts.push(address_set("innocent", &["10.0.0.0/8"]));
        let Ok(Answer::Nack(nack)) = node.apply("cli", upserts).await else {
            panic!("{what}: not refused")
        };
        let refusals: Vec<_> = nack
            .refusals
            .iter()
            .map(|it| (it.resource.clone(), it.field.as_str(), it.reason.as_str()))
            .collect();
        let expected = (Some(key(resource.0, resource.1)), field, reason);
        assert_eq!(refusals, [expected], "{what}");
        assert_eq!((node.held().await, node.tables.content().commits), before, "{what}");
    }
}

fn cases() -> Vec<Case> {
    let mut cases = reference_cases();
    cases.extend(value_cases());
    cases.extend(unknown_cases());
    cases
}

fn reference_cases() -> Vec<Case> {
    let set = || address_set("web", &["10.0.0.1"]);
    vec![
        Case {
            what: "a backend set that is not there",
            upserts: vec![service("pay:80", &[("10.96.0.2", 80)], "pay")],
            resource: (Kind::Service, "pay:80"),
            field: "backend_set",
            reason: "there is no BackendSet \"pay\"",
        },
        Case {
            what: "a subject that is not there",
            upserts: vec![set(), policy("p", "nobody", "web", 80, 80)],
            resource: (Kind::Policy, "p"),
            field: "subjects[0]",
            reason: "there is no AddressSet \"nobody\"",
        },
        Case {
            what: "a peer that is not there",
            upserts: vec![set(), policy("p", "web", "nobody", 80, 80)],
            resource: (Kind::Policy, "p"),
            field: "ingress.rules[0].peer_sets.names[0]",
            reason: "there is no AddressSet \"nobody\"",
        },
        Case {
            what: "a frontend of another service",
            upserts: vec![service("a:80", &[("10.96.0.9", 1), ("10.96.0.1", 80)], "shop")],
            resource: (Kind::Service, "a:80"),
            field: "frontends[1]",
            reason: "TCP 10.96.0.1 port 80 is a frontend of Service \"shop:80\" too",
        },
    ]
}

fn value_cases() -> Vec<Case> {
    let web = || address_set("web", &["10.0.0.1"]);
    let prefix = |what, prefix, reason| Case {
        what,
        upserts: vec![address_set("bad", &["10.0.0.0/8", prefix])],
        resource: (Kind::AddressSet, "bad"),
        field: "prefixes[1]",
        reason,
    };
    let ports = |what, first, last, field, reason| Case {
        what,
        upserts: vec![web(), policy("p", "web", "web", first, last)],
        resource: (Kind::Policy, "p"),
        field,
        reason,
    };
    vec![
        prefix("no prefix", "10.0.0.0/33", "\"10.0.0.0/33\" is not an address or CIDR prefix"),
        prefix(
            "host bits",
            "10.0.0.1/24",
            "10.0.0.1/24 has host bits set; the prefix is 10.0.0.0/24",
        ),
        prefix(
            "v6 host bits",
            "fd00::1/64",
            "fd00::1/64 has host bits set; the prefix is fd00::/64",
        ),
        prefix(
            "a mapped address",
            "::ffff:10.0.0.1",
            "an IPv4-mapped IPv6 address; write it as IPv4",
        ),
        ports("port 0", 0, 80, FIRST, "port 0 is outside 1-65535"),
        ports("a large port", 80, 65536, LAST, "port 65536 is outside 1-65535"),
        ports("a reversed range", 90, 80, LAST, "port range 90-80 ends before it begins"),
        Case {
            what: "too many frontends",
            upserts: vec![service(
                "a:1",
                &[("10.96.0.9", 1), ("10.96.0.9", 2), ("10.96.0.9", 3)],
                "shop",
            )],
            resource: (Kind::Service, "a:1"),
            field: "frontends",
            reason: "3 exceeds the limit frontends_per_service of 2",
        },
        Case {
            what: "a long name",
            upserts: vec![node("a-name-of-21-byteslong")],
            resource: (Kind::Node, "a-name-of-21-byteslong"),
            field: "name",
            reason: "22 exceeds the limit name_bytes of 20",
        },
        Case {
            what: "no name",
            upserts: vec![node("")],
            resource: (Kind::Node, ""),
            field: "name",
            reason: "is empty",
        },
        Case {
            what: "a frontend's port",
            upserts: vec![service("a:0", &[("10.96.0.9", 0)], "shop")],
            resource: (Kind::Service, "a:0"),
            field: "frontends[0].port",
            reason: "port 0 is outside 1-65535",
        },
        Case {
            what: "a backend's address",
            upserts: vec![backend_set("b", &[("10.0.0.1", 80), ("localhost", 80)])],
            resource: (Kind::BackendSet, "b"),
            field: "backends[1].address",
            reason: "\"localhost\" is not an IP address",
        },
        Case {
            what: "a backend twice",
            upserts: vec![backend_set("b", &[("10.0.0.1", 80), ("10.0.0.1", 80)])],
            resource: (Kind::BackendSet, "b"),
            field: "backends[1]",
            reason: "10.0.0.1:80 is listed twice",
        },
        Case {
            what: "an address of no machine",
            upserts: vec![workload("w", "224.0.0.1")],
            resource: (Kind::Workload, "w"),
            field: "addresses[0]",
            reason: "224.0.0.1 is no address of a machine",
        },
        Case {
            what: "a resource twice",
            upserts: vec![node("n"), node("n")],
            resource: (Kind::Node, "n"),
            field: "",
            reason: "named twice in one transaction",
        },
        Case {
            what: "denial in the network tier",
            upserts: vec![
                web(),
                policy_of(
                    "p",
                    "web",
                    v1::Rule { action: v1::Action::Deny.into(), ..rule("web", Vec::new()) },
                ),
            ],
            resource: (Kind::Policy, "p"),
            field: "ingress.rules[0].action",
            reason: "rules of the network tier can only accept",
        },
    ]
}

/// What a newer client may send to this agent.
fn unknown_cases() -> Vec<Case> {
    let web = || address_set("web", &["10.0.0.1"]);
    let with_rule = |what, rule, field, reason| Case {
        what,
        upserts: vec![web(), policy_of("p", "web", rule)],
        resource: (Kind::Policy, "p"),
        field,
        reason,
    };
    vec![
        with_rule(
            "an unset peer",
            v1::Rule { peers: None, ..rule("web", Vec::new()) },
            "ingress.rules[0].peers",
            "neither any_peer nor peer_sets is set",
        ),
        with_rule(
            "unset traffic",
            v1::Rule { traffic: None, ..rule("web", Vec::new()) },
            "ingress.rules[0].traffic",
            "neither any_traffic nor port_matches is set",
        ),
        with_rule(
            "an unknown action",
            v1::Rule { action: 99, ..rule("web", Vec::new()) },
            "ingress.rules[0].action",
            "this agent does not know value 99",
        ),
        with_rule(
            "an unset action",
            v1::Rule { action: 0, ..rule("web", Vec::new()) },
            "ingress.rules[0].action",
            "is not set",
        ),
        Case {
            what: "an unknown feature",
            upserts: vec![resource(resource::Kind::Node(v1::Node {
                name: "n".into(),
                required_features: vec!["warp-drive".into()],
                ..Default::default()
            }))],
            resource: (Kind::Node, "n"),
            field: "required_features[0]",
            reason: "this agent does not have feature \"warp-drive\"",
        },
        Case {
            what: "an unknown scope",
            upserts: vec![resource(resource::Kind::Service(v1::Service {
                name: "s".into(),
                backend_set: "shop".into(),
                preference: vec![v1::Scope::Zone.into(), 9],
                ..Default::default()
            }))],
            resource: (Kind::Service, "s"),
            field: "preference[1]",
            reason: "this agent does not know value 9",
        },
        Case {
            what: "a host port of no node",
            upserts: vec![service_with(|it| it.frontends = vec![host_port("0.0.0.0")])],
            resource: (Kind::Service, "s"),
            field: "node",
            reason: "is empty",
        },
        Case {
            what: "a node without host ports",
            upserts: vec![service_with(|it| it.node = "n".into())],
            resource: (Kind::Service, "s"),
            field: "node",
            reason: "is for services with host ports",
        },
        Case {
            what: "two host ports of a node",
            upserts: vec![of_node("a", "n"), of_node("b", "m"), of_node("s", "n")],
            resource: (Kind::Service, "s"),
            field: "frontends[0]",
            reason: "TCP 0.0.0.0 port 8080 is a frontend of Service \"a\" too",
        },
        Case {
            what: "an unknown traffic policy",
            upserts: vec![service_with(|it| it.external_traffic_policy = 9)],
            resource: (Kind::Service, "s"),
            field: "external_traffic_policy",
            reason: "this agent does not know value 9",
        },
        Case {
            what: "an unknown distribution",
            upserts: vec![service_with(|it| it.traffic_distribution = 9)],
            resource: (Kind::Service, "s"),
            field: "traffic_distribution",
            reason: "this agent does not know value 9",
        },
        Case {
            what: "an unknown kind of frontend",
            upserts: vec![service_with(|it| it.frontends[0].kind = 9)],
            resource: (Kind::Service, "s"),
            field: "frontends[0].kind",
            reason: "this agent does not know value 9",
        },
        Case {
            what: "two ways to choose",
            upserts: vec![service_with(|it| {
                it.preference = vec![v1::Scope::Any.into()];
                it.topology_keys = vec!["*".into()];
            })],
            resource: (Kind::Service, "s"),
            field: "topology_keys",
            reason: "cannot be combined with preference",
        },
        Case {
            what: "clients in no zone at all",
            upserts: vec![service_with(|it| {
                let clients = [("a".to_owned(), 0)].into();
                it.zone_spill = Some(v1::ZoneSpill { factor: 1200, clients });
            })],
            resource: (Kind::Service, "s"),
            field: "zone_spill.clients",
            reason: "no zone has a weight above 0",
        },
        Case {
            what: "topology keys where sources are kept",
            upserts: vec![service_with(|it| {
                it.frontends[0].kind = v1::frontend::Kind::External.into();
                it.topology_keys = vec!["*".into()];
                it.external_traffic_policy = v1::service::TrafficPolicy::Local.into();
            })],
            resource: (Kind::Service, "s"),
            field: "topology_keys",
            reason: "cannot be combined with an external traffic policy LOCAL",
        },
        Case {
            what: "a node port of one address",
            upserts: vec![service_with(|it| {
                it.frontends[0].kind = v1::frontend::Kind::NodePort.into();
            })],
            resource: (Kind::Service, "s"),
            field: "frontends[0].address",
            reason: "of a node port is 0.0.0.0 or ::",
        },
        Case {
            what: "a source range with host bits",
            upserts: vec![service_with(|it| it.source_ranges = vec!["10.0.0.1/8".into()])],
            resource: (Kind::Service, "s"),
            field: "source_ranges[0]",
            reason: "10.0.0.1/8 has host bits set; the prefix is 10.0.0.0/8",
        },
        Case {
            what: "an affinity of more than a day",
            upserts: vec![service_with(|it| {
                it.client_affinity = Some(v1::ClientAffinity { timeout_seconds: 86_401 });
            })],
            resource: (Kind::Service, "s"),
            field: "client_affinity.timeout_seconds",
            reason: "86401 is not within 1 and 86400",
        },
    ]
}

/// A service at one address, but for a change.
fn host_port(address: &str) -> v1::Frontend {
    v1::Frontend {
        address: address.into(),
        port: 8080,
        protocol: v1::Protocol::Tcp.into(),
        kind: v1::frontend::Kind::HostPort.into(),
    }
}

/// A service at a host port of a node.
fn of_node(name: &str, node: &str) -> Resource {
    service_with(|it| {
        (it.name, it.node) = (name.into(), node.into());
        it.frontends = vec![host_port("0.0.0.0")];
    })
}

fn service_with(change: impl FnOnce(&mut v1::Service)) -> Resource {
    let mut resource = service("s", &[("10.96.0.7", 80)], "shop");
    if let Some(resource::Kind::Service(service)) = &mut resource.kind {
        change(service);
    }
    resource
}

#[tokio::test]
async fn what_cannot_be_named_is_refused_by_its_place() {
    let node = Node::fresh().await;
    let request = v1::ApplyRequest {
        owner: "cli".into(),
        upserts: vec![crate::resources::node("n"), Resource { kind: None }],
        removes: vec![v1::ResourceKey { kind: 77, name: "x".into() }],
        ..Default::default()
    };
    let Ok(Answer::Nack(nack)) = node.apply_request(request).await else { panic!("not refused") };
    let refusals: Vec<_> =
        nack.refusals.iter().map(|it| (it.resource.is_some(), it.field.as_str())).collect();
    assert_eq!(refusals, [(false, "upserts[1]"), (false, "removes[0].kind")]);
    assert_eq!(node.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_removal_that_leaves_a_reference_dangling_is_refused() {
    let node = Node::fresh().await;
    node.apply("cli", shop()).await.unwrap();
    let request = v1::ApplyRequest {
        owner: "cli".into(),
        removes: vec![key(Kind::BackendSet, "shop")],
        ..Default::default()
    };
    let Ok(Answer::Nack(nack)) = node.apply_request(request).await else { panic!("not refused") };
    assert_eq!(nack.refusals[0].resource, Some(key(Kind::Service, "shop:80")));
    assert_eq!(node.names().await, ["shop", "shop:80"]);
}

#[tokio::test]
async fn a_full_table_refuses_and_changes_nothing() {
    let node = Node::fresh().await;
    node.apply("cli", vec![crate::resources::node("n")]).await.unwrap();
    node.tables.content().failure = Some(capacity_failure);
    let Ok(Answer::Nack(nack)) = node.apply("cli", shop()).await else { panic!("not refused") };
    assert_eq!(nack.refusals[0].reason, "zg8_slots needs 9 entries and has room for 8");
    assert_eq!(node.names().await, ["n"]);
}

#[tokio::test]
async fn at_most_a_hundred_reasons_are_listed() {
    let node = Node::fresh().await;
    let backends: Vec<_> = (0..150).map(|_| ("nowhere", 80)).collect();
    let Ok(Answer::Nack(nack)) = node.apply("cli", vec![backend_set("b", &backends)]).await else {
        panic!("not refused")
    };
    assert_eq!(nack.refusals.len(), 100);
}

const FIRST: &str = "ingress.rules[0].port_matches.matches[0].first";
const LAST: &str = "ingress.rules[0].port_matches.matches[0].last";
