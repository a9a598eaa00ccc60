//! Addresses that are selected together, sorted by what named ports mean there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    ObjectKey,
    address::Block,
    draft::PodQuery,
    named_ports::{NamedPort, Resolution},
    names::bounded,
    selector::Selector,
};
use crate::model::{AddressSet, Prefix};

/// What a pool holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PoolKey {
    /// Pods, apart by what these names mean on them.
    Pods(PodQuery, BTreeSet<NamedPort>),
    Nodes(Selector),
    /// All blocks without exceptions that one rule has.
    Prefixes(BTreeSet<Prefix>),
    Block(Block),
}

/// Numbers say nothing of order: they depend on history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId(pub u32);

/// One address set: the part of a pool where named ports mean this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetRef {
    pub pool: PoolId,
    pub resolution: Resolution,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub key: PoolKey,
    /// The policies that refer to it.
    pub users: BTreeSet<ObjectKey>,
    /// How many members have each address; a moment comes when two pods have the same.
    groups: BTreeMap<Resolution, BTreeMap<Prefix, usize>>,
}

impl Pool {
    pub(super) fn new(key: PoolKey) -> Self {
        Self { key, users: BTreeSet::new(), groups: BTreeMap::new() }
    }

    /// Whether its members fall apart into groups.
    pub(super) fn is_split(&self) -> bool {
        matches!(&self.key, PoolKey::Pods(_, names) if !names.is_empty())
    }

    /// The groups that have members.
    pub(super) fn resolutions(&self) -> impl Iterator<Item = &Resolution> {
        self.groups.keys()
    }

    /// Adds a member's addresses; tells whether that makes a new group.
    pub(super) fn add(
        &mut self,
        resolution: &Resolution,
        prefixes: impl Iterator<Item = Prefix>,
    ) -> bool {
        let before = self.groups.len();
        for prefix in prefixes {
            let group = self.groups.entry(resolution.clone()).or_default();
            *group.entry(prefix).or_default() += 1;
        }
        self.groups.len() != before
    }

    /// Removes what [`Self::add`] added; tells whether a group is gone with it.
    pub(super) fn remove(
        &mut self,
        resolution: &Resolution,
        prefixes: impl Iterator<Item = Prefix>,
    ) -> bool {
        let Some(group) = self.groups.get_mut(resolution) else { return false };
        for prefix in prefixes {
            if let Some(count) = group.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    group.remove(&prefix);
                }
            }
        }
        let gone = group.is_empty();
        if gone {
            self.groups.remove(resolution);
        }
        gone
    }

    pub(super) fn set_name(&self, resolution: &Resolution) -> String {
        bounded(format!("{}{resolution}", self.key))
    }

    pub(super) fn address_set(&self, resolution: &Resolution) -> AddressSet {
        let name = self.set_name(resolution);
        let (prefixes, except) = match &self.key {
            PoolKey::Block(block) => (vec![block.prefix], block.except.iter().copied().collect()),
            PoolKey::Prefixes(prefixes) => (prefixes.iter().copied().collect(), Vec::new()),
            PoolKey::Pods(..) | PoolKey::Nodes(_) => {
                let prefixes = self.groups.get(resolution).into_iter().flat_map(BTreeMap::keys);
                (prefixes.copied().collect(), Vec::new())
            }
        };
        AddressSet { name, prefixes, except }
    }
}

/// `pods/shop/{app=web}`, `nodes/{zone=a}`, `cidr/10.0.0.0/8-10.1.0.0/16`,
/// `cidr/10.1.0.0/16,10.2.0.0/16`.
impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(query, _) => write!(f, "pods/{query}"),
            Self::Nodes(selector) => write!(f, "nodes/{selector}"),
            Self::Block(block) => write!(f, "cidr/{block}"),
            Self::Prefixes(prefixes) => {
                f.write_str("cidr/")?;
                prefixes.iter().enumerate().try_for_each(|(index, prefix)| {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    prefix.fmt(f)
                })
            }
        }
    }
}
