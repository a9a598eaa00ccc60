//! What a service offers: records with the slots that each audience gets.

use std::collections::BTreeMap;

use abi::{
    record::{Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::{List, Role, Share},
    intervals::Intervals,
    nearness::{Location, is_usable},
    ranges::Family,
    service_ids::Known,
    services::Variant,
    slots::{Slots, Turn},
};
use crate::{
    draft::Draft,
    model::{Backend, Service, Topology},
};

/// The lists of a variant that some audience uses and that are not empty. Equal lists are one.
#[derive(Debug)]
pub(super) struct Offer {
    family: Family,
    /// Under which number each of them has its slots.
    lists: BTreeMap<List, u32>,
    /// There is a backend somewhere that can be used.
    any: bool,
}

impl Offer {
    /// Chooses the backends of each list that somebody uses, and asks for their slots.
    pub(super) fn new(
        variant: &Variant<'_>,
        location: &Location<'_>,
        known: &Known,
        slots: &mut Slots,
    ) -> Self {
        let Variant { service, family, backends, roles, .. } = variant;
        let used = |list| {
            roles
                .iter()
                .any(|role| role.shares(service).all().iter().any(|share| share.list == list))
        };
        let mut offer = Self {
            family: *family,
            lists: BTreeMap::new(),
            any: backends.iter().any(|backend| is_usable(backend)),
        };
        let Some(first) = known.first(*family) else { return offer };
        let mut dealt: Option<(Vec<(&Backend, u32)>, u32)> = None;
        for list in List::ALL.into_iter().filter(|list| used(*list)) {
            let weighted = match list {
                List::Cluster => {
                    let backends = location.cluster(backends, &service.topology, variant.hinted);
                    location.weighted(backends, &service.topology)
                }
                List::Local => location.weighted(location.local(backends), &Topology::default()),
            };
            if weighted.is_empty() {
                continue;
            }
            let number = match &dealt {
                Some((other, number)) if *other == weighted => *number,
                _ => {
                    let number = first << 1 | list as u32;
                    slots.ask(number, turns(&weighted, known));
                    number
                }
            };
            offer.lists.insert(list, number);
            dealt.get_or_insert((weighted, number));
        }
        offer
    }

    /// The numbers of its lists.
    pub(super) fn lists(&self) -> impl Iterator<Item = u32> {
        self.lists.values().copied()
    }

    /// Writes the records of a service in this family.
    pub(super) fn write(
        &self,
        service: &Service,
        known: &Known,
        slots: &Slots,
        intervals: &Intervals,
        draft: &mut Draft,
    ) {
        for ((family, role), id) in &known.records {
            if *family != self.family {
                continue;
            }
            let shares = role.shares(service);
            let range = |share| self.range(share, slots);
            let mut record = ServiceRecord {
                pods: range(shares.pods),
                node: range(shares.node),
                outside: range(shares.outside),
                pod_prefixes: intervals.pod_prefixes(*family),
                ..ServiceRecord::default()
            };
            if *role == Role::Guarded {
                record.flags = ServiceRecord::GUARDED;
                record.sources = intervals.sources(&service.name, *family);
            }
            draft.set_record(Table::Services, *id, &record);
        }
    }

    /// The word of one audience. The cluster list is empty with usable backends only where topology
    /// keys or scopes are exhausted, which is refused like having none.
    fn range(&self, Share { list, snat }: Share, slots: &Slots) -> Range {
        let place = self.lists.get(&list).and_then(|number| slots.get(*number));
        match (place, list) {
            (Some((start, size)), _) if snat => Range::slots(start, size).with_snat(),
            (Some((start, size)), _) => Range::slots(start, size),
            (None, List::Local) if self.any => Range::DROP,
            (None, _) => Range::REJECT,
        }
    }
}

fn turns(weighted: &[(&Backend, u32)], known: &Known) -> Vec<Turn> {
    let turn = |(backend, weight): &(&Backend, u32)| {
        let id = known.backend(backend.address)?;
        Some(Turn { address: backend.address, weight: *weight, id })
    };
    weighted.iter().filter_map(turn).collect()
}
