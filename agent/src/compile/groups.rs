//! Peer groups: the address sets that a rule names, taken together.
//!
//! What rules tell apart is not sets but groups, so however many sets a rule names, they make no
//! more classes than one would.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    classes::Classes,
    digest::{self, Digest},
    ranges::{Family, SetRanges},
    sets::Sets,
};
use crate::model::World;

/// The groups that rules in use name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    ids: HashMap<Vec<String>, u32>,
    living: BTreeMap<u32, Group>,
    free: BTreeSet<u32>,
    by_set: HashMap<String, BTreeSet<u32>>,
    /// Groups whose ranges have to be looked at again.
    suspects: BTreeSet<u32>,
}

#[derive(Debug)]
struct Group {
    /// Sorted, each once.
    names: Vec<String>,
    uses: usize,
    /// Nobody has looked at its ranges yet.
    new: bool,
    ranges: Arc<SetRanges>,
    digest: Digest,
}

/// What a refreshment changed.
#[derive(Debug, Default)]
pub(super) struct Refreshed {
    /// Groups with other ranges than before.
    pub groups: BTreeSet<u32>,
    /// The ranges that are in other groups than before, by family.
    pub ranges: [Vec<(u128, u128)>; 2],
    /// Sets of groups that have come or gone.
    pub sets: BTreeSet<String>,
}

impl Groups {
    /// The number of a group, which keeps it until it is released; `None`: no set, nobody.
    pub(super) fn acquire(&mut self, names: &[String]) -> Option<u32> {
        let names = canonical(names);
        if names.is_empty() {
            return None;
        }
        let id = *self.ids.entry(names).or_insert_with_key(|names| {
            let next = self.living.last_key_value().map_or(0, |(last, _)| last + 1);
            let id = self.free.pop_first().unwrap_or(next);
            for name in names {
                self.by_set.entry(name.clone()).or_default().insert(id);
            }
            let (ranges, digest) = (Arc::default(), Digest::default());
            self.living
                .insert(id, Group { names: names.clone(), uses: 0, new: true, ranges, digest });
            self.suspects.insert(id);
            id
        });
        if let Some(group) = self.living.get_mut(&id) {
            group.uses += 1;
        }
        Some(id)
    }

    pub(super) fn release(&mut self, id: u32) {
        if let Some(group) = self.living.get_mut(&id) {
            group.uses -= 1;
            if group.uses == 0 {
                self.suspects.insert(id);
            }
        }
    }

    /// The number of a group that somebody has acquired.
    pub(super) fn id(&self, names: &[String]) -> Option<u32> {
        self.ids.get(&canonical(names)).copied()
    }

    pub(super) fn digest(&self, id: u32) -> Digest {
        self.living.get(&id).map_or_else(Digest::default, |group| group.digest)
    }

    /// Says that a set is not what it was.
    pub(super) fn suspect(&mut self, set: &str) {
        self.suspects.extend(self.by_set.get(set).into_iter().flatten());
    }

    /// Whether any group has this set.
    pub(super) fn name(&self, set: &str) -> bool {
        self.by_set.contains_key(set)
    }

    /// Brings ranges and classes up to date; groups that nobody uses are no more.
    pub(super) fn refresh(
        &mut self,
        world: &World,
        sets: &mut Sets,
        classes: &mut Classes,
    ) -> Refreshed {
        let mut refreshed = Refreshed::default();
        for id in std::mem::take(&mut self.suspects) {
            let Some(group) = self.living.get_mut(&id) else { continue };
            let ranges = if group.uses == 0 { Arc::default() } else { group.resolve(world, sets) };
            for family in Family::ALL {
                let (old, new) = (group.ranges.family(family), ranges.family(family));
                let differences = old.difference(new, family);
                for difference in &differences {
                    classes.toggle(family, *difference, id);
                }
                if !differences.is_empty() {
                    refreshed.groups.insert(id);
                }
                refreshed.ranges[family as usize].extend(differences);
            }
            let new = std::mem::take(&mut group.new);
            if new || group.uses == 0 {
                refreshed.sets.extend(group.names.iter().cloned());
            }
            if new || refreshed.groups.contains(&id) {
                group.digest = digest::ranges(&ranges);
            }
            group.ranges = ranges;
            if group.uses == 0 {
                self.remove(id);
            }
        }
        refreshed
    }

    fn remove(&mut self, id: u32) {
        let Some(group) = self.living.remove(&id) else { return };
        for name in &group.names {
            if let Some(groups) = self.by_set.get_mut(name) {
                groups.remove(&id);
                if groups.is_empty() {
                    self.by_set.remove(name);
                }
            }
        }
        self.ids.remove(&group.names);
        self.free.insert(id);
    }
}

/// However a rule lists them, the same sets are the same group.
fn canonical(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

impl Group {
    fn resolve(&self, world: &World, sets: &mut Sets) -> Arc<SetRanges> {
        let ranges: Vec<_> = self.names.iter().map(|name| sets.get(world, name)).collect();
        match &ranges[..] {
            [one] => Arc::clone(one),
            several => Arc::new(SetRanges::union(several.iter().map(Arc::as_ref))),
        }
    }
}
