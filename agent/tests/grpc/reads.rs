//! Get, List, status and flows.

use proto::v1::{
    self, GetRequest, ListFlowsRequest, ListRequest, observe_client::ObserveClient,
    resource_key::Kind,
};
use tonic::Code;

use crate::{
    node::{NODE, Node},
    resources::{address_set, key, name, node, policy, service, shop, workload},
    writer::{Writer, replace},
};

#[tokio::test]
async fn what_was_applied_is_read_back_with_defaults_spelled_out() {
    let node_a = Node::fresh().await;
    let mut applied = shop();
    let mut kept = service("kept:80", &[("10.96.0.77", 80)], "shop");
    if let Some(v1::resource::Kind::Service(service)) = &mut kept.kind {
        service.client_affinity = Some(v1::ClientAffinity::default());
    }
    applied.extend([
        kept,
        node(NODE),
        workload("shop/web-1", "10.0.0.7"),
        address_set("web", &["10.0.0.7/32", "fd00::/64"]),
        policy("shop/web", "web", "web", 80, 443),
    ]);
    node_a.apply("cli", applied.clone()).await.unwrap();
    let mut dataplane = node_a.dataplane();
    for expected in applied {
        let asked = Some(key(kind(&expected), &name(&expected)));
        let response = dataplane.get(GetRequest { key: asked }).await.unwrap().into_inner();
        let held = response.held.unwrap();
        assert_eq!((held.owner.as_str(), held.revision), ("cli", 1));
        assert_eq!(held.resource, Some(spelled_out(expected)));
    }
}

fn kind(resource: &v1::Resource) -> Kind {
    match resource.kind.as_ref().unwrap() {
        v1::resource::Kind::Node(_) => Kind::Node,
        v1::resource::Kind::Workload(_) => Kind::Workload,
        v1::resource::Kind::AddressSet(_) => Kind::AddressSet,
        v1::resource::Kind::Policy(_) => Kind::Policy,
        v1::resource::Kind::BackendSet(_) => Kind::BackendSet,
        v1::resource::Kind::Service(_) => Kind::Service,
    }
}

fn spelled_out(mut resource: v1::Resource) -> v1::Resource {
    match resource.kind.as_mut().unwrap() {
        v1::resource::Kind::BackendSet(set) => {
            for backend in &mut set.backends {
                backend.ready = Some(true);
                backend.serving = Some(true);
                backend.weight = Some(1);
            }
        }
        v1::resource::Kind::Service(service) => {
            service.internal_traffic_policy = v1::service::TrafficPolicy::Cluster.into();
            service.external_traffic_policy = v1::service::TrafficPolicy::Cluster.into();
            service.forwarding = v1::service::Forwarding::Nat.into();
            if let Some(affinity) = &mut service.client_affinity {
                affinity.timeout_seconds = 10_800;
            }
            for frontend in &mut service.frontends {
                frontend.kind = v1::frontend::Kind::Cluster.into();
            }
        }
        _ => {}
    }
    resource
}

