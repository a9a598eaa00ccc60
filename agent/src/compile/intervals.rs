//! Ranges of addresses that a service's first packets are looked up in.

use std::{collections::BTreeMap, net::IpAddr};

use abi::{
    record::{INTERVAL_WORDS, Intervals as Record},
    table::Table,
};

use super::{
    audience::Role,
    limits::{Limits, within},
    ranges::{Family, Ranges},
    services::Scene,
};
use crate::{
    draft::Draft,
    model::{FrontendKind, Key, Kind, Prefix, Service},
    refusal::Refusal,
};

/// The intervals table, filled from its start. It holds what few services ask for and is laid out
/// as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    ranges: Vec<(u128, u128)>,
    pod_prefixes: [Record; 2],
    sources: BTreeMap<(String, Family), Record>,
}

impl Intervals {
    /// Begins with the prefixes that pods have their addresses from, on whatever node.
    pub(super) fn lay_out(scene: &Scene<'_>) -> Result<Self, Vec<Refusal>> {
        let mut intervals = Self::default();
        let nobody = Key { kind: Kind::Node, name: scene.node.to_owned() };
        let mut largest = (0, nobody);
        let nodes = scene.world.nodes.values();
        let prefixes: Vec<Prefix> = nodes.flat_map(|node| &node.pod_prefixes).copied().collect();
        for family in Family::ALL {
            let record = intervals.add(&prefixes, family);
            largest.0 = largest.0.max(record.count());
            intervals.pod_prefixes[family as usize] = record;
        }
        for service in scene.world.services.values().filter(|it| is_guarded(it)) {
            for family in Family::ALL {
                let record = intervals.add(&admitted(scene, service, family), family);
                if record.count() > largest.0 {
                    let key = Key { kind: Kind::Service, name: service.name.clone() };
                    largest = (record.count(), key);
                }
                intervals.sources.insert((service.name.clone(), family), record);
            }
        }
        within("intervals", intervals.ranges.len(), room(scene.limits), || largest.1)?;
        Ok(intervals)
    }

    pub(super) fn pod_prefixes(&self, family: Family) -> Record {
        self.pod_prefixes[family as usize]
    }

    /// Who may use a service's load balancers.
    pub(super) fn sources(&self, service: &str, family: Family) -> Record {
        self.sources.get(&(service.to_owned(), family)).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Writes what is different from the layout `before`.
    pub(super) fn write(&self, before: &Self, draft: &mut Draft) {
        for index in 0..self.ranges.len().max(before.ranges.len()) {
            let (first, last) = self.ranges.get(index).copied().unwrap_or_default();
            let words = [first, last].map(|it| [(it >> 64) as u64, it as u64]);
            for (word, value) in words.into_iter().flatten().enumerate() {
                draft.set_word(Table::Intervals, index * INTERVAL_WORDS as usize + word, value);
            }
        }
    }

    fn add(&mut self, prefixes: &[Prefix], family: Family) -> Record {
        let ranges = Ranges::of_prefixes(prefixes, family);
        let (start, count) = (self.ranges.len(), ranges.as_slice().len());
        self.ranges.extend(ranges.as_slice());
        Record::new(start as u32, count as u32)
    }
}

/// Whether a service asks for intervals.
pub(super) fn is_guarded(service: &Service) -> bool {
    let frontends = || service.frontends.iter();
    frontends().any(|frontend| Role::of(frontend, service) == Role::Guarded)
}

/// The prefixes that may use a service's load balancers.
///
/// A node may have their addresses itself, so that its own connections have them as source
/// (kube-proxy's `allowFromNode`): they may use them if the node may.
fn admitted(scene: &Scene<'_>, service: &Service, family: Family) -> Vec<Prefix> {
    let mut prefixes = service.source_ranges.clone();
    let own = scene.world.nodes.get(scene.node);
    let own = own.into_iter().flat_map(|node| &node.addresses);
    let is_admitted = |address: &IpAddr| prefixes.iter().any(|it| it.contains(*address));
    if own.filter(|it| Family::of(**it) == family).any(is_admitted) {
        let frontends = service.frontends.iter();
        let balancers = frontends.filter(|it| it.kind == FrontendKind::LoadBalancer);
        prefixes.extend(balancers.map(|it| Prefix::host(it.address)));
    }
    prefixes
}

/// How many ranges the table has room for.
pub(super) fn room(limits: &Limits) -> usize {
    (limits.words(Table::Intervals) / INTERVAL_WORDS as usize).min(Record::MAX as usize)
}
