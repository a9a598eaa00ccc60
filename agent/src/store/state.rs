//! What the store knows: plain data, and what is saved for the next agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Answer, Digest};
use crate::{
    dataplane::Stamp,
    model::{Key, World},
};

/// Everything a restarted agent has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The last commit.
    pub stamp: Stamp,
    pub world: World,
    /// Whose each resource of `world` is; the same keys.
    pub held: BTreeMap<Key, Held>,
    pub owners: BTreeMap<String, Owner>,
    /// What [`Compile::memory`](super::Compile::memory) gave when the state was saved.
    pub compiler: Vec<u8>,
    /// How often it was saved: what changes of a saved state count from.
    pub saves: u64,
}

/// What is different in a state from the one that was saved before it, apart from what the
/// compiler remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who wrote: epoch and answers may be other ones.
    pub owner: String,
    /// The answer that is remembered now and was not before.
    pub nonce: Option<u64>,
    /// New, different or gone.
    pub resources: BTreeSet<Key>,
}

/// What is known of a resource besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub owner: String,
    /// The revision that last changed it.
    pub revision: u64,
}

/// Someone who has written to this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The highest writer epoch seen.
    pub epoch: u64,
    /// The nonces of that epoch, oldest first; at most [`Owner::REMEMBERED`].
    pub answered: VecDeque<Answered>,
}

/// A transaction that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub nonce: u64,
    pub digest: Digest,
    pub answer: Answer,
}

impl Owner {
    /// How many nonces are remembered.
    pub const REMEMBERED: usize = 1024;

    pub fn remember(&mut self, answered: Answered) {
        if self.answered.len() == Self::REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(answered);
    }

    pub fn answered(&self, nonce: u64) -> Option<&Answered> {
        self.answered.iter().rev().find(|answered| answered.nonce == nonce)
    }
}
