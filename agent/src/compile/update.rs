//! One image after another: what changed in the world, and only that, goes through the steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::table::Table;

use super::{
    addresses4::{self, Addresses4, Split},
    addresses6::Prefixes6,
    conflicts, digest,
    frontends::Place,
    groups::Refreshed,
    ids::{Allocator, Exhausted, Ids},
    intervals,
    judging::{Judging, Names},
    limits::{Limits, within},
    marks::Marks,
    numbers::QUARANTINE,
    services::{self, Services},
    settings::Settings,
    subjects::Changed,
};
use crate::{
    draft::Draft,
    image::Port,
    model::{AddressSet, Key, Kind, World},
    refusal::Refusal,
    store::Usage,
};

/// What is remembered from one image to the next, and the image itself.
#[derive(Debug)]
pub(super) struct State {
    pub draft: Draft,
    /// Addresses of the local workloads.
    local: BTreeMap<String, Vec<IpAddr>>,
    judging: Judging,
    services: Services,
    marks: Marks,
    prefixes6: Prefixes6,
    /// Chunks of the IPv4 address table, numbered from 1.
    chunks: Allocator<Split>,
    /// The first image is still to come: all of every table is to be written.
    blank: bool,
}

impl Default for State {
    fn default() -> Self {
        let mut draft = Draft::default();
        Self {
            local: BTreeMap::new(),
            judging: Judging::new(&mut draft),
            services: Services::default(),
            marks: Marks::default(),
            prefixes6: Prefixes6::default(),
            chunks: Allocator::default(),
            blank: true,
            draft,
        }
    }
}

impl State {
    /// How much of each limit the image takes.
    pub(super) fn usage(&self, limits: &Limits, ids: &Ids) -> Vec<Usage> {
        let image = self.draft.image();
        let known = || ids.services.known.values();
        let records = known().map(|it| it.records.len()).sum();
        let backends = known().map(|it| it.backends.len()).sum();
        let usage = |limit, used, room| Usage { limit, used, room };
        let mut usages = vec![
            usage("endpoints", self.local.len(), limits.endpoint_ids() as usize),
            usage("IPv4 address chunks", self.chunks.len(), limits.chunks() as usize),
            usage("IPv6 addresses", image.addresses6.len(), limits.addresses6 as usize),
            usage("IPv6 prefixes", image.prefixes6.len(), limits.prefixes6 as usize),
            usage("services", records, limits.service_ids() as usize),
            usage("frontends", image.frontends.len(), limits.frontends as usize),
            usage("backends", backends, limits.records(Table::Backends) as usize),
            usage("slots", self.services.slots(), limits.words(Table::Slots) * 2),
            usage("intervals", self.services.intervals(), intervals::room(limits)),
            usage("next hops", ids.services.next_hops.len(), limits.next_hops as usize),
        ];
        usages.extend(self.judging.usage(limits));
        usages
    }
}

/// One step from a world to the next.
pub(super) struct Update<'u> {
    pub node: &'u str,
    pub limits: &'u Limits,
    pub settings: &'u Settings,
    pub world: &'u World,
    /// All resources that are not what they were.
    pub changed: &'u BTreeSet<Key>,
}

