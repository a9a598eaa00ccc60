//! What policy says about the local workloads, kept up to date change by change.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    chains::{Chains, EndpointRows, Step},
    classes::Classes,
    digest::Digest,
    groups::{Groups, Refreshed},
    limits::Limits,
    sets::Sets,
    subjects::{Changed, Subjects},
};
use crate::{
    draft::Draft,
    model::{Key, Kind, Policy, World},
    refusal::Refusal,
    store::Usage,
};

/// The steps from policies to rows, each with what it remembers.
#[derive(Debug)]
pub(super) struct Judging {
    sets: Sets,
    subjects: Subjects,
    /// The groups that the rules of each policy in use have acquired.
    held: BTreeMap<String, Vec<u32>>,
    pub groups: Groups,
    pub classes: Classes,
    chains: Chains,
}

impl Judging {
    pub(super) fn new(draft: &mut Draft) -> Self {
        Self {
            sets: Sets::default(),
            subjects: Subjects::default(),
            held: BTreeMap::new(),
            groups: Groups::default(),
            classes: Classes::default(),
            chains: Chains::new(draft),
        }
    }

    /// Follows a change; `local` are the local workloads' addresses. Gives what is to be written
    /// anew in the address tables.
    pub(super) fn update(
        &mut self,
        world: &World,
        changed: Changed<'_>,
        local: &BTreeMap<String, Vec<IpAddr>>,
        limits: &Limits,
        draft: &mut Draft,
    ) -> Result<Refreshed, Vec<Refusal>> {
        for set in changed.sets {
            self.sets.forget(set);
            self.groups.suspect(set);
        }
        let mut moved = self.subjects.update(world, changed, local, &mut self.sets);
        moved.policies.extend(changed.policies.iter().map(|name| (*name).to_owned()));
        for name in &moved.policies {
            self.hold(world, name);
        }
        let refreshed = self.groups.refresh(world, &mut self.sets, &mut self.classes);
        let renumbering = self.classes.renumber();

        let speaking = changed.policies.iter().flat_map(|name| self.subjects.selected_by(name));
        moved.workloads.extend(speaking.cloned());
        for workload in &moved.workloads {
            self.chains.assign(world, workload, self.subjects.profile(workload));
        }
        let Self { groups, classes, chains, .. } = self;
        let step = Step {
            policies: changed.policies,
            groups,
            moved: &refreshed.groups,
            classes,
            renumbering: &renumbering,
        };
        chains.update(world, step, draft);
        let blamed = |count: fn(&Policy) -> usize| most(world, self.held.keys(), count);
        self.chains.write(limits, &self.classes, draft, blamed)?;
        Ok(refreshed)
    }

    /// How much of each limit the rows take.
    pub(super) fn usage(&self, limits: &Limits) -> Vec<Usage> {
        self.chains.usage(limits, &self.classes)
    }

    /// See [`Chains::endpoint`].
    pub(super) fn endpoint(&self, workload: &str) -> (EndpointRows, Digest) {
        self.chains.endpoint(workload)
    }

    /// Acquires the groups that a policy needs while it selects somebody.
    fn hold(&mut self, world: &World, name: &str) {
        let used = self.subjects.selected_by(name).next().is_some();
        let policy = world.policies.get(name).filter(|_| used);
        let peers = policy.into_iter().flat_map(Policy::rules).filter_map(|it| it.peers.as_ref());
        let groups: Vec<u32> = peers.filter_map(|names| self.groups.acquire(names)).collect();
        let before = match policy {
            Some(_) => self.held.insert(name.to_owned(), groups),
            None => self.held.remove(name),
        };
        for group in before.into_iter().flatten() {
            self.groups.release(group);
        }
    }
}

/// The policy that has most of something.
fn most<'n>(
    world: &World,
    names: impl Iterator<Item = &'n String>,
    count: fn(&Policy) -> usize,
) -> Key {
    let policies = names.filter_map(|name| world.policies.get(name));
    let name = policies.max_by_key(|policy| count(policy)).map_or("", |policy| &policy.name);
    Key { kind: Kind::Policy, name: name.to_owned() }
}

/// Names as [`Changed`] wants them.
pub(super) type Names<'n> = BTreeSet<&'n str>;
