//! Which policies judge which local endpoints, and over which address sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::ranges::SetRanges;
use crate::model::{Policy, Rule, Workload, World};

/// The policies that judge an endpoint, in the order in which tiers and priorities ask them.
pub(super) type Profile<'w> = Vec<&'w Policy>;

/// What policy says about the local endpoints.
#[derive(Debug)]
pub(super) struct Selection<'w> {
    /// Distinct profiles, and the index of each local workload's.
    pub profiles: Vec<Profile<'w>>,
    pub profile_of: BTreeMap<&'w str, usize>,
    /// The peer sets of all profiles; their index is their number in [`super::classes`].
    pub names: Vec<&'w str>,
    pub ranges: Vec<SetRanges>,
}

impl<'w> Selection<'w> {
    pub(super) fn new(world: &'w World, local: &[&'w Workload]) -> Self {
        let policies = in_order(world);
        let subjects: Vec<Vec<SetRanges>> =
            policies.iter().map(|policy| resolve(world, &policy.subjects)).collect();

        let mut profiles: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut profile_of = BTreeMap::new();
        for workload in local {
            let selecting: Vec<usize> = (0..policies.len())
                .filter(|policy| selects(&subjects[*policy], &workload.addresses))
                .collect();
            let next = profiles.len();
            profile_of.insert(workload.name.as_str(), *profiles.entry(selecting).or_insert(next));
        }
        let mut ordered = vec![Profile::new(); profiles.len()];
        for (selecting, index) in profiles {
            ordered[index] = selecting.into_iter().map(|policy| policies[policy]).collect();
        }

        let names: BTreeSet<&str> =
            ordered.iter().flatten().flat_map(|policy| peers(policy)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let ranges = resolve(world, &names);
        Self { profiles: ordered, profile_of, names, ranges }
    }

    /// The number of a peer set.
    pub(super) fn set(&self, name: &str) -> Option<u32> {
        self.names.binary_search(&name).ok().map(|index| index as u32)
    }
}

/// Every set that a rule of the policy names.
pub(super) fn peers(policy: &Policy) -> impl Iterator<Item = &str> {
    rules(policy).filter_map(|rule| rule.peers.as_ref()).flatten().map(String::as_str)
}

pub(super) fn rules(policy: &Policy) -> impl Iterator<Item = &Rule> {
    [&policy.ingress, &policy.egress].into_iter().flatten().flatten()
}

fn in_order(world: &World) -> Profile<'_> {
    let mut policies: Profile = world.policies.values().collect();
    policies.sort_by_key(|policy| (policy.tier, policy.priority, &policy.name));
    policies
}

fn resolve<S: AsRef<str>>(world: &World, names: &[S]) -> Vec<SetRanges> {
    names
        .iter()
        .map(|name| {
            world.address_sets.get(name.as_ref()).map_or_else(SetRanges::default, SetRanges::new)
        })
        .collect()
}

fn selects(subjects: &[SetRanges], addresses: &[IpAddr]) -> bool {
    subjects.iter().any(|set| addresses.iter().any(|address| set.contains(*address)))
}
