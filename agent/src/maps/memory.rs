//! The tables in ordinary memory: what is above the maps can be tested without a kernel.

use std::{io, time::Instant};

use abi::{
    control::Control,
    table::{BLOCK_WORDS, Table},
};

use super::{
    backing::{Backing, Field},
    commit::Tables,
    keyed::{Entries, Keyed},
};
use crate::{
    dataplane::{Attachment, CommitError, Counter, Dataplane, Fill, Flow, Stamp},
    draft::Compiled,
    image::Image,
};

/// A [`Dataplane`] that no packet ever sees.
pub struct MemoryTables(Tables<Memory>);

impl MemoryTables {
    /// Empty tables of the default sizes.
    pub fn new() -> Self {
        Self(Tables::adopt(Memory::new(|table| table.default_blocks() as usize * BLOCK_WORDS)))
    }
}

impl Default for MemoryTables {
    fn default() -> Self {
        Self::new()
    }
}

impl Dataplane for MemoryTables {
    fn commit(&mut self, compiled: Compiled<'_>, stamp: Stamp) -> Result<Instant, CommitError> {
        self.0.commit(compiled, stamp)
    }

    fn held(&self) -> Option<(Image, Stamp)> {
        self.0.held()
    }

    fn flows(&self, _limit: usize) -> Vec<Flow> {
        Vec::new()
    }

    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    fn fill(&self) -> Vec<Fill> {
        Vec::new()
    }

    fn attachments(&self) -> Vec<Attachment> {
        Vec::new()
    }
}

/// The backing of [`MemoryTables`].
#[derive(Clone)]
pub(super) struct Memory {
    words: [[Vec<u64>; Table::ALL.len()]; 2],
    capacity: [usize; Table::ALL.len()],
    entries: [Entries; Keyed::ALL.len()],
    control: Control,
}

/// Room for this many entries in both sides of each hash.
const ENTRIES: usize = 1 << 18;

impl Memory {
    /// `words` says how many words a side of a table has.
    pub(super) fn new(words: impl Fn(Table) -> usize) -> Self {
        Self {
            words: Default::default(),
            capacity: Table::ALL.map(words),
            entries: Default::default(),
            control: Control::default(),
        }
    }
}

impl Backing for Memory {
    fn words(&self, table: Table) -> usize {
        self.capacity[table as usize]
    }

    fn entries_capacity(&self, _keyed: Keyed) -> usize {
        ENTRIES
    }

    fn load(&self, table: Table, side: u32, word: usize) -> u64 {
        self.words[side as usize][table as usize].get(word).copied().unwrap_or(0)
    }

    fn store(&mut self, table: Table, side: u32, word: usize, value: u64) {
        let words = &mut self.words[side as usize][table as usize];
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] = value;
    }

    fn entries(&self, keyed: Keyed) -> io::Result<Entries> {
        Ok(self.entries[keyed as usize].clone())
    }

    fn entry(&self, keyed: Keyed, key: &[u8]) -> io::Result<Option<Box<[u8]>>> {
        Ok(self.entries[keyed as usize].get(key).cloned())
    }

    fn remove(&mut self, keyed: Keyed, keys: &[&[u8]]) -> io::Result<()> {
        for key in keys {
            self.entries[keyed as usize].remove(*key).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(())
    }

    fn insert(&mut self, keyed: Keyed, entries: &[(&[u8], &[u8])]) -> io::Result<()> {
        let owned = entries.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        self.entries[keyed as usize].extend(owned);
        Ok(())
    }

    fn control(&self) -> Control {
        self.control
    }

    fn set_control(&mut self, field: Field) {
        match field {
            Field::Generation(generation) => self.control.generation = generation,
            Field::Flags(flags) => self.control.flags = flags,
            Field::Intent(intent) => self.control.intent = intent,
            Field::Revision(revision) => self.control.revision = revision,
            Field::Lineage(lineage) => self.control.lineage = lineage,
        }
    }

    fn grace_period(&mut self) -> io::Result<()> {
        Ok(())
    }
}
