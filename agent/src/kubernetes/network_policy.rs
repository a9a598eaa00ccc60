//! NetworkPolicy (`networking.k8s.io/v1`).

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::Value;

use super::{
    ObjectKey,
    address::{self, Block},
    draft::{Draft, DraftPort, DraftRule, Peer, PodQuery, Scope},
    named_ports::NamedPort,
    object::deserialize,
    pods::protocol,
    problem::Findings,
    selector::Selector,
};
use crate::model::{Action, PortMatch, PortRange, Tier};

/// Translates a policy; what the API's validation would refuse makes it unusable.
pub(super) fn draft(key: &ObjectKey, document: &Value, findings: &mut Findings) -> Option<Draft> {
    let policy: NetworkPolicy = match deserialize(document) {
        Ok(policy) => policy,
        Err((field, reason)) => return findings.refuse(field, reason),
    };
    let spec = policy.spec.unwrap_or_default();
    let mut reader = Reader { namespace: &key.namespace, findings };
    let pods = spec.pod_selector.as_ref();
    let pods = pods.map_or(Some(Selector::default()), |it| reader.selector(it, "spec.podSelector"));
    let types = reader.directions(&spec)?;
    let ingress = types.ingress.then(|| {
        let rules = spec.ingress.unwrap_or_default();
        let rules = rules.into_iter().map(|rule| (rule.from, rule.ports));
        reader.rules("ingress", "from", rules)
    });
    let egress = types.egress.then(|| {
        let rules = spec.egress.unwrap_or_default();
        let rules = rules.into_iter().map(|rule| (rule.to, rule.ports));
        reader.rules("egress", "to", rules)
    });
    Some(of_network_tier(key, pods?, ingress, egress))
}

/// Of a policy that cannot be used: selects the same pods and allows nothing in the directions
/// that it would list. `None` if its selector cannot be read.
pub(super) fn isolation(key: &ObjectKey, document: &Value) -> Option<Draft> {
    let spec = match document.get("spec") {
        None | Some(Value::Null) => return None,
        Some(spec) => spec.as_object()?,
    };
    let pods = match spec.get("podSelector") {
        None | Some(Value::Null) => Selector::default(),
        Some(selector) => Selector::new(&deserialize(selector).ok()?).ok()?,
    };
    let Types { ingress, egress } = match spec.get("policyTypes") {
        None | Some(Value::Null) => Types::of_rules(unreadable_or_filled(spec.get("egress"))),
        Some(types) => {
            let types: Option<Vec<String>> = deserialize(types).ok();
            let has_egress = unreadable_or_filled(spec.get("egress"));
            types.and_then(|types| Types::new(&types, has_egress).ok()).unwrap_or(Types::BOTH)
        }
    };
    let nothing = |listed: bool| listed.then(Vec::new);
    Some(of_network_tier(key, pods, nothing(ingress), nothing(egress)))
}

fn of_network_tier(
    key: &ObjectKey,
    pods: Selector,
    ingress: Option<Vec<DraftRule>>,
    egress: Option<Vec<DraftRule>>,
) -> Draft {
    let subject = PodQuery::new(Scope::One(key.namespace.clone()), pods);
    Draft { name: key.policy_name(), tier: Tier::Network, priority: 0, subject, ingress, egress }
}

/// The directions that a policy speaks of.
#[derive(Debug, Clone, Copy)]
struct Types {
    ingress: bool,
    egress: bool,
}

impl Types {
    const BOTH: Self = Self { ingress: true, egress: true };

    /// Without `policyTypes`.
    fn of_rules(has_egress: bool) -> Self {
        Self { ingress: true, egress: has_egress }
    }

    /// An unknown type is returned with its index.
    fn new(types: &[String], has_egress: bool) -> Result<Self, (usize, &String)> {
        if types.is_empty() {
            return Ok(Self::of_rules(has_egress));
        }
        let mut listed = Self { ingress: false, egress: false };
        for (index, name) in types.iter().enumerate() {
            match name.as_str() {
                "Ingress" => listed.ingress = true,
                "Egress" => listed.egress = true,
                _ => return Err((index, name)),
            }
        }
        Ok(listed)
    }
}

fn unreadable_or_filled(rules: Option<&Value>) -> bool {
    match rules {
        None | Some(Value::Null) => false,
        Some(Value::Array(rules)) => !rules.is_empty(),
        Some(_) => true,
    }
}

