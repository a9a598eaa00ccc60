//! The compiler: from the resources that a node holds to what its tables should hold.
//!
//! Pure but for what it remembers: the [`Ids`], without which numbers in tables and flows would
//! lose their meaning, and the results of every step, so that a change costs what follows from
//! it and not what the cluster weighs. [`update`] takes a change through the steps, one file
//! each:
//!
//! - [`conflicts`] refuses what contradicts itself;
//! - [`judging`] goes from policies to rows: [`sets`] are ranges of addresses, [`subjects`] says
//!   who is judged by what, [`groups`] are the peers that rules name, [`classes`] cut the address
//!   spaces by them, [`tiers`] and [`ports`] decide what each class may do, [`chains`] and
//!   [`rows`] write it down, with the help of [`port_sets`];
//! - [`services`] follows services and backends, [`service_ids`] numbers them, [`frontends`] leads
//!   to them, [`tunnels`] from other nodes to those here, and [`next_hops`] from them to the wire,
//!   [`audience`] knows who gets which list of backends, [`nearness`] makes the lists, [`spill`]
//!   weighs zones, [`maglev`] deals the slots, [`places`] finds room for them, [`slots`] writes
//!   them, and [`offers`] what each audience gets; [`intervals`] holds the ranges of addresses that
//!   services ask for, and [`settings`] is what an operator decides; [`recover`] reads the numbers
//!   from the tables of an earlier agent;
//! - [`offered`] says in words what services offer;
//! - [`marks`], [`addresses4`] and [`addresses6`] write what every address is;
//! - [`epochs`] decides which live flows have to be looked at again.

mod addresses4;
mod addresses6;
mod audience;
mod chains;
mod classes;
mod conflicts;
mod digest;
mod epochs;
mod explain;
mod frontends;
mod groups;
mod ids;
mod intervals;
mod judging;
mod limits;
mod maglev;
mod marks;
mod nearness;
mod next_hops;
mod numbers;
mod offered;
mod offers;
mod places;
mod port_sets;
mod ports;
mod ranges;
mod recover;
mod rows;
mod service_ids;
mod services;
mod sets;
mod settings;
mod slots;
mod spill;
mod subjects;
mod tiers;
mod tunnels;
mod update;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

pub use self::{
    explain::{Connection, Decision, explain},
    ids::Ids,
    limits::Limits,
    offered::{Answer, Audience, Fate, Offer, Offered, Why},
    settings::{FromOutside, Settings},
    tiers::Direction,
};
use self::{
    frontends::Place,
    ids::LocalIds,
    service_ids::ServiceIds,
    update::{State, Update},
};
use crate::{
    draft::Compiled,
    image::Image,
    model::{Key, World},
    refusal::Refusal,
    store::{Compile, Usage},
};

/// Compiles for one node, with numbers that stay the same from one image to the next.
#[derive(Debug)]
pub struct Compiler {
    node: String,
    limits: Limits,
    settings: Settings,
    ids: Ids,
    /// What the last image was made from, unless it came to nothing.
    state: Option<State>,
    /// The workloads' ids of the image before, while the last one is not known to be committed.
    before: Option<LocalIds>,
}

impl Compiler {
    /// `node` is the name of the node that the tables belong to.
    pub fn new(node: String, limits: Limits) -> Self {
        Self {
            node,
            limits,
            settings: Settings::default(),
            ids: Ids::default(),
            state: None,
            before: None,
        }
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Compiles everything anew. On refusal the ids are unchanged.
    ///
    /// The store has checked that names lead somewhere: an unknown set is an empty one here.
    pub fn compile(&mut self, world: &World) -> Result<Image, Vec<Refusal>> {
        self.state = None;
        let before = self.ids.local.clone();
        match self.anew(world) {
            Ok(state) => {
                self.ids.services.settle();
                Ok(state.draft.into_image())
            }
            Err(refusals) => {
                self.ids.back_to(before);
                Err(refusals)
            }
        }
    }

    /// What has to be kept for the numbers to survive a restart.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// For tables adopted without their ids: new ids avoid every id that the image uses, and
    /// epochs start above its epochs.
    pub fn start_after(&mut self, adopted: &Image) {
        self.ids.start_after(adopted);
    }

    /// The numbers of services in the last image that is known to be committed.
    fn committed_ids(&self) -> Cow<'_, ServiceIds> {
        let mut ids = Cow::Borrowed(&self.ids.services);
        if self.before.is_some() {
            ids.to_mut().undo();
        }
        ids
    }

