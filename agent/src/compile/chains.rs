//! The distinct chains of rules that judge local workloads, and their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use abi::{record::ROW_ALLOW, table::Table};

use super::{
    classes::{Classes, Renumbering},
    digest::{self, Digest},
    groups::Groups,
    limits::{Limits, within},
    port_sets::PortSets,
    rows::{Full, Layout, Row, Verdicts},
    subjects::Profile,
    tiers::{self, Chain, Direction},
};
use crate::{
    draft::Draft,
    model::{Key, Policy, World},
    refusal::Refusal,
    store::Usage,
};

/// Chains in use, and whose they are.
#[derive(Debug)]
pub(super) struct Chains {
    ids: HashMap<Links, u32>,
    entries: BTreeMap<u32, Entry>,
    /// Ingress and egress of each local workload.
    workloads: BTreeMap<String, [u32; 2]>,
    port_sets: PortSets,
    layout: Layout,
}

/// What a chain is made of: the policies that speak of a direction, in order.
type Links = (Direction, Vec<String>);

#[derive(Debug)]
struct Entry {
    links: Links,
    uses: usize,
    /// Has to be made anew.
    stale: bool,
    chain: Chain,
    digest: Digest,
    /// For ordinary peers, and for what NetworkPolicy never blocks.
    rows: [Row; 2],
}

/// What is new for chains.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'s> {
    /// Policies that say something else.
    pub policies: &'s BTreeSet<&'s str>,
    pub groups: &'s Groups,
    /// Groups that have other addresses.
    pub moved: &'s BTreeSet<u32>,
    pub classes: &'s Classes,
    pub renumbering: &'s Renumbering,
}

/// Ingress and egress rows as an endpoint's record names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndpointRows {
    pub judged: [u32; 2],
    /// For what NetworkPolicy never blocks.
    pub exempt: [u32; 2],
}

impl EndpointRows {
    pub(super) const UNRESTRICTED: Self = Self { judged: [ROW_ALLOW; 2], exempt: [ROW_ALLOW; 2] };
}

impl Chains {
    pub(super) fn new(draft: &mut Draft) -> Self {
        Self {
            ids: HashMap::new(),
            entries: BTreeMap::new(),
            workloads: BTreeMap::new(),
            port_sets: PortSets::new(draft),
            layout: Layout::default(),
        }
    }

