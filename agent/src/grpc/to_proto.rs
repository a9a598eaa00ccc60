//! Resources and answers to messages; what was left to defaults is spelled out.

use proto::v1::{self, apply_response, resource};

use super::{key, rule, service};
use crate::{
    model::{
        AddressSet, Backend, BackendSet, Node, Policy, Protocol, Resource, Rule, Tier, Workload,
    },
    refusal::Refusal,
    store::{Accepted, Answer, HeldResource},
};

pub(super) fn held(held: &HeldResource) -> v1::HeldResource {
    v1::HeldResource {
        resource: Some(resource(&held.resource)),
        owner: held.owner.clone(),
        revision: held.revision,
    }
}

/// The message of a resource, with nothing left to defaults.
pub fn resource(resource: &Resource) -> v1::Resource {
    let kind = match resource {
        Resource::Node(it) => resource::Kind::Node(node(it)),
        Resource::Workload(it) => resource::Kind::Workload(workload(it)),
        Resource::AddressSet(it) => resource::Kind::AddressSet(address_set(it)),
        Resource::Policy(it) => resource::Kind::Policy(policy(it)),
        Resource::BackendSet(it) => resource::Kind::BackendSet(backend_set(it)),
        Resource::Service(it) => resource::Kind::Service(service::to_proto(it)),
    };
    v1::Resource { kind: Some(kind) }
}

pub(super) fn ack(nonce: u64, accepted: &Accepted) -> v1::Ack {
    let microseconds = |time: std::time::Duration| time.as_micros() as u64;
    v1::Ack {
        nonce,
        revision: accepted.revision,
        compile_microseconds: microseconds(accepted.compile),
        commit_microseconds: microseconds(accepted.commit),
    }
}

pub(super) fn nack(nonce: u64, refusals: &[Refusal]) -> v1::Nack {
    v1::Nack { nonce, refusals: refusals.iter().map(key::refusal_to_proto).collect() }
}

/// An answer outside any stream.
pub(super) fn answer(answer: &Answer) -> v1::ApplyResponse {
    v1::ApplyResponse {
        answer: Some(match answer {
            Answer::Accepted(accepted) => apply_response::Answer::Ack(ack(0, accepted)),
            Answer::Refused(refusals) => apply_response::Answer::Nack(nack(0, refusals)),
        }),
    }
}

pub(super) fn protocol_to_proto(protocol: Protocol) -> v1::Protocol {
    match protocol {
        Protocol::Tcp => v1::Protocol::Tcp,
        Protocol::Udp => v1::Protocol::Udp,
        Protocol::Sctp => v1::Protocol::Sctp,
    }
}

fn node(node: &Node) -> v1::Node {
    v1::Node {
        name: node.name.clone(),
        addresses: texts(&node.addresses),
        zone: node.zone.clone(),
        region: node.region.clone(),
        labels: node.labels.clone(),
        pod_prefixes: texts(&node.pod_prefixes),
        weight: Some(node.weight),
        required_features: Vec::new(),
    }
}

fn workload(workload: &Workload) -> v1::Workload {
    v1::Workload {
        name: workload.name.clone(),
        node: workload.node.clone(),
        addresses: texts(&workload.addresses),
        interface: workload.interface.clone(),
        required_features: Vec::new(),
    }
}

fn address_set(set: &AddressSet) -> v1::AddressSet {
    v1::AddressSet {
        name: set.name.clone(),
        prefixes: texts(&set.prefixes),
        except: texts(&set.except),
        required_features: Vec::new(),
    }
}

fn policy(policy: &Policy) -> v1::Policy {
    let tier = match policy.tier {
        Tier::Admin => v1::Tier::Admin,
        Tier::Network => v1::Tier::Network,
        Tier::Baseline => v1::Tier::Baseline,
    };
    let rules = |rules: &Option<Vec<Rule>>| {
        rules.as_ref().map(|rules| v1::Rules { rules: rules.iter().map(rule::to_proto).collect() })
    };
    v1::Policy {
        name: policy.name.clone(),
        tier: tier.into(),
        priority: policy.priority,
        subjects: policy.subjects.clone(),
        ingress: rules(&policy.ingress),
        egress: rules(&policy.egress),
        required_features: Vec::new(),
    }
}

fn backend_set(set: &BackendSet) -> v1::BackendSet {
    v1::BackendSet {
        name: set.name.clone(),
        backends: set.backends.iter().map(backend).collect(),
        required_features: Vec::new(),
    }
}

fn backend(backend: &Backend) -> v1::Backend {
    v1::Backend {
        address: backend.address.ip().to_string(),
        port: backend.address.port().into(),
        node: backend.node.clone(),
        zone: backend.zone.clone(),
        ready: Some(backend.ready),
        serving: Some(backend.serving),
        terminating: backend.terminating,
        draining: backend.draining,
        weight: Some(backend.weight),
        hint_zones: backend.hints.zones.clone(),
        hint_nodes: backend.hints.nodes.clone(),
    }
}

pub(super) fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
