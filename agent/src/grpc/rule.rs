//! Policy rules, both ways.

use proto::v1::{self, rule};

use super::{from_proto::protocol, problems::Problems, to_proto::protocol_to_proto};
use crate::model::{Action, PortMatch, PortRange, Rule};

#[expect(clippy::needless_pass_by_value, reason = "as Problems::list calls it")]
pub(super) fn from_proto(problems: &mut Problems, path: String, message: v1::Rule) -> Option<Rule> {
    let action =
        problems.enumeration(format!("{path}.action"), message.action, |action| match action {
            v1::Action::Unspecified => None,
            v1::Action::Accept => Some(Action::Accept),
            v1::Action::Deny => Some(Action::Deny),
            v1::Action::Pass => Some(Action::Pass),
        });
    let peers = match message.peers {
        Some(rule::Peers::AnyPeer(_)) => Some(None),
        Some(rule::Peers::PeerSets(sets)) => Some(Some(sets.names)),
        None => unset(problems, format!("{path}.peers"), "any_peer", "peer_sets"),
    };
    let ports = match message.traffic {
        Some(rule::Traffic::AnyTraffic(_)) => Some(None),
        Some(rule::Traffic::PortMatches(ports)) => {
            let path = format!("{path}.port_matches.matches");
            Some(Some(problems.list(&path, ports.matches, port_match)))
        }
        None => unset(problems, format!("{path}.traffic"), "any_traffic", "port_matches"),
    };
    Some(Rule { name: message.name, action: action?, peers: peers?, ports: ports? })
}

pub(super) fn to_proto(rule: &Rule) -> v1::Rule {
    let action = match rule.action {
        Action::Accept => v1::Action::Accept,
        Action::Deny => v1::Action::Deny,
        Action::Pass => v1::Action::Pass,
    };
    let peers = match &rule.peers {
        None => rule::Peers::AnyPeer(v1::All {}),
        Some(names) => rule::Peers::PeerSets(v1::AddressSetNames { names: names.clone() }),
    };
    let traffic = match &rule.ports {
        None => rule::Traffic::AnyTraffic(v1::All {}),
        Some(ports) => rule::Traffic::PortMatches(v1::PortMatches {
            matches: ports.iter().map(port_match_to_proto).collect(),
        }),
    };
    v1::Rule {
        action: action.into(),
        peers: Some(peers),
        traffic: Some(traffic),
        name: rule.name.clone(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as Problems::list calls it")]
fn port_match(problems: &mut Problems, path: String, message: v1::PortMatch) -> Option<PortMatch> {
    let protocol = protocol(problems, format!("{path}.protocol"), message.protocol);
    problems.port(format!("{path}.first"), message.first)?;
    let last = message.last.unwrap_or(message.first);
    let range = problems.take(format!("{path}.last"), PortRange::new(message.first, last));
    Some(PortMatch { protocol: protocol?, range: range? })
}

fn port_match_to_proto(ports: &PortMatch) -> v1::PortMatch {
    v1::PortMatch {
        protocol: protocol_to_proto(ports.protocol).into(),
        first: ports.range.first().into(),
        last: Some(ports.range.last().into()),
    }
}

/// Guessing what an unset choice means could widen what is allowed.
fn unset<T>(problems: &mut Problems, path: String, one: &str, other: &str) -> Option<T> {
    problems.add(path, format!("neither {one} nor {other} is set"));
    None
}
