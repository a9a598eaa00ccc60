//! What ClusterNetworkPolicy shares with the older `AdminNetworkPolicy`: subjects, peers, and how
//! a rule that is not understood fails closed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ObjectKey, ObjectKind, address,
    address::Block,
    draft::{Draft, DraftPort, DraftRule, Peer, PodQuery, Scope},
    names::bounded,
    object::deserialize,
    problem::Findings,
    selector::Selector,
};
use crate::model::{Action, PortRange, PortRangeError, Tier};

/// `spec.subject`; exactly one field is set.
#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPods>,
}

/// A missing selector is an empty one here, and selects everything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamespacedPods {
    namespace_selector: Option<LabelSelector>,
    /// Of peers, in its place up to version 0.1.1 of the API.
    namespaces: Option<Namespaces>,
    pod_selector: Option<LabelSelector>,
}

/// The namespaces of a peer: a selector, or, up to version 0.1.1 of the API, something that has one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Namespaces {
    namespace_selector: Option<LabelSelector>,
    #[serde(flatten)]
    selector: LabelSelector,
    /// What is not known here, such as `sameLabels`.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// An item of `from` or `to`; exactly one field is set. Only pods can be the source of ingress.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PeerForm {
    namespaces: Option<Namespaces>,
    pods: Option<NamespacedPods>,
    nodes: Option<LabelSelector>,
    networks: Option<Vec<String>>,
    domain_names: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// A rule but for its peers, as its own API has it.
#[derive(Debug)]
pub(super) struct RuleForm<'a> {
    pub name: Option<&'a str>,
    /// `None` if it was refused.
    pub action: Option<Action>,
    pub peers: Option<&'a [PeerForm]>,
    pub traffic: Traffic,
}

#[derive(Debug)]
pub(super) enum Traffic {
    Any,
    Ports(Vec<DraftPort>),
    /// Some of it is of a kind that is not known, which has been noted.
    NotUnderstood,
}

/// Of a policy that cannot be used: denies everything to the pods it selects, in the directions
/// that it has rules for. `None` if its subject cannot be read.
pub(super) fn isolation(key: &ObjectKey, document: &Value) -> Option<Draft> {
    let spec = document.get("spec")?.as_object()?;
    let mut ignored = Findings::default();
    let subject: Subject = deserialize(spec.get("subject")?).ok()?;
    let subject = Reader { findings: &mut ignored }.subject(&subject)?;
    let baseline = key.kind == ObjectKind::BaselineAdminNetworkPolicy
        || spec.get("tier").and_then(Value::as_str) == Some("Baseline");
    let priority = spec.get("priority").and_then(Value::as_i64);
    let denial = |rules: Option<&Value>| match rules {
        None | Some(Value::Null) => None,
        Some(Value::Array(rules)) if rules.is_empty() => None,
        Some(_) => Some(vec![DraftRule::deny_all("unusable".to_owned())]),
    };
    let (ingress, egress) = (denial(spec.get("ingress")), denial(spec.get("egress")));
    (ingress.is_some() || egress.is_some()).then(|| Draft {
        name: key.policy_name(),
        tier: if baseline { Tier::Baseline } else { Tier::Admin },
        priority: priority.and_then(valid_priority).unwrap_or_default(),
        subject,
        ingress,
        egress,
    })
}

/// Reads the parts of one policy and notes what is wrong with them.
pub(super) struct Reader<'a> {
    pub findings: &'a mut Findings,
}

