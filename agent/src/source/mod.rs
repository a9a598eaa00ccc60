//! What the agent's own sources of resources share: the way to the store.
//!
//! A source looks at something outside (a directory, a kube-apiserver), has the differences
//! translated, and hands them to its [`Writer`], which remembers what the store was not told yet.

mod allocator;
mod pending;

use std::collections::BTreeSet;

pub use pending::Pending;

use crate::{
    kubernetes::Outcome,
    model::{Key, Resource},
    source_problem::SourceProblem,
    store::{Answer, Content, Digest, Gone, Handle, Mode, Readiness, SessionId, WriteError},
};

/// One source as a writer of the store: its resources, its session, its problems.
///
/// The first transaction of a session is a snapshot, which replaces what the owner held; after
/// that every [`Self::tell`] is a transaction of what is different.
pub struct Writer {
    owner: &'static str,
    handle: Handle,
    session: Option<SessionId>,
    /// The store has accepted a snapshot of this session.
    replaced: bool,
    pending: Pending,
    /// The problems that were told last.
    reported: Vec<SourceProblem>,
}

/// Why the store does not hold what the source says.
#[derive(Debug)]
pub enum Trouble {
    Gone,
    /// For people: what is wrong, and what follows.
    Told(Vec<SourceProblem>),
}

/// What the store holds when a session begins.
pub struct Before {
    /// Of this owner.
    pub held: BTreeSet<Key>,
    pub readiness: Readiness,
}

impl Writer {
    pub fn new(owner: &'static str, handle: Handle) -> Self {
        let pending = Pending::default();
        Self { owner, handle, session: None, replaced: false, pending, reported: Vec::new() }
    }

    /// Takes down what is different, for the next [`Self::tell`].
    pub fn add(&mut self, outcome: Outcome) {
        self.pending.add(outcome);
    }

    /// Begins a session where there is none; tells what was held before.
    pub async fn open(&mut self) -> Result<Option<Before>, Trouble> {
        if self.session.is_some() {
            return Ok(None);
        }
        let status = self.handle.status().await?;
        let owner = status.owners.iter().find(|owner| owner.name == self.owner);
        let epoch = owner.map_or(0, |owner| owner.epoch);
        let greeting = self.handle.open(self.owner.to_owned(), epoch, Mode::Replace).await??;
        self.session = Some(greeting.session);
        self.replaced = false;
        let held = greeting.inventory.into_iter().map(|(key, _)| key).collect();
        Ok(Some(Before { held, readiness: status.readiness }))
    }

    /// Ends the session; the next one begins with a snapshot.
    pub fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.handle.close(session);
        }
        self.replaced = false;
    }

    /// Has the store hold what the source says: `all` of it where a snapshot is due.
    pub async fn tell<'r, R>(&mut self, all: impl Fn() -> R) -> Result<(), Trouble>
    where
        R: Iterator<Item = &'r Resource>,
    {
        if self.replaced && self.pending.is_empty() {
            return Ok(());
        }
        self.open().await?;
        let Some(session) = self.session else { return Ok(()) };
        let snapshot = !self.replaced;
        let content = if snapshot {
            Content { upserts: all().cloned().collect(), ..Content::default() }
        } else {
            self.pending.content()
        };
        let (upserts, removes) = (content.upserts.len(), content.removes.len());
        // Nothing is ever sent twice, so no nonce is ever looked up again.
        let answer =
            self.handle.submit(session, rand::random(), Digest::default(), snapshot, content);
        match answer.await? {
            Ok(Answer::Accepted(accepted)) => {
                if snapshot {
                    self.pending.replaced(all());
                    self.replaced = true;
                    allocator::release();
                } else {
                    self.pending.accepted();
                }
                let (source, revision) = (self.owner, accepted.revision);
                if snapshot {
                    tracing::info!(source, revision, upserts, "committed all of the source");
                } else {
                    tracing::debug!(source, revision, upserts, removes, "committed changes");
                }
                Ok(())
            }
            Ok(Answer::Refused(refusals)) => {
                let refusals = refusals.into_iter().map(|refusal| SourceProblem {
                    object: refusal.key.map(|key| key.to_string()).unwrap_or_default(),
                    field: refusal.field,
                    reason: refusal.reason,
                    effect: NOTHING.to_owned(),
                    ..SourceProblem::default()
                });
                Err(Trouble::Told(refusals.collect()))
            }
            Err(error @ WriteError::Commit(_)) => Err(error.into()),
            Err(error) => {
                self.close();
                Err(error.into())
            }
        }
    }

    /// Logs what is new, and has the status show all.
    pub async fn report(&mut self, problems: Vec<SourceProblem>) -> Result<(), Gone> {
        if problems == self.reported {
            return Ok(());
        }
        let source = self.owner;
        let before: BTreeSet<String> = self.reported.iter().map(ToString::to_string).collect();
        let now: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        for problem in now.difference(&before) {
            tracing::warn!("{source}: {problem}");
        }
        for problem in before.difference(&now) {
            tracing::info!("{source}: no more: {problem}");
        }
        self.reported.clone_from(&problems);
        self.handle.report(source.to_owned(), problems).await
    }
}

impl From<Gone> for Trouble {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<WriteError> for Trouble {
    fn from(error: WriteError) -> Self {
        let reason = error.to_string();
        let effect = NOTHING.to_owned();
        Self::Told(vec![SourceProblem { reason, effect, ..SourceProblem::default() }])
    }
}

const NOTHING: &str = "nothing of the last change holds; it is tried again with the next";
