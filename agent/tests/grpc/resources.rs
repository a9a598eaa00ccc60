//! Resources by the names tests know them by.

use proto::v1::{self, Resource, ResourceKey, resource, resource_key};

pub const VIP_SHOP: &str = "10.96.0.1";
pub const BACKEND_SHOP: &str = "10.0.1.1";

pub fn node(name: &str) -> Resource {
    resource(resource::Kind::Node(v1::Node {
        name: name.into(),
        addresses: vec!["192.0.2.1".into(), "2001:db8::1".into()],
        zone: "zone-1".into(),
        pod_prefixes: vec!["10.0.1.0/24".into(), "fd00:1::/64".into()],
        weight: Some(1000),
        ..Default::default()
    }))
}

pub fn workload(name: &str, address: &str) -> Resource {
    resource(resource::Kind::Workload(v1::Workload {
        name: name.into(),
        node: crate::node::NODE.into(),
        addresses: vec![address.into()],
        interface: "veth0".into(),
        ..Default::default()
    }))
}

pub fn address_set(name: &str, prefixes: &[&str]) -> Resource {
    resource(resource::Kind::AddressSet(v1::AddressSet {
        name: name.into(),
        prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
        ..Default::default()
    }))
}

/// Allows the set `peer` to reach the set `subject` on TCP ports.
pub fn policy(name: &str, subject: &str, peer: &str, first: u32, last: u32) -> Resource {
    let ports = v1::PortMatch { protocol: v1::Protocol::Tcp.into(), first, last: Some(last) };
    policy_of(name, subject, rule(peer, vec![ports]))
}

pub fn policy_of(name: &str, subject: &str, rule: v1::Rule) -> Resource {
    resource(resource::Kind::Policy(v1::Policy {
        name: name.into(),
        tier: v1::Tier::Network.into(),
        subjects: vec![subject.into()],
        ingress: Some(v1::Rules { rules: vec![rule] }),
        ..Default::default()
    }))
}

pub fn rule(peer: &str, matches: Vec<v1::PortMatch>) -> v1::Rule {
    v1::Rule {
        action: v1::Action::Accept.into(),
        peers: Some(v1::rule::Peers::PeerSets(v1::AddressSetNames { names: vec![peer.into()] })),
        traffic: Some(v1::rule::Traffic::PortMatches(v1::PortMatches { matches })),
        name: "from-peer".into(),
    }
}

pub fn backend_set(name: &str, backends: &[(&str, u32)]) -> Resource {
    let backend = |(address, port): &(&str, u32)| v1::Backend {
        address: (*address).into(),
        port: *port,
        ..Default::default()
    };
    resource(resource::Kind::BackendSet(v1::BackendSet {
        name: name.into(),
        backends: backends.iter().map(backend).collect(),
        ..Default::default()
    }))
}

pub fn service(name: &str, frontends: &[(&str, u32)], backend_set: &str) -> Resource {
    let frontend = |(address, port): &(&str, u32)| v1::Frontend {
        address: (*address).into(),
        port: *port,
        protocol: v1::Protocol::Tcp.into(),
        ..Default::default()
    };
    resource(resource::Kind::Service(v1::Service {
        name: name.into(),
        frontends: frontends.iter().map(frontend).collect(),
        backend_set: backend_set.into(),
        ..Default::default()
    }))
}

/// A service with one backend.
pub fn shop() -> Vec<Resource> {
    vec![
        backend_set("shop", &[(BACKEND_SHOP, 8080)]),
        service("shop:80", &[(VIP_SHOP, 80)], "shop"),
    ]
}

pub fn resource(kind: resource::Kind) -> Resource {
    Resource { kind: Some(kind) }
}

pub fn key(kind: resource_key::Kind, name: &str) -> ResourceKey {
    ResourceKey { kind: kind.into(), name: name.into() }
}

pub fn name(resource: &Resource) -> String {
    match resource.kind.as_ref().unwrap() {
        resource::Kind::Node(it) => it.name.clone(),
        resource::Kind::Workload(it) => it.name.clone(),
        resource::Kind::AddressSet(it) => it.name.clone(),
        resource::Kind::Policy(it) => it.name.clone(),
        resource::Kind::BackendSet(it) => it.name.clone(),
        resource::Kind::Service(it) => it.name.clone(),
    }
}