impl Reader<'_> {
    pub(super) fn subject(&mut self, subject: &Subject) -> Option<PodQuery> {
        let path = "spec.subject";
        match (&subject.namespaces, &subject.pods) {
            (Some(namespaces), None) => self.namespaces(namespaces, path),
            (None, Some(pods)) => self.pods(pods.namespace_selector.as_ref(), pods, path),
            _ => self.findings.refuse(path, "has to set one of namespaces and pods"),
        }
    }

    pub(super) fn priority(&mut self, priority: i64) -> Option<u32> {
        valid_priority(priority).or_else(|| {
            let reason = format!("{priority} is outside 0-{MAX_PRIORITY}");
            self.findings.refuse("spec.priority", reason)
        })
    }

    /// `None`, noted, if the action is not known or some part cannot be used.
    pub(super) fn rule(
        &mut self,
        direction: Direction,
        index: usize,
        rule: RuleForm<'_>,
    ) -> Option<DraftRule> {
        let place = format!("{}[{index}]", direction.field());
        let peers = self.peers(direction, rule.peers, &format!("spec.{place}"));
        let name = rule.name.filter(|name| !name.is_empty());
        let name = name.map_or(place, |name| bounded(name.to_owned()));
        let action = rule.action?;
        let ports = match rule.traffic {
            Traffic::Any => Some(None),
            Traffic::Ports(ports) => Some(Some(ports)),
            Traffic::NotUnderstood => None,
        };
        Some(match (peers, ports) {
            (Some(peers), Some(ports)) => DraftRule { name, action, peers: Some(peers), ports },
            _ => DraftRule::failing_closed(name, action),
        })
    }

    /// An inclusive range of ports, which has been read from `path`.
    pub(super) fn range(&mut self, first: i64, last: i64, path: &str) -> Option<PortRange> {
        let unsigned = |number: i64| u32::try_from(number).unwrap_or_default();
        let range: Result<_, PortRangeError> = PortRange::new(unsigned(first), unsigned(last));
        range.map_or_else(|error| self.findings.refuse(path, error), Some)
    }

    /// `None` where some peer is not understood.
    fn peers(
        &mut self,
        direction: Direction,
        peers: Option<&[PeerForm]>,
        rule: &str,
    ) -> Option<Vec<Peer>> {
        let path = format!("{rule}.{}", direction.peers_field());
        let Some(peers) = peers.filter(|peers| !peers.is_empty()) else {
            self.findings.fail_closed(path, "names no peer");
            return None;
        };
        let mut all = Some(Vec::new());
        for (index, peer) in peers.iter().enumerate() {
            match (self.peer(direction, peer, &format!("{path}[{index}]")), &mut all) {
                (Some(peers), Some(all)) => all.extend(peers),
                _ => all = None,
            }
        }
        all
    }

    /// `None` where the peer is not understood; a peer that cannot be used is noted and empty.
    fn peer(&mut self, direction: Direction, peer: &PeerForm, path: &str) -> Option<Vec<Peer>> {
        let networks = peer.networks.as_deref().filter(|networks| !networks.is_empty());
        let PeerForm { namespaces, pods, nodes, domain_names, .. } = peer;
        let egress = direction == Direction::Egress;
        let known = match (namespaces, pods, nodes, networks, domain_names) {
            (Some(namespaces), None, None, None, None) => {
                let namespaces = self.peer_namespaces(namespaces, path)?;
                self.namespaces(namespaces, path).map(Peer::Pods).into_iter().collect()
            }
            (None, Some(pods), None, None, None) => {
                let namespaces = match &pods.namespaces {
                    Some(older) => Some(self.peer_namespaces(older, &format!("{path}.pods"))?),
                    None => pods.namespace_selector.as_ref(),
                };
                self.pods(namespaces, pods, path).map(Peer::Pods).into_iter().collect()
            }
            (None, None, Some(nodes), None, None) if egress => {
                let nodes = self.selector(nodes, &format!("{path}.nodes"));
                nodes.map(Peer::Nodes).into_iter().collect()
            }
            (None, None, None, Some(networks), None) if egress => {
                self.networks(networks, &format!("{path}.networks"))
            }
            (None, None, None, None, Some(_)) if egress => {
                self.findings.fail_closed(format!("{path}.domainNames"), "not implemented");
                return None;
            }
            _ => {
                let reason = "is not one peer of a kind that is known here";
                self.findings.fail_closed(path, reason);
                return None;
            }
        };
        Some(known)
    }

    fn networks(&mut self, networks: &[String], path: &str) -> Vec<Peer> {
        let mut peers = Vec::new();
        for (index, text) in networks.iter().enumerate() {
            match address::prefix(text) {
                Ok(prefix) => peers.push(Peer::Block(Block { prefix, except: [].into() })),
                Err(error) => drop(self.findings.refuse::<()>(format!("{path}[{index}]"), error)),
            }
        }
        peers
    }

    /// `None`, noted, where there is more to it than a selector.
    fn peer_namespaces<'n>(
        &mut self,
        namespaces: &'n Namespaces,
        path: &str,
    ) -> Option<&'n LabelSelector> {
        let path = format!("{path}.namespaces");
        if let Some(field) = namespaces.other.keys().next() {
            self.findings.fail_closed(format!("{path}.{field}"), "is not known here");
            return None;
        }
        let Namespaces { namespace_selector, selector, .. } = namespaces;
        match namespace_selector {
            None => Some(selector),
            Some(inner) if *selector == LabelSelector::default() => Some(inner),
            Some(_) => {
                self.findings.fail_closed(path, "has two selectors");
                None
            }
        }
    }

    fn namespaces(&mut self, namespaces: &LabelSelector, path: &str) -> Option<PodQuery> {
        let namespaces = self.selector(namespaces, &format!("{path}.namespaces"))?;
        Some(PodQuery::new(Scope::Selected(namespaces), Selector::default()))
    }

    fn pods(
        &mut self,
        namespaces: Option<&LabelSelector>,
        pods: &NamespacedPods,
        path: &str,
    ) -> Option<PodQuery> {
        let mut selector = |selector: Option<&LabelSelector>, field: &str| match selector {
            None => Some(Selector::default()),
            Some(selector) => self.selector(selector, &format!("{path}.pods.{field}")),
        };
        let namespaces = selector(namespaces, "namespaceSelector");
        let pods = selector(pods.pod_selector.as_ref(), "podSelector");
        Some(PodQuery::new(Scope::Selected(namespaces?), pods?))
    }

    fn selector(&mut self, selector: &LabelSelector, path: &str) -> Option<Selector> {
        Selector::new(selector).map_or_else(
            |error| self.findings.refuse(format!("{path}.{}", error.field), error.reason),
            Some,
        )
    }
}

impl Direction {
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn peers_field(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

fn valid_priority(priority: i64) -> Option<u32> {
    u32::try_from(priority).ok().filter(|priority| *priority <= MAX_PRIORITY)
}

pub(super) const MAX_PRIORITY: u32 = 1000;
