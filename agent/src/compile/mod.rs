//! The compiler: from the resources that a node holds to what its tables should hold.
//!
//! Pure but for the [`Ids`] it remembers: the same ids and world give the same [`Image`]. The
//! steps, one file each:
//!
//! - [`conflicts`] refuses what contradicts itself;
//! - [`sets`] finds the policies that judge local endpoints, [`classes`] cuts the address spaces
//!   by the sets that these name, [`tiers`] and [`ports`] decide what each class may do, [`rows`]
//!   writes it down;
//! - [`services`] numbers services and backends, [`nearness`] picks the backends, [`maglev`]
//!   deals the slots and [`slots`] places them;
//! - [`marks`], [`addresses4`] and [`addresses6`] write what every address is;
//! - [`epochs`] decides which live flows have to be looked at again.

mod addresses4;
mod addresses6;
mod classes;
mod conflicts;
mod digest;
mod epochs;
mod explain;
mod ids;
mod limits;
mod maglev;
mod marks;
mod nearness;
mod ports;
mod ranges;
mod rows;
mod services;
mod sets;
mod slots;
mod tiers;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use self::{
    classes::Classes,
    digest::Digest,
    ids::{Exhausted, QUARANTINE},
    limits::within,
    ranges::Family,
    rows::{EndpointRows, Rows},
    sets::Selection,
};
pub use self::{
    explain::{Connection, Decision, explain},
    ids::Ids,
    limits::Limits,
    tiers::Direction,
};
use crate::{
    image::{Image, Port},
    model::{AddressSet, Key, Kind, Workload, World},
    refusal::Refusal,
    store::Compile,
};

/// Compiles for one node, with numbers that stay the same from one image to the next.
#[derive(Debug, Clone)]
pub struct Compiler {
    node: String,
    limits: Limits,
    ids: Ids,
}

impl Compiler {
    /// `node` is the name of the node that the tables belong to.
    pub fn new(node: String, limits: Limits) -> Self {
        Self { node, limits, ids: Ids::default() }
    }

    /// Compiles everything anew. On refusal the ids are unchanged.
    ///
    /// The store has checked that names lead somewhere: an unknown set is an empty one here.
    pub fn compile(&mut self, world: &World) -> Result<Image, Vec<Refusal>> {
        conflicts::check(world, &self.node)?;
        let mut ids = self.ids.clone();
        ids.compilations += 1;
        let image =
            Compilation { node: &self.node, limits: &self.limits, world }.image(&mut ids)?;
        self.ids = ids;
        Ok(image)
    }

    /// What has to be kept for the numbers to survive a restart.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Goes on where another compiler left off.
    pub fn restore(&mut self, ids: Ids) {
        self.ids = ids;
    }

    /// For tables adopted without their ids: new ids avoid every id that the image uses, and
    /// epochs start above its epochs.
    pub fn start_after(&mut self, adopted: &Image) {
        self.ids.start_after(adopted);
    }
}

impl Compile for Compiler {
    fn compile(&mut self, world: &World) -> Result<Image, Vec<Refusal>> {
        Self::compile(self, world)
    }

    fn memory(&self) -> Vec<u8> {
        serde_json::to_vec(&self.ids).unwrap_or_else(|error| {
            tracing::error!(%error, "the compiler's ids cannot be saved");
            Vec::new()
        })
    }

    fn recall(&mut self, memory: &[u8]) -> bool {
        match serde_json::from_slice(memory) {
            Ok(ids) => self.restore(ids),
            Err(error) => {
                tracing::warn!(%error, "the saved ids cannot be read");
                return false;
            }
        }
        true
    }

    fn adopt(&mut self, tables: &Image) {
        self.start_after(tables);
    }
}

/// One run over one world.
struct Compilation<'c> {
    node: &'c str,
    limits: &'c Limits,
    world: &'c World,
}