    fn anew(&mut self, world: &World) -> Result<State, Vec<Refusal>> {
        let mut state = State::default();
        self.step(&mut state, world, &world.keys().collect())?;
        Ok(state)
    }

    fn step(
        &mut self,
        state: &mut State,
        world: &World,
        changed: &BTreeSet<Key>,
    ) -> Result<(), Vec<Refusal>> {
        let Self { node, limits, settings, ids, .. } = self;
        ids.local.compilations += 1;
        Update { node, limits, settings, world, changed }.run(state, ids)
    }
}

impl Compile for Compiler {
    fn update(
        &mut self,
        world: &World,
        changed: &BTreeSet<Key>,
    ) -> Result<Compiled<'_>, Vec<Refusal>> {
        if let Some(before) = self.before.take() {
            self.ids.back_to(before);
            self.state = None;
        }
        let before = self.ids.local.clone();
        let updated = self.state.take().and_then(|mut state| {
            let updated = self.step(&mut state, world, changed);
            // What does not fit may fit when everything is numbered anew.
            updated.is_ok().then_some(state)
        });
        let whole = updated.is_none();
        let state = if let Some(state) = updated {
            state
        } else {
            self.ids.back_to(before.clone());
            self.anew(world).inspect_err(|_| self.ids.back_to(before.clone()))?
        };
        self.before = Some(before);
        let draft = &self.state.insert(state).draft;
        let changes = (!whole).then(|| draft.changes());
        Ok(Compiled { image: draft.image(), changes })
    }

    fn committed(&mut self) {
        self.before = None;
        self.ids.services.settle();
        if let Some(state) = &mut self.state {
            state.draft.settle();
        }
    }

    fn validate(&self, world: &World) -> Result<(), Vec<Refusal>> {
        let Self { node, limits, settings, ids, .. } = self;
        let (node, limits, ids) = (node.clone(), limits.clone(), ids.clone());
        let other = Self::new(node, limits).with_settings(settings.clone());
        Self { ids, ..other }.compile(world).map(drop)
    }

    fn image(&self) -> Option<&Image> {
        let state = self.state.as_ref().filter(|_| self.before.is_none());
        state.map(|state| state.draft.image())
    }

    fn offers(&self, world: &World, image: &Image, service: &str) -> Vec<Offer> {
        let place = Place { world, node: &self.node, settings: &self.settings };
        offered::offers(place, image, &self.committed_ids(), service)
    }

    fn service_names(&self, numbers: &BTreeSet<u32>) -> BTreeMap<u32, String> {
        let ids = self.committed_ids();
        let records = ids
            .known
            .iter()
            .flat_map(|(name, known)| known.records.iter().map(move |(_, number)| (*number, name)));
        let wanted = records.filter(|(number, _)| numbers.contains(number));
        wanted.map(|(number, name)| (number, name.clone())).collect()
    }

    fn usage(&self) -> Vec<Usage> {
        self.state.iter().flat_map(|state| state.usage(&self.limits, &self.ids)).collect()
    }

    fn memory(&self) -> Vec<u8> {
        serde_json::to_vec(&self.ids).unwrap_or_else(|error| {
            tracing::error!(%error, "the compiler's ids cannot be saved");
            Vec::new()
        })
    }

    fn recall(&mut self, memory: &[u8], world: &World, tables: Option<&Image>) -> bool {
        let mut ids: Ids = match serde_json::from_slice(memory) {
            Ok(ids) => ids,
            Err(error) => {
                tracing::warn!(%error, "the saved ids cannot be read");
                return false;
            }
        };
        match tables {
            Some(tables) => {
                ids.services.recover(world, &self.node, tables, ids.local.compilations);
            }
            // There are no flows either that could name a number.
            None => ids.services = ServiceIds::default(),
        }
        self.ids = ids;
        true
    }

    fn adopt(&mut self, tables: &Image) {
        self.start_after(tables);
    }
}
