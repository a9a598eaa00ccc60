//! What a commit needs of the place where the tables are.

use std::io;

use abi::{control::Control, table::Table};

use super::keyed::{Entries, Keyed};

/// The tables of both sides and the control record, in the kernel or in memory.
///
/// Stores become visible to packets in program order at [`Field::Generation`]: whoever reads the
/// new generation reads all that was stored before.
pub trait Backing {
    /// Words of one side of a table.
    fn words(&self, table: Table) -> usize;

    /// Entries that both sides of a hash may hold together.
    fn entries_capacity(&self, keyed: Keyed) -> usize;

    fn load(&self, table: Table, side: u32, word: usize) -> u64;

    /// `word` is below [`Self::words`].
    fn store(&mut self, table: Table, side: u32, word: usize, value: u64);

    /// All entries of a hash, of both sides.
    fn entries(&self, keyed: Keyed) -> io::Result<Entries>;

    /// The value of a key, if there is one.
    fn entry(&self, keyed: Keyed, key: &[u8]) -> io::Result<Option<Box<[u8]>>>;

    fn remove(&mut self, keyed: Keyed, keys: &[&[u8]]) -> io::Result<()>;

    /// Adds entries, or replaces the values of those that are there.
    fn insert(&mut self, keyed: Keyed, entries: &[(&[u8], &[u8])]) -> io::Result<()>;

    fn control(&self) -> Control;

    fn set_control(&mut self, field: Field);

    /// Returns when every packet that was under way when it was called is done.
    fn grace_period(&mut self) -> io::Result<()>;
}

/// A part of the control record that commits change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Switches packets to the side that it names.
    Generation(u64),
    Flags(u32),
    Intent(u64),
    Revision(u64),
    Lineage([u64; 2]),
}
