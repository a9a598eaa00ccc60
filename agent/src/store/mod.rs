//! The single writer: what the node was told, by whom, and since when.
//!
//! Sources hand transactions to a [`Handle`]; one thread owns the [`Store`], which checks each
//! against the owners' rights and against everything else that is held, has it compiled and has
//! the dataplane make it visible, whole or not at all. The store does no I/O of its own: tables
//! are behind [`Dataplane`](crate::dataplane::Dataplane), compilation behind [`Compile`], saving
//! behind [`Save`].
//!
//! # Readiness
//!
//! | started with | tables hold | then |
//! |---|---|---|
//! | no state | nothing | [`Readiness::Empty`]: the first commit of any kind makes the node ready |
//! | no state | a commit | [`Readiness::Holding`]: only a complete snapshot is accepted |
//! | state | nothing, or this state's history | the state is committed again and the node is ready |
//! | state | another history | [`Readiness::Holding`]; owners keep their epochs, nothing else |
//!
//! The agent's own sources can be awaited: until the first snapshot of each is accepted, a node
//! that would be ready is [`Readiness::Awaiting`].
//!
//! Tables that are ahead of the state, because the last commit was never saved, are brought back
//! to the state under a new lineage, so that every writer is asked for a snapshot.

mod edit;
mod handle;
mod health_checks;
mod limits;
mod references;
mod restore;
mod state;
mod status;
mod transaction;
mod values;
mod writer;
mod zone_traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    time::Instant,
};

pub use handle::{Gone, Handle, spawn};
pub use health_checks::{HealthCheck, HealthChecks};
pub use limits::Limits;
pub use state::{Answered, Change, Held, Owner, State};
pub use status::{Commits, OwnerStatus, Readiness, Status, Usage};
pub use transaction::{Accepted, Answer, Content, Digest, HeldResource, Page, Query, WriteError};
pub use writer::{Greeting, Mode, Resumption, SessionId};
pub use zone_traffic::{Origin, ZoneTraffic};

use crate::{
    compile::Offer,
    dataplane::{CommitError, Dataplane, Flow, Stamp},
    draft::Compiled,
    image::Image,
    model::{Key, World},
    refusal::Refusal,
    source_problem::SourceProblem,
};
use edit::Edit;
use health_checks::Checked;
use writer::Session;
use zone_traffic::ZoneAccounts;

/// Turns resources into the content of tables.
pub trait Compile: Send {
    /// Either an image of the whole world, or every reason there is none. `changed` names all
    /// resources that are not what they were in the last world whose image was committed.
    fn update(
        &mut self,
        world: &World,
        changed: &BTreeSet<Key>,
    ) -> Result<Compiled<'_>, Vec<Refusal>>;

    /// Packets see the last image. One of which this is not said has never been.
    fn committed(&mut self);

    /// Says what [`Self::update`] would, and forgets it.
    fn validate(&self, world: &World) -> Result<(), Vec<Refusal>>;

    /// The last image, where packets are known to see it.
    fn image(&self) -> Option<&Image>;

    /// What services offer by an image of the tables; an empty `service` is all of them.
    fn offers(&self, world: &World, image: &Image, service: &str) -> Vec<Offer>;

    /// The names of the services that have these numbers in the tables, as far as they are there.
    fn service_names(&self, numbers: &BTreeSet<u32>) -> BTreeMap<u32, String>;

    /// How much of each limit the last image takes.
    fn usage(&self) -> Vec<Usage>;

    /// What the next agent's compiler has to know for the numbers in tables and flows to go on
    /// meaning the same.
    fn memory(&self) -> Vec<u8>;

    /// Goes on where the compiler with this memory left off, which made `tables` for a world that
    /// was `world` or nearly so; says whether it can. Without tables there are no flows.
    fn recall(&mut self, memory: &[u8], world: &World, tables: Option<&Image>) -> bool;

    /// Keeps clear of the numbers in tables that were filled by a compiler whose memory is lost,
    /// wholly or in part.
    fn adopt(&mut self, tables: &Image);
}

/// Keeps the state for the next agent.
pub trait Save: Send {
    /// When this returns, the state survives. `change` is all that is different from what was
    /// saved last; `None`: anything may be.
    fn save(&mut self, state: &State, change: Option<&Change>) -> io::Result<()>;
}

/// What a store works with.
pub struct Parts {
    /// The name of the node the agent runs on.
    pub node: String,
    pub limits: Limits,
    pub compiler: Box<dyn Compile>,
    pub dataplane: Box<dyn Dataplane>,
    pub save: Box<dyn Save>,
}

