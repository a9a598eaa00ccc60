//! Which policy and rule decides, in words for people.
//!
//! Tables say whether a connection may be made, not why. This walks the same policies for one
//! connection and names the first rule that settles it; it never decides anything.

use std::net::IpAddr;

use super::{ranges::SetRanges, tiers::Direction};
use crate::model::{Action, Policy, Protocol, Rule, Tier, Workload, World};

/// A connection as one of its ends' policies see it.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    pub peer: IpAddr,
    /// `None` for protocols without ports.
    pub traffic: Option<(Protocol, u16)>,
    /// Node traffic and hairpins: the network tier accepts them.
    pub exempt: bool,
}

/// What settles one direction of a connection at one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// `None`: no tier has anything to say.
    pub tier: Option<Tier>,
    /// Empty when no policy decides alone.
    pub policy: String,
    /// The rule's name; empty where the policy decides by isolating and not accepting.
    pub rule: String,
}

/// Says what `workload`'s policies of one direction make of a connection.
pub fn explain(
    world: &World,
    workload: &Workload,
    direction: Direction,
    connection: Connection,
) -> Decision {
    let mut policies: Vec<&Policy> =
        world.policies.values().filter(|policy| selects(world, policy, workload)).collect();
    policies.sort_by_key(|policy| (policy.tier, policy.priority, &policy.name));
    let of = |tier: Tier| {
        let policies = policies.iter().filter(move |policy| policy.tier == tier);
        policies.filter_map(|policy| Some((*policy, direction.rules(policy)?)))
    };
    let first = |tier: Tier| {
        of(tier).find_map(|(policy, rules)| {
            let rule = rules.iter().find(|rule| matches(world, rule, connection))?;
            Some((policy, rule))
        })
    };
    let ordered = |tier: Tier| {
        let (policy, rule) = first(tier).filter(|(_, rule)| rule.action != Action::Pass)?;
        Some(decided(rule.action, policy, &rule.name))
    };
    if let Some(decision) = ordered(Tier::Admin) {
        return decision;
    }
    if let Some((isolating, _)) = of(Tier::Network).next() {
        if connection.exempt {
            return decided(Action::Accept, isolating, "node traffic is never isolated");
        }
        return match first(Tier::Network) {
            Some((policy, rule)) => decided(rule.action, policy, &rule.name),
            None => decided(Action::Deny, isolating, ""),
        };
    }
    if let Some(decision) = ordered(Tier::Baseline) {
        return decision;
    }
    Decision { allowed: true, tier: None, policy: String::new(), rule: String::new() }
}

fn decided(action: Action, policy: &Policy, rule: &str) -> Decision {
    Decision {
        allowed: action == Action::Accept,
        tier: Some(policy.tier),
        policy: policy.name.clone(),
        rule: rule.to_owned(),
    }
}

fn selects(world: &World, policy: &Policy, workload: &Workload) -> bool {
    workload.addresses.iter().any(|address| in_any(world, &policy.subjects, *address))
}

fn in_any(world: &World, sets: &[String], address: IpAddr) -> bool {
    sets.iter()
        .filter_map(|name| world.address_sets.get(name))
        .any(|set| SetRanges::new(set).contains(address))
}

fn matches(world: &World, rule: &Rule, connection: Connection) -> bool {
    let peer = rule.peers.as_ref().is_none_or(|sets| in_any(world, sets, connection.peer));
    let traffic = rule.ports.as_ref().is_none_or(|lines| {
        connection.traffic.is_some_and(|(protocol, port)| {
            lines.iter().any(|line| line.protocol == protocol && line.range.contains(port))
        })
    });
    peer && traffic
}
