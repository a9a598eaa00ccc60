//! Who may write: epochs, sessions and remembered nonces.

use std::collections::BTreeSet;

use super::{Answer, Answered, Change, Digest, Owner, Readiness, Store, WriteError};
use crate::{dataplane::Stamp, model::Key};

/// A stream of transactions of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// How a writer wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// After what was accepted last, as far as it knows.
    Resume(Stamp),
    /// From nothing.
    Replace,
}

/// Whether a writer may go on where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumption {
    Resumed,
    SnapshotRequired,
}

/// What a writer is told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub session: SessionId,
    pub resumption: Resumption,
    pub stamp: Stamp,
    /// What the owner has, with the revision that last changed each.
    pub inventory: Vec<(Key, u64)>,
}

pub(super) struct Session {
    owner: String,
    epoch: u64,
    needs_snapshot: bool,
}

impl Store {
    /// Begins a session. A higher epoch than any before ends the older session's right to write.
    pub fn open(&mut self, owner: &str, epoch: u64, mode: Mode) -> Result<Greeting, WriteError> {
        self.check_epoch(owner, epoch)?;
        if self.raise_epoch(owner, epoch) {
            let (owner, resources) = (owner.to_owned(), BTreeSet::new());
            self.save(Change { owner, nonce: None, resources });
        }
        let resumption = self.resumption(mode);
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let needs_snapshot = resumption == Resumption::SnapshotRequired;
        self.sessions.insert(session, Session { owner: owner.to_owned(), epoch, needs_snapshot });
        Ok(Greeting {
            session,
            resumption,
            stamp: self.state.stamp,
            inventory: self
                .state
                .held
                .iter()
                .filter(|(_, held)| held.owner == owner)
                .map(|(key, held)| (key.clone(), held.revision))
                .collect(),
        })
    }

    /// Ends a session; what it had committed stays.
    pub fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// Whether a session of the owner's current epoch is open.
    pub(super) fn is_live(&self, owner: &str) -> bool {
        let epoch = self.state.owners.get(owner).map(|known| known.epoch);
        self.sessions.values().any(|session| session.owner == owner && Some(session.epoch) == epoch)
    }

    pub(super) fn check_epoch(&self, owner: &str, given: u64) -> Result<(), WriteError> {
        let Some(known) = self.state.owners.get(owner) else { return Ok(()) };
        if given < known.epoch {
            return Err(WriteError::StaleEpoch {
                owner: owner.to_owned(),
                given,
                current: known.epoch,
            });
        }
        if given == known.epoch && self.is_live(owner) {
            return Err(WriteError::Live { owner: owner.to_owned(), epoch: given });
        }
        Ok(())
    }

    /// Notes the epoch of an owner, whose nonces belong to it; says whether that is news.
    pub(super) fn raise_epoch(&mut self, owner: &str, epoch: u64) -> bool {
        match self.state.owners.get(owner) {
            Some(known) if known.epoch == epoch => false,
            _ => {
                self.state.owners.insert(owner.to_owned(), Owner { epoch, ..Owner::default() });
                true
            }
        }
    }

    /// The owner a session writes for, if it still may.
    pub(super) fn writing_owner(&self, session: SessionId) -> Result<String, WriteError> {
        let session = self.sessions.get(&session).ok_or(WriteError::NoSession)?;
        let current = self.state.owners.get(&session.owner).map_or(0, |known| known.epoch);
        if session.epoch < current {
            return Err(WriteError::StaleEpoch {
                owner: session.owner.clone(),
                given: session.epoch,
                current,
            });
        }
        Ok(session.owner.clone())
    }

    pub(super) fn remembered(
        &self,
        owner: &str,
        nonce: u64,
        digest: Digest,
    ) -> Result<Option<Answer>, WriteError> {
        let answered = self.state.owners.get(owner).and_then(|known| known.answered(nonce));
        match answered {
            Some(answered) if answered.digest != digest => Err(WriteError::NonceReused(nonce)),
            answered => Ok(answered.map(|answered| answered.answer.clone())),
        }
    }

    pub(super) fn remember(&mut self, owner: &str, nonce: u64, digest: Digest, answer: Answer) {
        if let Some(known) = self.state.owners.get_mut(owner) {
            known.remember(Answered { nonce, digest, answer });
        }
    }

    pub(super) fn needs_snapshot(&self, session: SessionId) -> bool {
        self.readiness == Readiness::Holding
            || self.sessions.get(&session).is_none_or(|session| session.needs_snapshot)
    }

    pub(super) fn snapshot_is_complete(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.needs_snapshot = false;
        }
    }

    fn resumption(&self, mode: Mode) -> Resumption {
        let stamp = self.state.stamp;
        match mode {
            Mode::Resume(last)
                if self.readiness != Readiness::Holding
                    && last.lineage == stamp.lineage
                    && last.revision <= stamp.revision =>
            {
                Resumption::Resumed
            }
            _ => Resumption::SnapshotRequired,
        }
    }
}
