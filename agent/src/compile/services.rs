//! Services: who they are, their frontends and their backends, kept up to date change by change.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::{
    record::{Backend as BackendRecord, Service as ServiceRecord},
    table::Table,
};

use super::{
    audience::Role,
    frontends::{Frontends, Place},
    intervals::{Intervals, is_guarded},
    judging::Names,
    limits::{Limits, within},
    nearness::Location,
    next_hops::NextHops,
    offers::{Eligible, Means, Offer},
    ranges::Family,
    service_ids::{Known, Pool, Rooms, ServiceIds, Wanted},
    settings::Settings,
    slots::{Misfit, Slots},
    tunnels::Tunnels,
};
use crate::{
    draft::Draft,
    few::{self, Few},
    image::octets,
    model::{Backend, Hints, Key, Kind, Service, Topology, World},
    refusal::Refusal,
};

/// What is remembered of the services that are written.
#[derive(Debug, Default)]
pub(super) struct Services {
    written: BTreeMap<String, Written>,
    /// Services by backend set.
    users: BTreeMap<String, Few<String>>,
    frontends: Frontends,
    tunnels: Tunnels,
    next_hops: NextHops,
    slots: Slots,
    intervals: Intervals,
}

#[derive(Debug)]
struct Written {
    backend_set: String,
    guarded: bool,
    offers: Vec<Offer>,
}

/// A service in one address family: frontends reach only backends of their own.
pub(super) struct Variant<'w> {
    pub service: &'w Service,
    pub family: Family,
    /// The roles of its frontends; at least one.
    pub roles: BTreeSet<Role>,
    pub backends: Vec<&'w Backend>,
    /// Some backend, of whatever family, has hints.
    pub hinted: bool,
}

/// What services are compiled for.
pub(super) struct Scene<'s> {
    pub limits: &'s Limits,
    pub settings: &'s Settings,
    pub world: &'s World,
    pub node: &'s str,
    /// The compilation, as the clock of quarantines.
    pub now: u64,
}

impl<'s> Scene<'s> {
    fn place(&self) -> Place<'s> {
        Place { world: self.world, node: self.node, settings: self.settings }
    }
}

/// What is not as it was.
pub(super) struct Changed<'c> {
    pub services: Names<'c>,
    pub backend_sets: Names<'c>,
    pub nodes: Names<'c>,
    /// The addresses that the kernel delivers on this node, where they may be others.
    pub here: Option<BTreeSet<IpAddr>>,
    /// Numbers are known, but nothing is written.
    pub blank: bool,
}

impl Services {
    /// Follows a change; says whether some live flow may not stay on its backend.
    ///
    /// A refusal without a reason: what does not fit by changes fits anew.
    pub(super) fn update(
        &mut self,
        scene: &Scene<'_>,
        changed: Changed<'_>,
        ids: &mut ServiceIds,
        draft: &mut Draft,
    ) -> Result<bool, Vec<Refusal>> {
        let touched = self.touched(scene, &changed, ids);
        let moved = !changed.nodes.is_empty();
        let place = scene.place();
        if let Some(here) = changed.here {
            self.next_hops.set_here(here);
        }
        if changed.blank {
            self.next_hops.touch(ids.next_hops.keys().copied());
        }
        let location = Location::new(scene.node, &scene.world.nodes);
        let (mut lost, mut guarded) = (false, moved);
        for name in &touched {
            let before = self.forget(name);
            let variants = scene.world.services.get(name).map(|it| variants(place, it));
            let variants = variants.unwrap_or_default();
            lost |= self.number(scene, name, &variants, ids, draft)?;
            guarded |= before.as_ref().is_some_and(|it| it.guarded);
            let nothing = Known::default();
            let known = ids.get(name).unwrap_or(&nothing);
            let service = scene.world.services.get(name).map(|service| (service, known));
            self.frontends.update(place, name, service, draft);
            self.tunnels.update(name, &variants, known, &self.next_hops, draft);

            let (slots, mut eligible) = (&mut self.slots, Eligible::new());
            let offers: Vec<_> = variants
                .iter()
                .map(|it| Offer::new(it, &location, known, slots, &mut eligible))
                .collect();
            self.write_backends(&variants, known, &eligible, ids, draft);
            let lists: BTreeSet<u32> = offers.iter().flat_map(Offer::lists).collect();
            let had = before.iter().flat_map(|it| &it.offers).flat_map(Offer::lists);
            for list in had.filter(|list| !lists.contains(list)) {
                self.slots.give_up(list, draft);
            }
            if let Some((service, _)) = service {
                guarded |= is_guarded(service);
                self.remember(service, offers);
            }
        }
        self.finish(scene, &touched, guarded || changed.blank, ids, draft)?;
        Ok(lost)
    }