/// See the [module](self).
pub struct Store {
    parts: Parts,
    state: State,
    readiness: Readiness,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    commits: Commits,
    save_error: Option<String>,
    /// Owners whose first snapshot is waited for, and what they wait for themselves.
    awaited: BTreeMap<String, String>,
    problems: BTreeMap<String, Vec<SourceProblem>>,
    checked: Checked,
    zone_accounts: ZoneAccounts,
}

impl Store {
    /// Applies a transaction of a session under its nonce. `snapshot` says that `content` is all
    /// that the owner wants held.
    ///
    /// The same nonce with the same digest gets the answer it got before.
    pub fn submit(
        &mut self,
        session: SessionId,
        nonce: u64,
        digest: Digest,
        snapshot: bool,
        content: Content,
    ) -> Result<Answer, WriteError> {
        let owner = self.writing_owner(session)?;
        if let Some(answer) = self.remembered(&owner, nonce, digest)? {
            return Ok(answer);
        }
        if !snapshot && self.needs_snapshot(session) {
            return Err(WriteError::SnapshotRequired);
        }
        let (answer, resources) = self.transact(&owner, content, snapshot)?;
        self.remember(&owner, nonce, digest, answer.clone());
        if snapshot && matches!(answer, Answer::Accepted(_)) {
            self.snapshot_is_complete(session);
            self.awaited.remove(&owner);
        }
        self.save(Change { owner, nonce: Some(nonce), resources });
        Ok(answer)
    }

    /// Applies one transaction outside any session.
    pub fn apply(
        &mut self,
        owner: &str,
        epoch: u64,
        content: Content,
    ) -> Result<Answer, WriteError> {
        self.check_epoch(owner, epoch)?;
        if self.readiness == Readiness::Holding {
            return Err(WriteError::SnapshotRequired);
        }
        let raised = self.raise_epoch(owner, epoch);
        let (answer, resources) = self.transact(owner, content, false)?;
        if raised || matches!(answer, Answer::Accepted(_)) {
            self.save(Change { owner: owner.to_owned(), nonce: None, resources });
        }
        Ok(answer)
    }

    /// Says what [`Self::apply`] would, and changes nothing.
    pub fn validate(
        &mut self,
        owner: &str,
        epoch: u64,
        content: Content,
    ) -> Result<Answer, WriteError> {
        self.check_epoch(owner, epoch)?;
        if self.readiness == Readiness::Holding {
            return Err(WriteError::SnapshotRequired);
        }
        let edit = match self.edit(owner, content, false) {
            Ok(edit) => edit,
            Err(refusals) => return Ok(Answer::refused(refusals)),
        };
        let begun = Instant::now();
        let compiled = self.parts.compiler.validate(&self.state.world);
        let compile = begun.elapsed();
        edit.undo(&mut self.state);
        Ok(match compiled {
            Ok(()) => Answer::Accepted(Accepted {
                revision: self.state.stamp.revision,
                compile,
                ..Accepted::default()
            }),
            Err(refusals) => Answer::refused(refusals),
        })
    }

    pub fn get(&self, key: &Key) -> Option<HeldResource> {
        let held = self.state.held.get(key)?;
        let resource = self.state.world.get(key)?;
        Some(HeldResource { resource, owner: held.owner.clone(), revision: held.revision })
    }

    /// Resources in order of kind and name.
    pub fn list(&self, query: &Query) -> Page {
        let mut resources: Vec<_> = self
            .state
            .held
            .range((query.start(), Bound::Unbounded))
            .filter(|(key, held)| query.matches(key, held))
            .take(query.limit.saturating_add(1))
            .filter_map(|(key, _)| self.get(key))
            .collect();
        let more = resources.len() > query.limit;
        resources.truncate(query.limit);
        Page { resources, more }
    }

    /// Up to `limit` live flows.
    pub fn flows(&self, limit: usize) -> Vec<Flow> {
        self.parts.dataplane.flows(limit)
    }

    /// What services offer as packets see it; an empty name is all of them. Nothing where what
    /// packets see is not what is held.
    pub fn offers(&self, service: &str) -> Vec<Offer> {
        if self.readiness != Readiness::Ready {
            return Vec::new();
        }
        let Parts { compiler, dataplane, .. } = &self.parts;
        let world = &self.state.world;
        if let Some(image) = compiler.image() {
            return compiler.offers(world, image, service);
        }
        let held = dataplane.held();
        held.map_or_else(Vec::new, |(image, _)| compiler.offers(world, &image, service))
    }

