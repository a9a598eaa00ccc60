//! Which policies judge which local workloads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::sets::Sets;
use crate::model::{Policy, Tier, World};

/// The policies that judge a workload, in the order in which tiers and priorities ask them.
pub(super) type Profile = BTreeSet<Place>;

/// Where a policy stands: tier, priority, name.
type Place = (Tier, u32, String);

/// Policies and the local workloads that they select.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    profiles: BTreeMap<String, Profile>,
    policies: BTreeMap<String, Selecting>,
    /// Policies by the sets that name their subjects.
    by_set: HashMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Selecting {
    place: Place,
    subjects: Vec<String>,
    workloads: BTreeSet<String>,
}

/// Which resources changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed<'c> {
    pub policies: &'c BTreeSet<&'c str>,
    pub sets: &'c BTreeSet<&'c str>,
    /// Local workloads, and former ones.
    pub workloads: &'c BTreeSet<&'c str>,
}

/// What is different from the last time.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Workloads that other policies judge, or in another order.
    pub workloads: BTreeSet<String>,
    /// Policies that select others.
    pub policies: BTreeSet<String>,
}

impl Subjects {
    /// Follows a change.
    pub(super) fn update(
        &mut self,
        world: &World,
        changed: Changed<'_>,
        local: &BTreeMap<String, Vec<IpAddr>>,
        sets: &mut Sets,
    ) -> Moved {
        let mut moved = Moved::default();
        for name in changed.workloads.iter().filter(|name| !local.contains_key(**name)) {
            let Some(profile) = self.profiles.remove(*name) else { continue };
            for (_, _, policy) in profile {
                if let Some(selecting) = self.policies.get_mut(&policy) {
                    selecting.workloads.remove(*name);
                }
                moved.policies.insert(policy);
            }
            moved.workloads.insert((*name).to_owned());
        }
        let mut suspects: BTreeSet<String> = changed
            .sets
            .iter()
            .filter_map(|set| self.by_set.get(*set))
            .flatten()
            .cloned()
            .collect();
        for name in changed.policies {
            self.forget(name, &mut moved);
            if let Some(policy) = world.policies.get(*name) {
                self.learn(policy);
                suspects.insert((*name).to_owned());
            }
        }
        for name in &suspects {
            self.select(world, name, local.iter(), sets, &mut moved);
        }
        let news: Vec<_> =
            changed.workloads.iter().filter_map(|name| local.get_key_value(*name)).collect();
        if !news.is_empty() {
            for (name, _) in &news {
                self.profiles.entry((*name).clone()).or_insert_with(|| {
                    moved.workloads.insert((*name).clone());
                    Profile::new()
                });
            }
            let others: Vec<String> =
                self.policies.keys().filter(|name| !suspects.contains(*name)).cloned().collect();
            for name in others {
                self.select(world, &name, news.iter().copied(), sets, &mut moved);
            }
        }
        moved
    }

    pub(super) fn profile(&self, workload: &str) -> Option<&Profile> {
        self.profiles.get(workload)
    }

    /// The local workloads that a policy selects.
    pub(super) fn selected_by(&self, policy: &str) -> impl Iterator<Item = &String> {
        self.policies.get(policy).into_iter().flat_map(|selecting| &selecting.workloads)
    }

    fn forget(&mut self, policy: &str, moved: &mut Moved) {
        let Some(Selecting { place, subjects, workloads }) = self.policies.remove(policy) else {
            return;
        };
        for set in subjects {
            if let Some(policies) = self.by_set.get_mut(&set) {
                policies.remove(policy);
                if policies.is_empty() {
                    self.by_set.remove(&set);
                }
            }
        }
        for workload in &workloads {
            if let Some(profile) = self.profiles.get_mut(workload) {
                profile.remove(&place);
            }
        }
        moved.workloads.extend(workloads);
        moved.policies.insert(policy.to_owned());
    }

    fn learn(&mut self, policy: &Policy) {
        for set in &policy.subjects {
            self.by_set.entry(set.clone()).or_default().insert(policy.name.clone());
        }
        let place = (policy.tier, policy.priority, policy.name.clone());
        let subjects = policy.subjects.clone();
        let selecting = Selecting { place, subjects, workloads: BTreeSet::new() };
        self.policies.insert(policy.name.clone(), selecting);
    }

    /// Finds out which of some workloads a policy selects.
    fn select<'l>(
        &mut self,
        world: &World,
        policy: &str,
        workloads: impl Iterator<Item = (&'l String, &'l Vec<IpAddr>)>,
        sets: &mut Sets,
        moved: &mut Moved,
    ) {
        let Some(selecting) = self.policies.get_mut(policy) else { return };
        for (workload, addresses) in workloads {
            let selected = sets.meet(world, &selecting.subjects, addresses);
            if selected == selecting.workloads.contains(workload) {
                continue;
            }
            let profile = self.profiles.entry(workload.clone()).or_default();
            if selected {
                selecting.workloads.insert(workload.clone());
                profile.insert(selecting.place.clone());
            } else {
                selecting.workloads.remove(workload);
                profile.remove(&selecting.place);
            }
            moved.workloads.insert(workload.clone());
            moved.policies.insert(policy.to_owned());
        }
    }
}