impl Compilation<'_> {
    fn image(&self, ids: &mut Ids) -> Result<Image, Vec<Refusal>> {
        let mut image = Image::default();
        let local: Vec<&Workload> =
            self.world.workloads.values().filter(|it| it.node == self.node).collect();
        self.write_ports(&mut image, &local, ids)?;

        let selection = Selection::new(self.world, &local);
        let classes = Classes::new(&selection.ranges);
        let rows = rows::write(&mut image, self.limits, &selection, &classes)?;
        let serving = services::write(&mut image, self.limits, self.world, self.node, ids)?;
        self.write_addresses(&mut image, &selection, &classes, ids)?;

        let policies = policies(&selection, &rows, &local, ids);
        let addresses = digest::addresses(&self.owners(&local, ids));
        ids.epochs.advance(policies, addresses, serving);
        let rows = local
            .iter()
            .map(|it| (ids.endpoint(&it.name), rows[selection.profile_of[it.name.as_str()]]))
            .collect();
        ids.epochs.write(&mut image, &rows);
        Ok(image)
    }

    fn write_ports(
        &self,
        image: &mut Image,
        local: &[&Workload],
        ids: &mut Ids,
    ) -> Result<(), Vec<Refusal>> {
        let wanted = local.iter().map(|workload| workload.name.clone()).collect();
        let room = self.limits.endpoint_ids();
        let now = ids.compilations;
        if let Err(Exhausted { key, needed }) = ids.endpoints.assign(wanted, room, now, QUARANTINE)
        {
            // Where quarantined ids are missing, what is needed is below the limit.
            within("endpoints", needed.max(room as usize + 1), room as usize, || Key {
                kind: Kind::Workload,
                name: key,
            })?;
        }
        for workload in local {
            let port =
                Port { workload: workload.name.clone(), interface: workload.interface.clone() };
            image.ports.insert(ids.endpoint(&workload.name), port);
        }
        Ok(())
    }

    fn write_addresses(
        &self,
        image: &mut Image,
        selection: &Selection<'_>,
        classes: &Classes,
        ids: &mut Ids,
    ) -> Result<(), Vec<Refusal>> {
        let marks = marks::of(self.world, self.node, ids);
        let sets = || selection.names.iter().filter_map(|name| self.world.address_sets.get(*name));
        let blamed = || self.largest(sets());

        let (room, now) = (self.limits.chunks(), ids.compilations);
        let segments = classes.segments(Family::V4);
        addresses4::write(image, segments, &marks, &mut ids.chunks, room, now).or_else(
            |Exhausted { needed, .. }| within("IPv4 address chunks", needed, room as usize, blamed),
        )?;
        addresses6::write(image, classes.segments(Family::V6), sets(), &marks);
        let (exact, prefixes) = (image.addresses6.len(), image.prefixes6.len());
        within("IPv6 addresses", exact, self.limits.addresses6 as usize, blamed)?;
        within("IPv6 prefixes", prefixes, self.limits.prefixes6 as usize, blamed)
    }

    /// The address set with most prefixes; without any, whatever else has addresses.
    fn largest<'w>(&self, sets: impl Iterator<Item = &'w AddressSet>) -> Key {
        let size = |set: &&AddressSet| set.prefixes.len() + set.except.len();
        let set = sets.max_by_key(size).map(|set| (Kind::AddressSet, &set.name));
        let workload = || self.world.workloads.keys().next().map(|name| (Kind::Workload, name));
        let service = || self.world.services.keys().next().map(|name| (Kind::Service, name));
        let (kind, name) = set
            .or_else(workload)
            .or_else(service)
            .map_or((Kind::Node, ""), |(kind, name)| (kind, name));
        Key { kind, name: name.to_owned() }
    }

    /// The endpoint of each local address; 0 for this node's own.
    fn owners(&self, local: &[&Workload], ids: &Ids) -> BTreeSet<(IpAddr, u16)> {
        let own = self.world.nodes.get(self.node).into_iter().flat_map(|node| &node.addresses);
        let workloads = local.iter().flat_map(|workload| {
            workload.addresses.iter().map(|address| (*address, ids.endpoint(&workload.name)))
        });
        own.map(|address| (*address, 0)).chain(workloads).collect()
    }
}

/// What judges each local endpoint, by its id.
fn policies(
    selection: &Selection<'_>,
    rows: &Rows,
    local: &[&Workload],
    ids: &Ids,
) -> BTreeMap<u16, Digest> {
    let digests = digest::profiles(selection);
    local
        .iter()
        .map(|workload| {
            let profile = selection.profile_of[workload.name.as_str()];
            let restricted = rows[profile] != EndpointRows::UNRESTRICTED;
            let digest = if restricted { digests[profile] } else { Digest::UNRESTRICTED };
            (ids.endpoint(&workload.name), digest)
        })
        .collect()
}
