//! `AdminNetworkPolicy` and `BaselineAdminNetworkPolicy` (`policy.networking.k8s.io/v1alpha1`),
//! which became ClusterNetworkPolicy.

use serde::Deserialize;
use serde_json::Value;

use super::{
    ObjectKey, ObjectKind,
    cluster_rules::{Direction, MAX_PRIORITY, PeerForm, Reader, RuleForm, Subject, Traffic},
    draft::{Draft, DraftPort, DraftRule},
    named_ports::NamedPort,
    object::deserialize,
    pods::protocol,
    problem::Findings,
};
use crate::model::{Action, PortMatch, Tier};

#[derive(Debug, Deserialize)]
struct Document {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    /// Of `AdminNetworkPolicy`.
    priority: Option<i64>,
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
    ports: Option<Vec<PortForm>>,
}

/// An item of `ports`; exactly one field is set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortForm {
    port_number: Option<NumberForm>,
    named_port: Option<String>,
    port_range: Option<RangeForm>,
}

#[derive(Debug, Deserialize)]
struct NumberForm {
    protocol: Option<String>,
    port: i64,
}

#[derive(Debug, Deserialize)]
struct RangeForm {
    protocol: Option<String>,
    start: i64,
    end: i64,
}

/// Translates a policy of either kind. The one of the baseline has no priority and comes after
/// all that have.
pub(super) fn draft(key: &ObjectKey, document: &Value, findings: &mut Findings) -> Option<Draft> {
    let Document { spec } = match deserialize(document) {
        Ok(document) => document,
        Err((field, reason)) => return findings.refuse(field, reason),
    };
    let mut reader = Reader { findings };
    let (tier, priority) = match (key.kind, spec.priority) {
        (ObjectKind::BaselineAdminNetworkPolicy, _) => (Tier::Baseline, Some(MAX_PRIORITY)),
        (_, Some(priority)) => (Tier::Admin, reader.priority(priority)),
        (_, None) => (Tier::Admin, reader.findings.refuse("spec.priority", "is missing")),
    };
    let subject = reader.subject(&spec.subject);
    let ingress = rules(&mut reader, key.kind, Direction::Ingress, spec.ingress.as_deref());
    let egress = rules(&mut reader, key.kind, Direction::Egress, spec.egress.as_deref());
    Some(Draft {
        name: key.policy_name(),
        tier,
        priority: priority?,
        subject: subject?,
        ingress,
        egress,
    })
}

fn rules(
    reader: &mut Reader<'_>,
    kind: ObjectKind,
    direction: Direction,
    rules: Option<&[Rule]>,
) -> Option<Vec<DraftRule>> {
    let rules = rules.filter(|rules| !rules.is_empty())?;
    let mut drafts = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.{}[{index}]", direction.field());
        let action = match (rule.action.as_str(), kind) {
            ("Allow", _) => Some(Action::Accept),
            ("Deny", _) => Some(Action::Deny),
            ("Pass", ObjectKind::AdminNetworkPolicy) => Some(Action::Pass),
            (other, _) => {
                let known = match kind {
                    ObjectKind::AdminNetworkPolicy => "none of Allow, Deny and Pass",
                    _ => "neither Allow nor Deny",
                };
                let reason = format!("{other:?} is {known}");
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
            traffic: traffic(reader, rule.ports.as_deref(), &path),
        };
        drafts.extend(reader.rule(direction, index, form));
    }
    Some(drafts)
}

fn traffic(reader: &mut Reader<'_>, forms: Option<&[PortForm]>, rule: &str) -> Traffic {
    let Some(forms) = forms.filter(|forms| !forms.is_empty()) else { return Traffic::Any };
    let mut ports = Vec::new();
    let mut understood = true;
    for (index, form) in forms.iter().enumerate() {
        let path = format!("{rule}.ports[{index}]");
        match (&form.port_number, &form.named_port, &form.port_range) {
            (Some(NumberForm { protocol, port }), None, None) => {
                let path = format!("{path}.portNumber");
                ports.extend(number(reader, protocol.as_deref(), (*port, *port), &path));
            }
            (None, Some(name), None) => {
                let named = NamedPort { name: name.clone(), protocol: None };
                ports.push(DraftPort::Named(named));
            }
            (None, None, Some(RangeForm { protocol, start, end })) => {
                let path = format!("{path}.portRange");
                ports.extend(number(reader, protocol.as_deref(), (*start, *end), &path));
            }
            _ => {
                let reason = "is not one port of a kind that is known here";
                reader.findings.fail_closed(path, reason);
                understood = false;
            }
        }
    }
    if understood { Traffic::Ports(ports) } else { Traffic::NotUnderstood }
}

fn number(
    reader: &mut Reader<'_>,
    protocol_text: Option<&str>,
    (first, last): (i64, i64),
    path: &str,
) -> Option<DraftPort> {
    let range = reader.range(first, last, path);
    let protocol = match protocol(protocol_text) {
        Ok(protocol) => protocol,
        Err(reason) => return reader.findings.refuse(format!("{path}.protocol"), reason),
    };
    range.map(|range| DraftPort::Number(PortMatch { protocol, range }))
}