#[tokio::test]
async fn what_is_not_held_is_not_found() {
    let node_a = Node::fresh().await;
    for (asked, code, words) in [
        (Some(key(Kind::Node, "x")), Code::NotFound, "Node \"x\""),
        (Some(key(Kind::Unspecified, "x")), Code::InvalidArgument, "key.kind"),
        (None, Code::InvalidArgument, "key"),
    ] {
        let error = node_a.dataplane().get(GetRequest { key: asked }).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.message().contains(words), "{error}");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", shop()).await.unwrap();
    let nodes = (0..5).map(|number| node(&format!("node-{number}"))).collect();
    let _writer = Writer::with_snapshot(&node_a, replace("k8s", 1), nodes).await;

    for (request, expected) in [
        (ListRequest::default(), "node-0 node-1|node-2 node-3|node-4 shop|shop:80"),
        (ListRequest { owner: "cli".into(), ..Default::default() }, "shop shop:80"),
        (
            ListRequest { kind: Kind::Node.into(), ..Default::default() },
            "node-0 node-1|node-2 node-3|node-4",
        ),
        (ListRequest { kind: Kind::Policy.into(), ..Default::default() }, ""),
    ] {
        assert_eq!(pages(&node_a, ListRequest { page_size: 2, ..request }).await, expected);
    }
    let bad = ListRequest { page_token: "what".into(), ..Default::default() };
    let error = node_a.dataplane().list(bad).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

/// Names by page.
async fn pages(node_a: &Node, mut request: ListRequest) -> String {
    let mut pages = Vec::new();
    loop {
        let page = node_a.dataplane().list(request.clone()).await.unwrap().into_inner();
        let names = page.resources.iter().map(|held| name(held.resource.as_ref().unwrap()));
        pages.push(names.collect::<Vec<_>>().join(" "));
        if page.next_page_token.is_empty() {
            return pages.join("|");
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_page_is_no_larger_than_a_message() {
    let node_a = Node::fresh().await;
    for number in 0..3 {
        let prefixes = vec!["2001:db8:1234:5678:9abc:def0:1234:5678"; 40_000];
        let large = address_set(&format!("set-{number}"), &prefixes);
        node_a.apply("cli", vec![large]).await.unwrap();
    }
    let pages = pages(&node_a, ListRequest::default()).await;
    assert_eq!(pages, "set-0|set-1|set-2");
}

#[tokio::test]
async fn the_status_tells_what_a_person_asks_for() {
    let node_a = Node::fresh().await;
    node_a.apply("cli", shop()).await.unwrap();
    node_a.apply("cli", shop().split_off(1)).await.unwrap();
    node_a.apply("cli", vec![address_set("bad", &["x"])]).await.unwrap();
    let status = node_a.status().await;
    assert_eq!((status.node.as_str(), status.ready, status.revision), (NODE, true, 1));
    let commits = status.commits.unwrap();
    assert_eq!((commits.accepted, commits.refused, commits.failed), (1, 1, 0));
    assert!(commits.last_unix_milliseconds > 0);
    let count =
        |kind: Kind| status.resources.iter().find(|it| it.kind() == kind).map(|it| it.count);
    assert_eq!((count(Kind::Service), count(Kind::Node)), (Some(1), Some(0)));
    let counter = v1::Counter { name: "policy_ingress".into(), drop: true, packets: 7 };
    assert_eq!(status.counters, [counter]);
    let table = v1::TableFill { table: "zg8_slots".into(), used: 1, capacity: 8 };
    assert_eq!(status.tables, [table]);
    let limit = |name: &str| status.limits.iter().find(|it| it.limit == name).unwrap().clone();
    let services = limit("services");
    assert_eq!((services.used, services.room), (1, 16_383));
    assert_eq!(limit("classes").used, 1, "everybody is in class 0");
    let attachment = v1::Attachment { interface: "eth0".into(), hook: "xdp-native".into() };
    assert_eq!(status.attachments, [attachment]);
    assert_eq!((status.abi_version, status.save_error.as_str()), (abi::ABI_VERSION, ""));
}

#[tokio::test]
async fn flows_are_listed_up_to_the_limit() {
    let node_a = Node::fresh().await;
    for (limit, expected) in [(0, 1000), (1, 1), (2200, 2200), (u32::MAX, 2500)] {
        let request = ListFlowsRequest { limit };
        let response = ObserveClient::new(node_a.channel()).list_flows(request).await;
        let mut stream = response.unwrap().into_inner();
        let mut flows = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            flows.extend(page.flows);
        }
        assert_eq!(flows.len(), expected, "limit {limit}");
        assert_eq!(flows[0].translated_destination, "10.0.0.2:8080");
        assert_eq!(flows[0].idle_milliseconds, 1500);
    }
}