/// Reads the parts of one policy and notes what is wrong with them.
struct Reader<'a> {
    namespace: &'a str,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn directions(&mut self, spec: &NetworkPolicySpec) -> Option<Types> {
        let has_egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let types = spec.policy_types.as_deref().unwrap_or_default();
        Types::new(types, has_egress).map_or_else(
            |(index, name)| {
                let reason = format!("{name:?} is neither Ingress nor Egress");
                self.findings.refuse(format!("spec.policyTypes[{index}]"), reason)
            },
            Some,
        )
    }

    fn rules(
        &mut self,
        direction: &str,
        peers_field: &str,
        rules: impl Iterator<Item = (Option<Vec<NetworkPolicyPeer>>, Option<Vec<NetworkPolicyPort>>)>,
    ) -> Vec<DraftRule> {
        let mut drafts = Vec::new();
        for (index, (peers, ports)) in rules.enumerate() {
            let name = format!("{direction}[{index}]");
            let path = format!("spec.{name}");
            let peers = any_if_empty(peers, |index, peer| {
                self.peer(&peer, &format!("{path}.{peers_field}[{index}]"))
            });
            let ports = any_if_empty(ports, |index, port| {
                self.port(&port, &format!("{path}.ports[{index}]"))
            });
            drafts.push(DraftRule { name, action: Action::Accept, peers, ports });
        }
        drafts
    }

    fn peer(&mut self, peer: &NetworkPolicyPeer, path: &str) -> Option<Peer> {
        match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
            (Some(block), None, None) => {
                self.block(block, &format!("{path}.ipBlock")).map(Peer::Block)
            }
            (Some(_), _, _) => self.findings.refuse(path, "ipBlock goes with no selector"),
            (None, None, None) => {
                let reason = "has neither ipBlock nor namespaceSelector nor podSelector";
                self.findings.refuse(path, reason)
            }
            (None, namespaces, pods) => {
                let scope = match namespaces {
                    None => Some(Scope::One(self.namespace.to_owned())),
                    Some(selector) => self
                        .selector(selector, &format!("{path}.namespaceSelector"))
                        .map(Scope::Selected),
                };
                let pods = pods.as_ref().map_or(Some(Selector::default()), |selector| {
                    self.selector(selector, &format!("{path}.podSelector"))
                });
                Some(Peer::Pods(PodQuery::new(scope?, pods?)))
            }
        }
    }

    fn block(&mut self, block: &IPBlock, path: &str) -> Option<Block> {
        let prefix = match address::prefix(&block.cidr) {
            Ok(prefix) => prefix,
            Err(error) => return self.findings.refuse(format!("{path}.cidr"), error),
        };
        let mut read = Block { prefix, except: [].into() };
        for (index, text) in block.except.iter().flatten().enumerate() {
            let path = format!("{path}.except[{index}]");
            match address::prefix(text) {
                Ok(except) if prefix.net().contains(&except.net()) => {
                    read.except.insert(except);
                }
                Ok(except) if except.net().contains(&prefix.net()) => {
                    self.findings.ignore(path, format!("{except} leaves nothing of {prefix}"));
                    read.except.insert(prefix);
                }
                Ok(except) => {
                    self.findings.ignore(path, format!("{except} is outside {prefix}"));
                }
                Err(error) => drop(self.findings.refuse::<()>(path, error)),
            }
        }
        Some(read)
    }

    fn port(&mut self, port: &NetworkPolicyPort, path: &str) -> Option<DraftPort> {
        let protocol = match protocol(port.protocol.as_deref()) {
            Ok(protocol) => protocol,
            Err(reason) => return self.findings.refuse(format!("{path}.protocol"), reason),
        };
        let number = |range: PortRange| DraftPort::Number(PortMatch { protocol, range });
        match (&port.port, port.end_port) {
            (None, None) => Some(number(PortRange::ALL)),
            (Some(IntOrString::Int(first)), last) => {
                // A negative number is as far out of range as any.
                let unsigned = |number: i32| u32::try_from(number).unwrap_or_default();
                match PortRange::new(unsigned(*first), unsigned(last.unwrap_or(*first))) {
                    Ok(range) => Some(number(range)),
                    Err(error) => self.findings.refuse(format!("{path}.port"), error),
                }
            }
            (Some(IntOrString::String(_)) | None, Some(_)) => {
                self.findings.refuse(format!("{path}.endPort"), "goes with a port number only")
            }
            (Some(IntOrString::String(name)), None) => {
                if name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
                    let name = name.clone();
                    return Some(DraftPort::Named(NamedPort { name, protocol: Some(protocol) }));
                }
                let reason = format!("{name:?} is no name of a port; a number has no quotes");
                self.findings.refuse(format!("{path}.port"), reason)
            }
        }
    }

    fn selector(&mut self, selector: &LabelSelector, path: &str) -> Option<Selector> {
        Selector::new(selector).map_or_else(
            |error| self.findings.refuse(format!("{path}.{}", error.field), error.reason),
            Some,
        )
    }
}

/// Missing and empty lists match anything.
fn any_if_empty<T, U>(
    list: Option<Vec<T>>,
    mut read: impl FnMut(usize, T) -> Option<U>,
) -> Option<Vec<U>> {
    let list = list.filter(|list| !list.is_empty())?;
    let read = list.into_iter().enumerate().filter_map(|(index, item)| read(index, item));
    Some(read.collect())
}