    /// Notes which policies judge a workload now, if it is still there. Chains that nobody uses
    /// any more remain until [`Self::update`].
    pub(super) fn assign(&mut self, world: &World, workload: &str, profile: Option<&Profile>) {
        let before = match profile {
            None => self.workloads.remove(workload),
            Some(profile) => {
                let ids = Direction::ALL.map(|direction| self.acquire(world, direction, profile));
                self.workloads.insert(workload.to_owned(), ids)
            }
        };
        for id in before.into_iter().flatten() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.uses -= 1;
            }
        }
    }

    fn acquire(&mut self, world: &World, direction: Direction, profile: &Profile) -> u32 {
        let speaks = |name: &String| {
            let policy = world.policies.get(name);
            policy.is_some_and(|policy| direction.rules(policy).is_some())
        };
        let names = profile.iter().map(|(_, _, name)| name).filter(|name| speaks(name));
        let links = (direction, names.cloned().collect());
        let next = self.entries.last_key_value().map_or(0, |(last, _)| last + 1);
        let id = *self.ids.entry(links.clone()).or_insert(next);
        let entry = self.entries.entry(id).or_insert_with(|| Entry {
            links,
            uses: 0,
            stale: true,
            chain: Chain::default(),
            digest: Digest::UNRESTRICTED,
            rows: Default::default(),
        });
        entry.uses += 1;
        id
    }

    /// Brings chains and rows up to date.
    pub(super) fn update(&mut self, world: &World, step: Step<'_>, draft: &mut Draft) {
        let Step { policies, groups, moved, classes, renumbering } = step;
        self.drop_unused();
        let new: BTreeSet<u32> = renumbering.new.iter().copied().collect();
        let new: Vec<_> = classes.iter().filter(|(class, _)| new.contains(class)).collect();
        for entry in self.entries.values_mut() {
            let (direction, names) = &entry.links;
            entry.stale |= names.iter().any(|name| policies.contains(name.as_str()));
            let stale = entry.stale;
            let regrouped = !stale && entry.chain.names(moved);
            if !stale && !regrouped && renumbering.is_empty() {
                continue;
            }
            let links: Vec<&Policy> =
                names.iter().filter_map(|name| world.policies.get(name)).collect();
            if stale {
                entry.chain = Chain::new(&links, *direction, groups);
                entry.stale = false;
            }
            for (exempt, row) in [false, true].into_iter().zip(&mut entry.rows) {
                let verdicts = Verdicts { chain: &entry.chain, exempt };
                if entry.chain.is_open(exempt) {
                    row.replace(Row::default(), &mut self.port_sets);
                } else if stale {
                    let fresh = Row::new(verdicts, classes, &mut self.port_sets, draft);
                    row.replace(fresh, &mut self.port_sets);
                } else {
                    row.shrink(&renumbering.gone, &mut self.port_sets);
                    row.extend(verdicts, new.iter().copied(), &mut self.port_sets, draft);
                }
                self.layout.place(row);
            }
            if entry.rows.iter().all(|row| !row.is_restricted()) {
                entry.digest = Digest::UNRESTRICTED;
            } else if stale || regrouped || entry.digest == Digest::UNRESTRICTED {
                entry.digest = tiers::digest(&links, *direction, groups);
            }
        }
    }

    fn drop_unused(&mut self) {
        let Self { ids, entries, port_sets, layout, .. } = self;
        entries.retain(|_, entry| {
            if entry.uses == 0 {
                ids.remove(&entry.links);
                for row in &mut entry.rows {
                    row.replace(Row::default(), port_sets);
                    layout.place(row);
                }
            }
            entry.uses > 0
        });
    }

    /// Writes the rows down; `blamed` finds the policy that has most of something.
    pub(super) fn write(
        &mut self,
        limits: &Limits,
        classes: &Classes,
        draft: &mut Draft,
        blamed: impl Fn(fn(&Policy) -> usize) -> Key,
    ) -> Result<(), Vec<Refusal>> {
        let peers = || blamed(|policy| policy.peer_sets().count());
        let ports = || {
            blamed(|policy| {
                policy.rules().filter_map(|rule| rule.ports.as_ref()).map(Vec::len).sum()
            })
        };
        within("classes", classes.end() as usize, limits.classes(), peers)?;
        within("port sets", self.port_sets.len(), limits.port_sets(), ports)?;
        within("port pages", self.port_sets.pages(), limits.pages(), ports)?;
        let room = limits.words(Table::Rows);
        let moved = match self.layout.fit(classes.end(), room) {
            Ok(moved) => moved,
            Err(Full { needed }) => return within("rows", needed, room, peers),
        };
        for row in self.entries.values_mut().flat_map(|entry| &mut entry.rows) {
            self.layout.write(row, moved, draft);
        }
        Ok(())
    }

    pub(super) fn usage(&self, limits: &Limits, classes: &Classes) -> Vec<Usage> {
        let usage = |limit, used, room| Usage { limit, used, room };
        vec![
            usage("classes", classes.end() as usize, limits.classes()),
            usage("rows", self.layout.words(), limits.words(Table::Rows)),
            usage("port sets", self.port_sets.len(), limits.port_sets()),
            usage("port pages", self.port_sets.pages(), limits.pages()),
        ]
    }

    /// The rows of a local workload, and the fingerprint of what made them.
    pub(super) fn endpoint(&self, workload: &str) -> (EndpointRows, Digest) {
        let Some(ids) = self.workloads.get(workload) else {
            return (EndpointRows::UNRESTRICTED, Digest::UNRESTRICTED);
        };
        let entries = ids.map(|id| self.entries.get(&id));
        let start = |index: usize| {
            entries.map(|entry| {
                let start = entry.and_then(|entry| self.layout.start(&entry.rows[index]));
                start.map_or(ROW_ALLOW, |start| start as u32)
            })
        };
        let digests = entries.map(|entry| entry.map_or(Digest::UNRESTRICTED, |it| it.digest));
        (EndpointRows { judged: start(0), exempt: start(1) }, digest::endpoint(digests))
    }
}
