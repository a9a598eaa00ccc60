//! Ranges of addresses that a service's first packets are looked up in.

use std::net::IpAddr;

use abi::{
    record::{INTERVAL_WORDS, Intervals as Record},
    table::Table,
};

use super::{
    limits::{Limits, within},
    ranges::{Family, Ranges},
    services::Scene,
};
use crate::{
    image::Image,
    model::{FrontendKind, Key, Kind, Prefix, Service},
    refusal::Refusal,
};

/// The intervals table, filled from its start.
pub(super) struct Intervals<'s> {
    scene: &'s Scene<'s>,
    ranges: Vec<(u128, u128)>,
    pod_prefixes: [Record; 2],
    /// Who has most ranges, and how many.
    largest: (usize, Key),
}

impl<'s> Intervals<'s> {
    /// Begins with the prefixes that pods have their addresses from, on whatever node.
    pub(super) fn new(scene: &'s Scene<'s>) -> Self {
        let nobody = Key { kind: Kind::Node, name: scene.node.to_owned() };
        let mut intervals = Self {
            scene,
            ranges: Vec::new(),
            pod_prefixes: [Record::default(); 2],
            largest: (0, nobody.clone()),
        };
        let nodes = scene.world.nodes.values();
        let prefixes: Vec<Prefix> = nodes.flat_map(|node| &node.pod_prefixes).copied().collect();
        intervals.pod_prefixes =
            Family::ALL.map(|family| intervals.add(&prefixes, family, &nobody));
        intervals
    }

    pub(super) fn pod_prefixes(&self, family: Family) -> Record {
        self.pod_prefixes[family as usize]
    }

    /// Who may use a service's load balancers.
    ///
    /// A node may have their addresses itself, so that its own connections have them as source
    /// (kube-proxy's `allowFromNode`): they may use them if the node may.
    pub(super) fn sources(&mut self, service: &Service, family: Family) -> Record {
        let mut prefixes = service.source_ranges.clone();
        let own = self.scene.world.nodes.get(self.scene.node);
        let own = own.into_iter().flat_map(|node| &node.addresses);
        let is_admitted = |address: &IpAddr| prefixes.iter().any(|it| it.contains(*address));
        if own.filter(|it| Family::of(**it) == family).any(is_admitted) {
            let frontends = service.frontends.iter();
            let balancers = frontends.filter(|it| it.kind == FrontendKind::LoadBalancer);
            prefixes.extend(balancers.map(|it| Prefix::host(it.address)));
        }
        self.add(&prefixes, family, &Key { kind: Kind::Service, name: service.name.clone() })
    }

    pub(super) fn write(&self, image: &mut Image) -> Result<(), Vec<Refusal>> {
        let room = room(self.scene.limits);
        within("intervals", self.ranges.len(), room, || self.largest.1.clone())?;
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let words = [first, last].map(|it| [(it >> 64) as u64, *it as u64]);
            for (word, value) in words.into_iter().flatten().enumerate() {
                image.set_word(Table::Intervals, index * INTERVAL_WORDS as usize + word, value);
            }
        }
        Ok(())
    }

    fn add(&mut self, prefixes: &[Prefix], family: Family, owner: &Key) -> Record {
        let ranges = Ranges::of_prefixes(prefixes, family);
        let (start, count) = (self.ranges.len(), ranges.as_slice().len());
        self.ranges.extend(ranges.as_slice());
        if count > self.largest.0 {
            self.largest = (count, owner.clone());
        }
        Record::new(start as u32, count as u32)
    }
}

/// How many ranges the table has room for.
pub(super) fn room(limits: &Limits) -> usize {
    (limits.words(Table::Intervals) / INTERVAL_WORDS as usize).min(Record::MAX as usize)
}
