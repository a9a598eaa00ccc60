//! What a service offers: records with the slots that each audience gets.

use std::{collections::BTreeMap, net::SocketAddr};

use abi::{
    record::{Backend as BackendRecord, Range, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::{List, Role, Share},
    intervals::Intervals,
    maglev::Need,
    nearness::{Location, is_usable},
    ranges::Family,
    service_ids::Known,
    services::Variant,
    settings::{FromOutside, Settings},
    slots::{Slots, Turn},
};
use crate::{
    draft::Draft,
    model::{Service, Topology},
};

/// Backends as slots are dealt to them.
#[derive(PartialEq, Eq)]
struct Weighted {
    backends: Vec<(SocketAddr, u32)>,
    need: Need,
}

/// What clients may be remembered to have, by backend id: the service's number, and marks for the
/// lists that the backend is in.
pub(super) type Eligible = BTreeMap<u32, (u32, u16)>;

/// What the records of services are written from.
pub(super) struct Means<'m> {
    pub settings: &'m Settings,
    pub slots: &'m Slots,
    pub intervals: &'m Intervals,
}

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
    /// Chooses the backends of each list that somebody uses, and asks for their slots. Adds those
    /// that clients may be remembered to have.
    pub(super) fn new(
        variant: &Variant<'_>,
        location: &Location<'_>,
        known: &Known,
        slots: &mut Slots,
        eligible: &mut Eligible,
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
        let affinity = service.affinity.and(known.affinity(*family));
        let mut dealt: Option<(Weighted, u32)> = None;
        for list in List::ALL.into_iter().filter(|list| used(*list)) {
            let weighted = weigh(variant, location, list);
            if weighted.backends.is_empty() {
                continue;
            }
            let number = match &dealt {
                Some((other, number)) if *other == weighted => *number,
                _ => {
                    let number = first << 1 | u32::from(list == List::Local);
                    let turns = turns(&weighted.backends, known);
                    if let Some(service) = affinity {
                        for turn in &turns {
                            let (_, marks) = eligible.entry(turn.id).or_insert((service, 0));
                            *marks |= mark(number);
                        }
                    }
                    slots.ask(number, turns, weighted.need);
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
        means: &Means<'_>,
        draft: &mut Draft,
    ) {
        let Means { settings, slots, intervals } = means;
        let affinity = service.affinity.zip(known.affinity(self.family));
        for ((family, role), id) in &known.records {
            if *family != self.family {
                continue;
            }
            let shares = role.shares(service);
            let range = |share| self.range(share, slots);
            let refused =
                *role == Role::Cluster && settings.cluster_from_outside == FromOutside::Refuse;
            let mut record = ServiceRecord {
                pods: range(shares.pods),
                node: range(shares.node),
                outside: if refused { Range::DROP } else { range(shares.outside) },
                pod_prefixes: intervals.pod_prefixes(*family),
                ..ServiceRecord::default()
            };
            if *role == Role::Guarded {
                record.flags |= ServiceRecord::GUARDED;
                record.sources = intervals.sources(&service.name, *family);
            }
            if let Some((affinity, number)) = affinity {
                (record.affinity, record.affinity_timeout) = (number, affinity.timeout);
            }
            if role.is_tunnelled(service) {
                record.flags |= ServiceRecord::TUNNEL;
            }
            draft.set_record(Table::Services, *id, &record);
        }
    }

    /// The word of one audience. The cluster list is empty with usable backends only where topology
    /// keys or scopes are exhausted, which is refused like having none.
    fn range(&self, Share { list, snat }: Share, slots: &Slots) -> Range {
        let place = self.lists.get(&list).and_then(|it| Some((*it, slots.get(*it)?)));
        let range = match (place, list) {
            (Some((number, (start, size))), _) => {
                let range = Range::slots(start, size);
                if mark(number) == BackendRecord::LOCAL { range.of_local() } else { range }
            }
            (None, List::Local) if self.any => return Range::DROP,
            (None, _) => return Range::REJECT,
        };
        if snat { range.with_snat() } else { range }
    }
}

/// The backends of a list, each as often as it is to be chosen.
fn weigh(variant: &Variant<'_>, location: &Location<'_>, list: List) -> Weighted {
    let Variant { service, backends, hinted, .. } = variant;
    let everywhere = Topology::default();
    let (chosen, topology) = match list {
        List::Cluster => {
            (location.cluster(backends, &service.topology, *hinted), &service.topology)
        }
        List::Local => (location.local(backends), &everywhere),
    };
    let ready = chosen.len();
    let weighted = location.weighted(chosen, topology);
    let backends: Vec<_> =
        weighted.iter().map(|(backend, weight)| (backend.address, *weight)).collect();
    let need = if matches!(topology, Topology::Spill(_)) {
        Need::of_zones(ready, backends.len())
    } else {
        Need::of_weights(&backends)
    };
    Weighted { backends, need }
}

/// How backends are marked that have slots under a number.
fn mark(number: u32) -> u16 {
    if number & 1 == 0 { BackendRecord::CLUSTER } else { BackendRecord::LOCAL }
}

fn turns(backends: &[(SocketAddr, u32)], known: &Known) -> Vec<Turn> {
    let turn = |(address, weight): &(SocketAddr, u32)| {
        let id = known.backend(*address)?;
        Some(Turn { address: *address, weight: *weight, id })
    };
    backends.iter().filter_map(turn).collect()
}
