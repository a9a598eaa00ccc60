//! What goes into the store and what comes out.

use std::{ops::Bound, time::Duration};

use super::Held;
use crate::{
    model::{Key, Kind, Resource},
    refusal::Refusal,
};

/// SHA-256 of a transaction's content as its source encodes it.
pub type Digest = [u8; 32];

/// What a transaction changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub upserts: Vec<Resource>,
    pub removes: Vec<Key>,
    /// What the source found wrong while translating; any refuses the transaction.
    pub refusals: Vec<Refusal>,
}

/// The answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Packets see it.
    Accepted(Accepted),
    /// Nothing has changed; there is at least one reason.
    Refused(Vec<Refusal>),
}

impl Answer {
    /// The first hundred reasons, each of bounded length: answers are remembered, and what they
    /// quote is as long as whoever sent it liked.
    pub(super) fn refused(mut refusals: Vec<Refusal>) -> Self {
        refusals.truncate(REFUSALS);
        for Refusal { key, field, reason } in &mut refusals {
            let name = key.as_mut().map(|key| &mut key.name);
            for text in [Some(field), Some(reason), name].into_iter().flatten() {
                text.truncate(text.floor_char_boundary(REFUSAL_BYTES));
            }
        }
        Self::Refused(refusals)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The revision it made, or found when there was nothing to change.
    pub revision: u64,
    /// Time spent on turning resources into an image.
    pub compile: Duration,
    /// Time from there until packets saw it.
    pub commit: Duration,
}

/// Why a transaction gets no answer of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("writer epoch {given} of owner {owner:?} is over: it is at {current}")]
    StaleEpoch { owner: String, given: u64, current: u64 },
    #[error("a stream of owner {owner:?} with writer epoch {epoch} is live")]
    Live { owner: String, epoch: u64 },
    #[error(
        "a complete REPLACE snapshot is needed first: what this writer was told is not known to \
         be what the node holds"
    )]
    SnapshotRequired,
    #[error("nonce {0} was used for other content")]
    NonceReused(u64),
    /// The tables could not be written; they are as they were.
    #[error("the commit failed and nothing has changed: {0}")]
    Commit(String),
    #[error("the session has ended")]
    NoSession,
}

/// A resource with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldResource {
    pub resource: Resource,
    pub owner: String,
    pub revision: u64,
}

/// Which resources to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pub kind: Option<Kind>,
    pub owner: Option<String>,
    /// Only what comes after this.
    pub after: Option<Key>,
    pub limit: usize,
}

/// Some of the resources a query asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub resources: Vec<HeldResource>,
    /// There are others behind the last.
    pub more: bool,
}

impl Query {
    /// Where the keys it asks for begin.
    pub(super) fn start(&self) -> Bound<&Key> {
        self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded)
    }

    pub(super) fn matches(&self, key: &Key, held: &Held) -> bool {
        self.kind.is_none_or(|kind| kind == key.kind)
            && self.owner.as_ref().is_none_or(|owner| *owner == held.owner)
    }
}

const REFUSALS: usize = 100;
/// Of each text of a refusal.
const REFUSAL_BYTES: usize = 1024;