    /// How many slots are taken.
    pub(super) fn slots(&self) -> usize {
        self.slots.taken()
    }

    /// How many intervals there are.
    pub(super) fn intervals(&self) -> usize {
        self.intervals.len()
    }

    /// The services that may not be what they were.
    fn touched(
        &self,
        scene: &Scene<'_>,
        changed: &Changed<'_>,
        ids: &ServiceIds,
    ) -> BTreeSet<String> {
        let mut touched: BTreeSet<String> =
            changed.services.iter().map(|name| (*name).to_owned()).collect();
        let sets = changed.backend_sets.iter();
        touched.extend(sets.filter_map(|name| self.users.get(*name)).flatten().cloned());
        let own = changed.nodes.contains(scene.node);
        if !changed.nodes.is_empty() {
            let services = scene.world.services.values();
            let far = services.filter(|service| own || depends_on_nodes(service));
            touched.extend(far.map(|service| service.name.clone()));
        }
        if changed.here.is_some() {
            touched.extend(self.tunnels.services().cloned());
        }
        if changed.blank {
            touched.extend(ids.known.keys().cloned());
        }
        touched
    }

    /// Numbers what a service consists of, and clears what it has no longer. Says whether some live
    /// flow may not stay on its backend.
    fn number(
        &mut self,
        scene: &Scene<'_>,
        name: &str,
        variants: &[Variant<'_>],
        ids: &mut ServiceIds,
        draft: &mut Draft,
    ) -> Result<bool, Vec<Refusal>> {
        let gone = ids
            .assign(name, &wanted(variants), rooms(scene.limits), scene.now)
            .map_err(|pool| exhausted(scene, pool, name))?;
        for id in gone.records {
            draft.set_record(Table::Services, id, &ServiceRecord::default());
        }
        for backend in gone.backends {
            draft.set_record(Table::Backends, backend.id, &BackendRecord::default());
            self.next_hops.leave(backend.address.ip(), backend.id);
        }
        Ok(gone.lost)
    }

    fn write_backends(
        &mut self,
        variants: &[Variant<'_>],
        known: &Known,
        eligible: &Eligible,
        ids: &ServiceIds,
        draft: &mut Draft,
    ) {
        for backend in &known.backends {
            let address = backend.address.ip();
            let family = Family::of(address);
            if !variants.iter().any(|variant| variant.family == family) {
                continue;
            }
            let (affinity, marks) = eligible.get(&backend.id).copied().unwrap_or_default();
            let record = BackendRecord {
                address: octets(address),
                port: backend.address.port().to_be_bytes(),
                flags: if backend.serving { marks | BackendRecord::SERVING } else { marks },
                next_hop: ids.next_hop(address).unwrap_or(0),
                affinity,
                service: known.first(family).unwrap_or(0),
                ..BackendRecord::default()
            };
            draft.set_record(Table::Backends, backend.id, &record);
            self.next_hops.join(address, backend.id);
        }
    }

    fn forget(&mut self, name: &str) -> Option<Written> {
        let before = self.written.remove(name)?;
        few::remove(&mut self.users, &before.backend_set, name);
        Some(before)
    }

    fn remember(&mut self, service: &Service, offers: Vec<Offer>) {
        let (name, backend_set) = (service.name.clone(), service.backend_set.clone());
        few::insert(&mut self.users, backend_set.clone(), name.clone());
        self.written.insert(name, Written { backend_set, guarded: is_guarded(service), offers });
    }

    /// Writes what services share, and then their records.
    fn finish(
        &mut self,
        scene: &Scene<'_>,
        touched: &BTreeSet<String>,
        guarded: bool,
        ids: &mut ServiceIds,
        draft: &mut Draft,
    ) -> Result<(), Vec<Refusal>> {
        let Scene { limits, settings, world, .. } = *scene;
        self.next_hops.write(ids, rooms(limits), scene.now, draft).or_else(|full| {
            let room = limits.next_hops as usize;
            within("next hops", full.needed.max(room + 1), room, || at(world, full.address))
        })?;
        let frontends = draft.image().frontends.len();
        within("frontends", frontends, limits.frontends as usize, || most_frontends(world))?;
        self.slots.write(limits, draft).or_else(|misfit| match misfit {
            Misfit::Scattered => Err(Vec::new()),
            Misfit::Full { needed, room } => within("slots", needed, room, || largest_set(world)),
        })?;
        let mut all = false;
        if guarded {
            let intervals = Intervals::lay_out(scene)?;
            intervals.write(&self.intervals, draft);
            let prefixes = |of: &Intervals| Family::ALL.map(|family| of.pod_prefixes(family));
            all = prefixes(&intervals) != prefixes(&self.intervals);
            self.intervals = intervals;
        }
        let others = self.written.iter().filter(|(_, it)| all || (guarded && it.guarded));
        let others = if all || guarded { Some(others) } else { None };
        let means = Means { settings, slots: &self.slots, intervals: &self.intervals };
        for name in touched.iter().chain(others.into_iter().flatten().map(|(name, _)| name)) {
            let written = self.written.get(name).map_or(&[][..], |it| &it.offers);
            if let (Some(service), Some(known)) = (world.services.get(name), ids.get(name)) {
                for offer in written {
                    offer.write(service, known, &means, draft);
                }
            }
        }
        Ok(())
    }
}

/// Whether which backends are preferred follows from what is known of nodes other than this one.
fn depends_on_nodes(service: &Service) -> bool {
    !matches!(service.topology, Topology::Hints(None))
}

/// What a service is on a node, whose own host ports alone are there.
pub(super) fn variants<'w>(place: Place<'w>, service: &'w Service) -> Vec<Variant<'w>> {
    let Place { world, node, .. } = place;
    let set = world.backend_sets.get(&service.backend_set);
    let all = || set.into_iter().flat_map(|set| &set.backends);
    let hinted = all().any(|backend| backend.hints != Hints::default());
    let mut variants = Vec::new();
    for family in Family::ALL {
        let frontends = service.frontends.iter().filter(|it| service.is_on(node, it));
        let frontends = frontends.filter(|it| Family::of(it.address) == family);
        let roles: BTreeSet<Role> = frontends.map(|it| Role::of(it, service)).collect();
        if !roles.is_empty() {
            let backends = all().filter(|it| Family::of(it.address.ip()) == family).collect();
            variants.push(Variant { service, family, roles, backends, hinted });
        }
    }
    variants
}

fn wanted(variants: &[Variant<'_>]) -> Wanted {
    let mut wanted = Wanted::default();
    for variant in variants {
        wanted.records.extend(variant.roles.iter().map(|role| (variant.family, *role)));
        for backend in &variant.backends {
            let serving = backend.serving || backend.ready;
            *wanted.backends.entry(backend.address).or_default() |= serving;
        }
    }
    wanted
}

fn rooms(limits: &Limits) -> Rooms {
    Rooms {
        services: limits.service_ids(),
        backends: limits.records(Table::Backends),
        next_hops: limits.next_hops,
    }
}

/// There is no number left for something of a service.
fn exhausted(scene: &Scene<'_>, pool: Pool, name: &str) -> Vec<Refusal> {
    let rooms = rooms(scene.limits);
    let all = || scene.world.services.values().map(|it| wanted(&variants(scene.place(), it)));
    let (limit, needed, room) = match pool {
        Pool::Services => {
            ("services", all().map(|it| it.records.len()).sum::<usize>(), rooms.services)
        }
        _ => ("backends", all().map(|it| it.backends.len()).sum(), rooms.backends),
    };
    // Where quarantined ids are missing, what is needed is below the limit.
    let blamed = || match pool {
        Pool::Services => Key { kind: Kind::Service, name: name.to_owned() },
        _ => backend_set(scene.world.services.get(name)),
    };
    let room = room as usize;
    within(limit, needed.max(room + 1), room, blamed).err().unwrap_or_default()
}

fn backend_set(service: Option<&Service>) -> Key {
    let name = service.map(|service| service.backend_set.clone());
    Key { kind: Kind::BackendSet, name: name.unwrap_or_default() }
}

/// A backend set with an address.
fn at(world: &World, address: IpAddr) -> Key {
    let has = |service: &&Service| {
        let set = world.backend_sets.get(&service.backend_set);
        set.is_some_and(|set| set.backends.iter().any(|it| it.address.ip() == address))
    };
    backend_set(world.services.values().find(has))
}

fn most_frontends(world: &World) -> Key {
    let largest = world.services.values().max_by_key(|service| service.frontends.len());
    Key { kind: Kind::Service, name: largest.map_or_else(String::new, |it| it.name.clone()) }
}

fn largest_set(world: &World) -> Key {
    let size = |service: &&Service| {
        world.backend_sets.get(&service.backend_set).map_or(0, |set| set.backends.len())
    };
    backend_set(world.services.values().max_by_key(size))
}