impl Update<'_> {
    /// On refusal, neither `state` nor `ids` can be used any further.
    pub(super) fn run(&self, state: &mut State, ids: &mut Ids) -> Result<(), Vec<Refusal>> {
        let names = |kind: Kind| {
            let keys = self.changed.iter().filter(move |key| key.kind == kind);
            keys.map(|key| key.name.as_str()).collect::<Names<'_>>()
        };
        let workloads = self.follow_workloads(state, names(Kind::Workload));
        let moved = state.blank || !workloads.is_empty();
        if moved {
            conflicts::check(&state.local)?;
            self.write_ports(state, ids)?;
        }

        let State { judging, draft, local, .. } = &mut *state;
        let (policies, sets) = (names(Kind::Policy), names(Kind::AddressSet));
        let changed = Changed { policies: &policies, sets: &sets, workloads: &workloads };
        let refreshed = judging.update(self.world, changed, local, self.limits, draft)?;

        let nodes = names(Kind::Node);
        let moved = moved || nodes.contains(self.node);
        let changed = services::Changed {
            services: names(Kind::Service),
            backend_sets: names(Kind::BackendSet),
            nodes,
            here: moved.then(|| self.addresses_here(state)),
            blank: state.blank,
        };
        let now = ids.local.compilations;
        let Self { limits, settings, world, node, .. } = *self;
        let scene = services::Scene { limits, settings, world, node, now };
        let State { services, draft, .. } = &mut *state;
        let lost = services.update(&scene, changed, &mut ids.services, draft)?;
        self.write_addresses(state, refreshed, &sets, ids)?;
        self.write_endpoints(state, lost, ids);
        state.blank = false;
        Ok(())
    }

    /// The workloads that are, or were, local, of those that changed.
    fn follow_workloads<'n>(&self, state: &mut State, changed: Names<'n>) -> Names<'n> {
        let follow = |name: &&str| {
            let workload = self.world.workloads.get(*name).filter(|it| it.node == self.node);
            let before = match workload {
                Some(it) => state.local.insert(it.name.clone(), it.addresses.clone()),
                None => state.local.remove(*name),
            };
            workload.is_some() || before.is_some()
        };
        changed.into_iter().filter(follow).collect()
    }

    fn write_ports(&self, state: &mut State, ids: &mut Ids) -> Result<(), Vec<Refusal>> {
        let wanted = state.local.keys().cloned().collect();
        let room = self.limits.endpoint_ids();
        let now = ids.local.compilations;
        if let Err(Exhausted { key, needed }) =
            ids.local.endpoints.assign(wanted, room, now, QUARANTINE)
        {
            // Where quarantined ids are missing, what is needed is below the limit.
            within("endpoints", needed.max(room as usize + 1), room as usize, || Key {
                kind: Kind::Workload,
                name: key,
            })?;
        }
        let local = state.local.keys().filter_map(|name| self.world.workloads.get(name));
        let ports = local.map(|workload| {
            let first = workload.addresses.first().copied();
            let port = Port {
                workload: workload.name.clone(),
                interface: workload.interface.clone(),
                address: first.filter(|_| workload.interface.is_empty()),
            };
            (ids.endpoint(&workload.name), port)
        });
        state.draft.set_ports(&ports.collect());
        Ok(())
    }

    /// Addresses that the kernel delivers on this node: no next hop leads there.
    fn addresses_here(&self, state: &State) -> BTreeSet<IpAddr> {
        state.local.values().flatten().chain(self.own_addresses()).copied().collect()
    }

    /// Of this node itself.
    fn own_addresses(&self) -> &[IpAddr] {
        self.world.nodes.get(self.node).map_or(&[], |node| &node.addresses)
    }

    fn write_addresses(
        &self,
        state: &mut State,
        refreshed: Refreshed,
        sets: &Names<'_>,
        ids: &mut Ids,
    ) -> Result<(), Vec<Refusal>> {
        let State { draft, judging, marks, prefixes6, chunks, blank, .. } = state;
        let Judging { classes, groups, .. } = judging;
        let place = Place { world: self.world, node: self.node, settings: self.settings };
        let marked = marks.update(place, self.changed.iter(), ids);
        let (mut spans, sets) = (BTreeSet::new(), sets.iter().copied());
        for set in refreshed.sets.iter().map(String::as_str).chain(sets) {
            prefixes6.update(self.world, set, groups.name(set), &mut spans);
        }
        let blamed = || self.largest(|name| groups.name(name));

        let [ranges4, ranges6] = &refreshed.ranges;
        let upper = |address: u128| (address as u32 >> 16) as u16;
        let mut uppers: BTreeSet<u16> = marked.iter().filter_map(|it| upper4(*it)).collect();
        for (first, last) in ranges4 {
            uppers.extend(upper(*first)..=upper(*last));
        }
        if *blank {
            uppers.extend(0..=u16::MAX);
        }
        let room = self.limits.chunks();
        Addresses4 { classes, marks }.write(&uppers, chunks, room, draft).or_else(
            |addresses4::Full { needed }| {
                within("IPv4 address chunks", needed, room as usize, blamed)
            },
        )?;
        let marked6 = marked.into_iter().filter_map(|address| match address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        prefixes6.write(classes, marks, spans, ranges6, marked6, draft);
        let (exact, prefixes) = (draft.image().addresses6.len(), draft.image().prefixes6.len());
        within("IPv6 addresses", exact, self.limits.addresses6 as usize, blamed)?;
        within("IPv6 prefixes", prefixes, self.limits.prefixes6 as usize, blamed)
    }

    fn write_endpoints(&self, state: &mut State, lost: bool, ids: &mut Ids) {
        let State { local, judging, draft, .. } = state;
        let (mut rows, mut policies) = (BTreeMap::new(), BTreeMap::new());
        for name in local.keys() {
            let (id, (row, digest)) = (ids.endpoint(name), judging.endpoint(name));
            rows.insert(id, row);
            policies.insert(id, digest);
        }
        let workloads = local.iter().flat_map(|(name, addresses)| {
            let id = ids.endpoint(name);
            addresses.iter().map(move |address| (*address, id))
        });
        let own = self.own_addresses().iter().map(|address| (*address, 0));
        let owners = own.chain(workloads).collect();
        ids.local.epochs.advance(policies, digest::addresses(&owners), lost);
        ids.local.epochs.write(draft, self.own_addresses(), &rows);
    }

    /// The address set in use with most prefixes; without any, whatever else has addresses.
    fn largest(&self, used: impl Fn(&str) -> bool) -> Key {
        let size = |set: &&AddressSet| set.prefixes.len() + set.except.len();
        let sets = self.world.address_sets.values().filter(|set| used(&set.name));
        let set = sets.max_by_key(size).map(|set| (Kind::AddressSet, &set.name));
        let workload = || self.world.workloads.keys().next().map(|name| (Kind::Workload, name));
        let service = || self.world.services.keys().next().map(|name| (Kind::Service, name));
        let (kind, name) = set
            .or_else(workload)
            .or_else(service)
            .map_or((Kind::Node, ""), |(kind, name)| (kind, name));
        Key { kind, name: name.to_owned() }
    }
}

/// The upper half of an IPv4 address.
fn upper4(address: IpAddr) -> Option<u16> {
    match address {
        IpAddr::V4(address) => Some((address.to_bits() >> 16) as u16),
        IpAddr::V6(_) => None,
    }
}
