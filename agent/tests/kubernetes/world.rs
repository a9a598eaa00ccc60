//! A small cluster, and resources written on one line each.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Deserialize as _;
use zonegate::{
    kubernetes::{Change, Object, Options, Outcome, Translator},
    model::{Action, Backend, Frontend, Hints, Key, PortMatch, Resource, Rule},
};

/// Reads YAML documents.
pub fn objects(yaml: &str) -> Vec<Object> {
    serde_norway::Deserializer::from_str(yaml)
        .flat_map(|document| Object::parse_many(serde_json::Value::deserialize(document).unwrap()))
        .collect::<Result<_, _>>()
        .unwrap()
}

pub fn upserts(yaml: &str) -> Vec<Change> {
    objects(yaml).into_iter().map(Change::Upsert).collect()
}

/// Removes the objects, of which only kind and name matter.
pub fn removes(yaml: &str) -> Vec<Change> {
    objects(yaml).iter().map(|object| Change::Remove(object.key().clone())).collect()
}

/// The translator of a [`CLUSTER`] without policies.
pub fn cluster() -> Translator {
    let mut translator = Translator::new(Options::default());
    let outcome = translator.apply(upserts(CLUSTER));
    assert_eq!(outcome.problems, []);
    translator
}

/// What a policy adds to the [`CLUSTER`].
pub fn translated(yaml: &str) -> Outcome {
    cluster().apply(upserts(yaml))
}

/// Upserts and removes, one line each.
pub fn lines(outcome: &Outcome) -> Vec<String> {
    let upserts = outcome.upserts.iter().flat_map(resource);
    let removes = outcome.removes.iter().map(|Key { kind, name }| format!("-{kind} {name}"));
    upserts.chain(removes).collect()
}

/// What is left after all outcomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<Key, Resource>);

impl Held {
    pub fn take(&mut self, outcome: Outcome) {
        for key in outcome.removes {
            assert!(self.0.remove(&key).is_some(), "{key} is removed and was not there");
        }
        for resource in outcome.upserts {
            let before = self.0.insert(resource.key(), resource.clone());
            assert_ne!(before, Some(resource), "a resource is given out again unchanged");
        }
        self.check_references();
    }

    fn check_references(&self) {
        let mut named = std::collections::BTreeSet::new();
        for resource in self.0.values() {
            let Resource::Policy(policy) = resource else { continue };
            named.extend(policy.subjects.iter());
            let rules = [&policy.ingress, &policy.egress].into_iter().flatten().flatten();
            named.extend(rules.filter_map(|rule| rule.peers.as_ref()).flatten());
        }
        let sets: std::collections::BTreeSet<_> = self
            .0
            .values()
            .filter_map(|resource| match resource {
                Resource::AddressSet(set) => Some(&set.name),
                _ => None,
            })
            .collect();
        assert_eq!(named, sets, "the sets that policies name are the sets there are");
    }
}

fn resource(resource: &Resource) -> Vec<String> {
    match resource {
        Resource::Node(it) => vec![format!(
            "node {} {:?} zone={} region={} pods={:?}",
            it.name, it.addresses, it.zone, it.region, it.pod_prefixes
        )],
        Resource::Workload(it) => {
            vec![format!("workload {} {} {:?}", it.name, it.node, it.addresses)]
        }
        Resource::AddressSet(it) => {
            let except = match it.except.as_slice() {
                [] => String::new(),
                except => format!(" except {except:?}"),
            };
            vec![format!("set {} {:?}{except}", it.name, it.prefixes)]
        }
        Resource::Policy(it) => {
            let head = format!("policy {} {:?} {} on", it.name, it.tier, it.priority);
            let mut lines = vec![format!("{head} {}", it.subjects.join(" "))];
            for (direction, rules) in [("ingress", &it.ingress), ("egress", &it.egress)] {
                let Some(rules) = rules else { continue };
                let rules = rules.iter().map(|it| format!(" {direction} {}", rule(it)));
                let nothing = || [format!(" {direction} nothing")];
                let rules: Vec<_> = rules.collect();
                lines.extend(if rules.is_empty() { nothing().to_vec() } else { rules });
            }
            lines
        }
        Resource::BackendSet(it) => {
            let backends: Vec<String> = it.backends.iter().map(backend).collect();
            vec![format!("backends {} [{}]", it.name, backends.join(", "))]
        }
        Resource::Service(it) => {
            let frontends: Vec<String> = it.frontends.iter().map(frontend).collect();
            let policies = format!("{:?}/{:?}", it.internal_policy, it.external_policy);
            let head = format!("service {} [{}]", it.name, frontends.join(", "));
            let check = it.health_check_port.map(|port| format!(" checked at {port}"));
            let check = check.unwrap_or_default();
            let affinity =
                it.affinity.map_or_else(String::new, |it| format!(" keeps {} s", it.timeout));
            vec![format!(
                "{head} {:?} {policies} {:?}{check}{affinity}",
                it.topology, it.source_ranges
            )]
        }
    }
}

/// `10.0.0.1:80@node/zone`, then `-` not ready, `!` not serving, `~` terminating, and hints.
fn backend(backend: &Backend) -> String {
    let mut text = format!("{}@{}/{}", backend.address, backend.node, backend.zone);
    for (flag, is_set) in
        [("-", !backend.ready), ("!", !backend.serving), ("~", backend.terminating)]
    {
        text += if is_set { flag } else { "" };
    }
    if backend.hints != Hints::default() {
        return format!("{text} for {:?} {:?}", backend.hints.zones, backend.hints.nodes);
    }
    text
}

fn frontend(frontend: &Frontend) -> String {
    let Frontend { kind, address, port, protocol } = frontend;
    format!("{kind:?} {protocol} {}", SocketAddr::new(*address, *port))
}

/// `name: Accept PEER|PEER TCP/80,UDP/1-9`, with `*` for anything and `-` for nothing.
fn rule(rule: &Rule) -> String {
    let list = |list: Option<Vec<String>>, separator: &str| match list {
        None => "*".to_owned(),
        Some(list) if list.is_empty() => "-".to_owned(),
        Some(list) => list.join(separator),
    };
    let port = |PortMatch { protocol, range }: &PortMatch| match (range.first(), range.last()) {
        (first, last) if first == last => format!("{protocol}/{first}"),
        (first, last) => format!("{protocol}/{first}-{last}"),
    };
    let ports = rule.ports.as_ref().map(|ports| ports.iter().map(port).collect());
    let action = match rule.action {
        Action::Accept => "Accept",
        Action::Deny => "Deny",
        Action::Pass => "Pass",
    };
    format!("{}: {action} {} {}", rule.name, list(rule.peers.clone(), "|"), list(ports, ","))
}

/// Two namespaces; `x` with a web server and a database, `y` with a dual-stack client.
pub const CLUSTER: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {os: linux}},
  status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2},
  status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {team: a}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: b}}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: web, labels: {app: web}},
  spec: {nodeName: n1, containers: [{name: c, ports: [
    {name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}]},
  status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: db, labels: {app: db}},
  spec: {nodeName: n2, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]},
  status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: y, name: client, labels: {app: client}},
  spec: {nodeName: n1, containers: [{name: c}]},
  status: {phase: Running, podIPs: [{ip: 10.0.1.1}, {ip: 'fd00::1'}]}}
";
