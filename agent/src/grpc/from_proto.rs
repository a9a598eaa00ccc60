//! Messages to resources, with the path of every field that is wrong.

use std::net::SocketAddr;

use proto::v1::{self, resource};

use super::{problems::Problems, rule, service};
use crate::{
    model::{
        AddressSet, Backend, BackendSet, Hints, Key, Kind, Node, Policy, Prefix, Protocol,
        Resource, Tier, Workload,
    },
    refusal::Refusal,
};

/// Translates a resource. `path` names the message where the resource cannot be named.
pub fn resource(path: &str, message: v1::Resource) -> Result<Resource, Vec<Refusal>> {
    match message.kind {
        None => {
            Err(vec![Refusal::general(path, "no kind of resource that this agent knows is set")])
        }
        Some(resource::Kind::Node(it)) => node(it).map(Resource::Node),
        Some(resource::Kind::Workload(it)) => workload(it).map(Resource::Workload),
        Some(resource::Kind::AddressSet(it)) => address_set(it).map(Resource::AddressSet),
        Some(resource::Kind::Policy(it)) => policy(it).map(Resource::Policy),
        Some(resource::Kind::BackendSet(it)) => backend_set(it).map(Resource::BackendSet),
        Some(resource::Kind::Service(it)) => service::from_proto(it).map(Resource::Service),
    }
}

fn node(message: v1::Node) -> Result<Node, Vec<Refusal>> {
    let mut problems = problems(Kind::Node, &message.name);
    problems.features(&message.required_features);
    let addresses = problems
        .list("addresses", message.addresses, |problems, path, text| problems.address(path, &text));
    let pod_prefixes = problems.list("pod_prefixes", message.pod_prefixes, prefix);
    problems.finish(Some(Node {
        name: message.name,
        addresses,
        zone: message.zone,
        region: message.region,
        labels: message.labels,
        pod_prefixes,
        weight: message.weight.unwrap_or(Node::WEIGHT),
    }))
}

fn workload(message: v1::Workload) -> Result<Workload, Vec<Refusal>> {
    let mut problems = problems(Kind::Workload, &message.name);
    problems.features(&message.required_features);
    let addresses = problems
        .list("addresses", message.addresses, |problems, path, text| problems.address(path, &text));
    problems.finish(Some(Workload {
        name: message.name,
        node: message.node,
        addresses,
        interface: message.interface,
    }))
}

fn address_set(message: v1::AddressSet) -> Result<AddressSet, Vec<Refusal>> {
    let mut problems = problems(Kind::AddressSet, &message.name);
    problems.features(&message.required_features);
    let prefixes = problems.list("prefixes", message.prefixes, prefix);
    let except = problems.list("except", message.except, prefix);
    problems.finish(Some(AddressSet { name: message.name, prefixes, except }))
}

#[expect(clippy::needless_pass_by_value, reason = "as Problems::list calls it")]
pub(super) fn prefix(problems: &mut Problems, path: String, text: String) -> Option<Prefix> {
    problems.take(path, text.parse())
}

fn policy(message: v1::Policy) -> Result<Policy, Vec<Refusal>> {
    let mut problems = problems(Kind::Policy, &message.name);
    problems.features(&message.required_features);
    let tier = problems.enumeration("tier", message.tier, |tier| match tier {
        v1::Tier::Unspecified => None,
        v1::Tier::Admin => Some(Tier::Admin),
        v1::Tier::Network => Some(Tier::Network),
        v1::Tier::Baseline => Some(Tier::Baseline),
    });
    let mut rules = |direction: &str, rules: v1::Rules| {
        problems.list(&format!("{direction}.rules"), rules.rules, rule::from_proto)
    };
    let ingress = message.ingress.map(|it| rules("ingress", it));
    let egress = message.egress.map(|it| rules("egress", it));
    problems.finish(tier.map(|tier| Policy {
        name: message.name,
        tier,
        priority: message.priority,
        subjects: message.subjects,
        ingress,
        egress,
    }))
}

fn backend_set(message: v1::BackendSet) -> Result<BackendSet, Vec<Refusal>> {
    let mut problems = problems(Kind::BackendSet, &message.name);
    problems.features(&message.required_features);
    let backends = problems.list("backends", message.backends, backend);
    problems.finish(Some(BackendSet { name: message.name, backends }))
}

#[expect(clippy::needless_pass_by_value, reason = "as Problems::list calls it")]
fn backend(problems: &mut Problems, path: String, message: v1::Backend) -> Option<Backend> {
    let address = problems.address(format!("{path}.address"), &message.address);
    let port = problems.port(format!("{path}.port"), message.port);
    let ready = message.ready.unwrap_or(true);
    Some(Backend {
        address: SocketAddr::new(address?, port?),
        node: message.node,
        zone: message.zone,
        ready,
        serving: message.serving.unwrap_or(ready),
        terminating: message.terminating,
        draining: message.draining,
        weight: message.weight.unwrap_or(1),
        hints: Hints { zones: message.hint_zones, nodes: message.hint_nodes },
    })
}

pub(super) fn protocol(problems: &mut Problems, path: String, number: i32) -> Option<Protocol> {
    problems.enumeration(path, number, |protocol| match protocol {
        v1::Protocol::Unspecified => None,
        v1::Protocol::Tcp => Some(Protocol::Tcp),
        v1::Protocol::Udp => Some(Protocol::Udp),
        v1::Protocol::Sctp => Some(Protocol::Sctp),
    })
}

pub(super) fn problems(kind: Kind, name: &str) -> Problems {
    Problems::new(Key { kind, name: name.to_owned() })
}