    /// The zone of this node; empty where it has none.
    pub fn zone(&self) -> &str {
        self.state.world.nodes.get(&self.parts.node).map_or("", |node| &node.zone)
    }

    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// All or nothing: unless it is accepted, the state is what it was. Names what changed.
    fn transact(
        &mut self,
        owner: &str,
        content: Content,
        snapshot: bool,
    ) -> Result<(Answer, BTreeSet<Key>), WriteError> {
        let answer = self.try_transact(owner, content, snapshot);
        match &answer {
            Ok((Answer::Refused(_), _)) => self.commits.refused += 1,
            Err(_) => self.commits.failed += 1,
            Ok((Answer::Accepted(_), _)) => {}
        }
        answer
    }

    fn try_transact(
        &mut self,
        owner: &str,
        content: Content,
        snapshot: bool,
    ) -> Result<(Answer, BTreeSet<Key>), WriteError> {
        let nothing = BTreeSet::new();
        let edit = match self.edit(owner, content, snapshot) {
            Ok(edit) => edit,
            Err(refusals) => return Ok((Answer::refused(refusals), nothing)),
        };
        if edit.is_empty() && self.readiness == Readiness::Ready {
            let revision = self.state.stamp.revision;
            let accepted = Accepted { revision, ..Accepted::default() };
            return Ok((Answer::Accepted(accepted), nothing));
        }
        let changed = edit.keys();
        let next = Stamp { revision: self.state.stamp.revision + 1, ..self.state.stamp };
        match self.commit(next, &changed) {
            Ok(accepted) => {
                self.commits.record(&accepted);
                Ok((Answer::Accepted(accepted), changed))
            }
            Err(CommitFailure::Refused(refusals)) => {
                edit.undo(&mut self.state);
                Ok((Answer::refused(refusals), nothing))
            }
            Err(CommitFailure::Failed(error)) => {
                edit.undo(&mut self.state);
                Err(WriteError::Commit(error.to_string()))
            }
        }
    }

    /// Changes the state as `content` asks, if nothing speaks against it.
    fn edit(
        &mut self,
        owner: &str,
        content: Content,
        snapshot: bool,
    ) -> Result<Edit, Vec<Refusal>> {
        let mut refusals = content.refusals;
        values::check(&content.upserts, &self.parts.limits, &mut refusals);
        edit::check(&self.state, owner, &content.upserts, &content.removes, &mut refusals);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let edit = Edit::make(&mut self.state, owner, content.upserts, content.removes, snapshot);
        references::check(&self.state.world, &edit, &mut refusals);
        if refusals.is_empty() {
            return Ok(edit);
        }
        edit.undo(&mut self.state);
        Err(refusals)
    }

    /// Makes the world as it is visible under a stamp; `changed` is what is new in it.
    fn commit(&mut self, stamp: Stamp, changed: &BTreeSet<Key>) -> Result<Accepted, CommitFailure> {
        let begun = Instant::now();
        let Parts { compiler, dataplane, .. } = &mut self.parts;
        let image = compiler.update(&self.state.world, changed).map_err(CommitFailure::Refused)?;
        let compiled = Instant::now();
        let visible = dataplane.commit(image, stamp).map_err(|error| match error {
            CommitError::Capacity { .. } => {
                CommitFailure::Refused(vec![Refusal::general("", error.to_string())])
            }
            CommitError::Write { .. } => CommitFailure::Failed(error),
        })?;
        self.parts.compiler.committed();
        self.state.stamp = stamp;
        self.readiness = Readiness::Ready;
        self.checked.update(&self.state.world, &self.parts.node, changed);
        Ok(Accepted {
            revision: stamp.revision,
            compile: compiled - begun,
            commit: visible.saturating_duration_since(compiled),
        })
    }

    /// A failure does not undo what packets see already; it is for people to read.
    fn save(&mut self, change: impl Into<Option<Change>>) {
        self.state.compiler = self.parts.compiler.memory();
        self.state.saves += 1;
        // After a failure nobody knows what is saved.
        let change = change.into().filter(|_| self.save_error.is_none());
        let saved = self.parts.save.save(&self.state, change.as_ref());
        self.save_error = saved.err().map(|error| {
            tracing::error!(%error, "the state could not be saved");
            error.to_string()
        });
    }
}

enum CommitFailure {
    Refused(Vec<Refusal>),
    Failed(CommitError),
}
