//! The tiers' semantics: from the rules that match a peer to what that peer may do.

use std::collections::{BTreeSet, HashMap};

use super::{
    digest::{Digest, Writer},
    groups::Groups,
    ports::Ports,
};
use crate::model::{Action, Policy, Rule, Tier};

/// Which way a connection goes, as the workload that is judged sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    pub(super) fn rules(self, policy: &Policy) -> Option<&[Rule]> {
        match self {
            Self::Ingress => policy.ingress.as_deref(),
            Self::Egress => policy.egress.as_deref(),
        }
    }
}

/// All rules that judge one direction of some endpoint, in order.
#[derive(Debug, Default)]
pub(super) struct Chain {
    lines: Vec<Line>,
    /// Some policy of the network tier speaks of this direction.
    isolated: bool,
    /// Lines that match every peer, and lines by the group that they name; ascending.
    always: Vec<u32>,
    by_group: HashMap<u32, Vec<u32>>,
}

#[derive(Debug)]
struct Line {
    tier: Tier,
    action: Action,
    ports: Ports,
}

impl Chain {
    /// `policies` are in the order of tiers, priorities and names; their groups are acquired.
    pub(super) fn new(policies: &[&Policy], direction: Direction, groups: &Groups) -> Self {
        let mut chain = Self::default();
        for policy in policies {
            let Some(rules) = direction.rules(policy) else { continue };
            chain.isolated |= policy.tier == Tier::Network;
            for rule in rules {
                let ports = Ports::of_rule(rule.ports.as_deref());
                chain.push(rule, Line { tier: policy.tier, action: rule.action, ports }, groups);
            }
        }
        chain
    }

    fn push(&mut self, rule: &Rule, line: Line, groups: &Groups) {
        let index = self.lines.len() as u32;
        match &rule.peers {
            None => self.always.push(index),
            Some(names) => {
                if let Some(group) = groups.id(names) {
                    self.by_group.entry(group).or_default().push(index);
                }
            }
        }
        self.lines.push(line);
    }

    /// Whether a rule names any of these groups.
    pub(super) fn names(&self, groups: &BTreeSet<u32>) -> bool {
        self.by_group.keys().any(|group| groups.contains(group))
    }

    /// Whether nothing is ever denied.
    pub(super) fn is_open(&self, exempt: bool) -> bool {
        (!self.isolated || exempt) && self.lines.iter().all(|line| line.action != Action::Deny)
    }

    /// The lines that match a peer that is in exactly these groups, in order.
    pub(super) fn matching(&self, groups: &[u32]) -> Vec<u32> {
        let mut matching = self.always.clone();
        matching.extend(groups.iter().filter_map(|group| self.by_group.get(group)).flatten());
        matching.sort_unstable();
        matching
    }

    /// What a peer that these lines match may do. What is `exempt` from the network tier is
    /// accepted where it would decide.
    pub(super) fn allowed(&self, matching: &[u32], exempt: bool) -> Ports {
        let of = |tier: Tier| {
            matching
                .iter()
                .map(|line| &self.lines[*line as usize])
                .filter(move |line| line.tier == tier)
        };
        let (accepted, open) = first_match(of(Tier::Admin), Ports::all());
        let decided = if self.isolated && exempt {
            open
        } else if self.isolated {
            of(Tier::Network)
                .fold(Ports::none(), |union, line| union.union(&line.ports))
                .intersection(&open)
        } else {
            let (accepted, open) = first_match(of(Tier::Baseline), open);
            accepted.union(&open)
        };
        accepted.union(&decided)
    }
}

/// The fingerprint of everything that the verdicts of one direction are computed from.
pub(super) fn digest(policies: &[&Policy], direction: Direction, groups: &Groups) -> Digest {
    let mut writer = Writer::default();
    for policy in policies {
        let Some(rules) = direction.rules(policy) else { continue };
        writer.number(policy.tier as u128);
        writer.number(rules.len() as u128);
        for rule in rules {
            write(&mut writer, rule, groups);
        }
    }
    writer.finish()
}

fn write(writer: &mut Writer, rule: &Rule, groups: &Groups) {
    writer.number(rule.action as u128);
    match &rule.peers {
        None => writer.number(0),
        Some(names) => {
            writer.number(1);
            writer.digest(groups.id(names).map_or_else(Digest::default, |id| groups.digest(id)));
        }
    }
    writer.number(rule.ports.as_ref().map_or(0, |ports| 1 + ports.len() as u128));
    for line in rule.ports.iter().flatten() {
        writer.number(line.protocol.number() as u128);
        writer.number(line.range.first() as u128);
        writer.number(line.range.last() as u128);
    }
}

/// Goes through an ordered tier; gives what it accepts and what it leaves to the next.
fn first_match<'l>(lines: impl Iterator<Item = &'l Line>, mut undecided: Ports) -> (Ports, Ports) {
    let (mut accepted, mut passed) = (Ports::none(), Ports::none());
    for line in lines {
        if undecided.is_none() {
            break;
        }
        let matched = line.ports.intersection(&undecided);
        undecided = undecided.minus(&matched);
        match line.action {
            Action::Accept => accepted = accepted.union(&matched),
            Action::Pass => passed = passed.union(&matched),
            Action::Deny => {}
        }
    }
    (accepted, passed.union(&undecided))
}
