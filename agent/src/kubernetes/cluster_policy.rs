//! ClusterNetworkPolicy (`policy.networking.k8s.io/v1alpha2`).

use serde::Deserialize;
use serde_json::Value;

use super::{
    ObjectKey,
    cluster_rules::{Direction, PeerForm, Reader, RuleForm, Subject, Traffic},
    draft::{Draft, DraftPort, DraftRule},
    named_ports::NamedPort,
    object::deserialize,
    problem::Findings,
};
use crate::model::{Action, PortMatch, Protocol, Tier};

#[derive(Debug, Deserialize)]
struct Document {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    tier: String,
    priority: i64,
    subject: Subject,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    name: Option<String>,
    action: String,
    /// Of ingress rules.
    from: Option<Vec<PeerForm>>,
    /// Of egress rules.
    to: Option<Vec<PeerForm>>,
    protocols: Option<Vec<ProtocolForm>>,
}

/// An item of `protocols`; exactly one field is set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProtocolForm {
    tcp: Option<TransportForm>,
    udp: Option<TransportForm>,
    sctp: Option<TransportForm>,
    destination_named_port: Option<String>,
}

/// At least one field is set: without, there may be one that is not known here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransportForm {
    destination_port: Option<PortForm>,
}

/// Exactly one field is set.
#[derive(Debug, Deserialize)]
struct PortForm {
    number: Option<i64>,
    range: Option<RangeForm>,
}

#[derive(Debug, Deserialize)]
struct RangeForm {
    start: i64,
    end: i64,
}

/// Translates a policy; what the API's validation would refuse makes it unusable, what a newer
/// API may mean fails closed rule by rule.
pub(super) fn draft(key: &ObjectKey, document: &Value, findings: &mut Findings) -> Option<Draft> {
    let Document { spec } = match deserialize(document) {
        Ok(document) => document,
        Err((field, reason)) => return findings.refuse(field, reason),
    };
    let tier = match spec.tier.as_str() {
        "Admin" => Some(Tier::Admin),
        "Baseline" => Some(Tier::Baseline),
        other => findings.refuse("spec.tier", format!("{other:?} is neither Admin nor Baseline")),
    };
    let mut reader = Reader { findings };
    let priority = reader.priority(spec.priority);
    let subject = reader.subject(&spec.subject);
    let ingress = rules(&mut reader, Direction::Ingress, spec.ingress.as_deref());
    let egress = rules(&mut reader, Direction::Egress, spec.egress.as_deref());
    Some(Draft {
        name: key.policy_name(),
        tier: tier?,
        priority: priority?,
        subject: subject?,
        ingress,
        egress,
    })
}

fn rules(
    reader: &mut Reader<'_>,
    direction: Direction,
    rules: Option<&[Rule]>,
) -> Option<Vec<DraftRule>> {
    let rules = rules.filter(|rules| !rules.is_empty())?;
    let mut drafts = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.{}[{index}]", direction.field());
        let action = match rule.action.as_str() {
            "Accept" => Some(Action::Accept),
            "Deny" => Some(Action::Deny),
            "Pass" => Some(Action::Pass),
            other => {
                let reason = format!("{other:?} is none of Accept, Deny and Pass");
                reader.findings.refuse(format!("{path}.action"), reason)
            }
        };
        let peers = match direction {
            Direction::Ingress => &rule.from,
            Direction::Egress => &rule.to,
        };
        let form = RuleForm {
            name: rule.name.as_deref(),
            action,
            peers: peers.as_deref(),
            traffic: traffic(reader, rule.protocols.as_deref(), &path),
        };
        drafts.extend(reader.rule(direction, index, form));
    }
    Some(drafts)
}

fn traffic(reader: &mut Reader<'_>, protocols: Option<&[ProtocolForm]>, rule: &str) -> Traffic {
    let Some(protocols) = protocols.filter(|protocols| !protocols.is_empty()) else {
        return Traffic::Any;
    };
    let mut ports = Some(Vec::new());
    for (index, form) in protocols.iter().enumerate() {
        let path = format!("{rule}.protocols[{index}]");
        match (protocol(reader, form, &path), &mut ports) {
            (Understood::Yes(port), Some(ports)) => ports.extend(port),
            (Understood::Yes(_), None) => {}
            (Understood::No, _) => {
                let reason = "is not one protocol and port of a kind that is known here";
                reader.findings.fail_closed(path, reason);
                ports = None;
            }
        }
    }
    ports.map_or(Traffic::NotUnderstood, Traffic::Ports)
}

/// Whether a match is of a known kind; a value that cannot be used is noted and `None`.
enum Understood {
    Yes(Option<DraftPort>),
    No,
}

fn protocol(reader: &mut Reader<'_>, form: &ProtocolForm, path: &str) -> Understood {
    let named = form.destination_named_port.as_deref().filter(|name| !name.is_empty());
    let (protocol, field, transport) = match (&form.tcp, &form.udp, &form.sctp, named) {
        (Some(tcp), None, None, None) => (Protocol::Tcp, "tcp", tcp),
        (None, Some(udp), None, None) => (Protocol::Udp, "udp", udp),
        (None, None, Some(sctp), None) => (Protocol::Sctp, "sctp", sctp),
        (None, None, None, Some(name)) => {
            let named = NamedPort { name: name.to_owned(), protocol: None };
            return Understood::Yes(Some(DraftPort::Named(named)));
        }
        _ => return Understood::No,
    };
    let path = format!("{path}.{field}.destinationPort");
    let range = match &transport.destination_port {
        Some(PortForm { number: Some(number), range: None }) => {
            reader.range(*number, *number, &format!("{path}.number"))
        }
        Some(PortForm { number: None, range: Some(range) }) => {
            reader.range(range.start, range.end, &format!("{path}.range"))
        }
        _ => return Understood::No,
    };
    Understood::Yes(range.map(|range| DraftPort::Number(PortMatch { protocol, range })))
}
