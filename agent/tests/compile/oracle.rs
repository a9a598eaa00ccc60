//! What may talk to what, read straight from the resources.

use std::net::IpAddr;

use zonegate::model::{Action, Policy, Rule, Tier, Workload, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

/// Who the peer is to the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Other,
    /// The subject's own node.
    Node,
    /// The subject itself, at its own address.
    Itself,
    /// The subject itself, through a service.
    Hairpin,
}

impl Relation {
    pub const ALL: [Self; 4] = [Self::Other, Self::Node, Self::Itself, Self::Hairpin];
}

pub fn allows(
    world: &World,
    subject: &Workload,
    direction: Direction,
    relation: Relation,
    peer: IpAddr,
    protocol: u8,
    port: u16,
) -> bool {
    if relation == Relation::Itself {
        return true;
    }
    let matches = |rule: &&Rule| rule_matches(world, rule, peer, protocol, port);

    let first = |tier: Tier| rules(world, subject, direction, tier).find(matches).map(action);

    match first(Tier::Admin) {
        Some(Action::Accept) => return true,
        Some(Action::Deny) => return false,
        Some(Action::Pass) | None => {}
    }
    let isolated = policies(world, subject, Tier::Network)
        .any(|policy| direction_rules(policy, direction).is_some());
    if isolated {
        return relation != Relation::Other
            || rules(world, subject, direction, Tier::Network).any(|rule| matches(&rule));
    }
    match first(Tier::Baseline) {
        Some(Action::Deny) => false,
        Some(Action::Accept | Action::Pass) | None => true,
    }
}

fn action(rule: &Rule) -> Action {
    rule.action
}

fn rules<'w>(
    world: &'w World,
    subject: &Workload,
    direction: Direction,
    tier: Tier,
) -> impl Iterator<Item = &'w Rule> {
    let mut policies: Vec<_> = policies(world, subject, tier).collect();
    policies.sort_by(|a, b| a.priority.cmp(&b.priority).then(a.name.cmp(&b.name)));
    policies.into_iter().filter_map(move |policy| direction_rules(policy, direction)).flatten()
}

fn policies<'w>(
    world: &'w World,
    subject: &Workload,
    tier: Tier,
) -> impl Iterator<Item = &'w Policy> {
    world.policies.values().filter(move |policy| {
        policy.tier == tier
            && policy
                .subjects
                .iter()
                .any(|set| subject.addresses.iter().any(|it| world.address_sets[set].contains(*it)))
    })
}

fn direction_rules(policy: &Policy, direction: Direction) -> Option<&Vec<Rule>> {
    match direction {
        Direction::Ingress => policy.ingress.as_ref(),
        Direction::Egress => policy.egress.as_ref(),
    }
}

fn rule_matches(world: &World, rule: &Rule, peer: IpAddr, protocol: u8, port: u16) -> bool {
    let peer_matches = match &rule.peers {
        None => true,
        Some(sets) => sets.iter().any(|set| world.address_sets[set].contains(peer)),
    };
    let port_matches = match &rule.ports {
        None => true,
        Some(lines) => {
            lines.iter().any(|line| line.protocol.number() == protocol && line.range.contains(port))
        }
    };
    peer_matches && port_matches
}
