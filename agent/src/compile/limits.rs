//! How much of everything the tables have room for, and the refusal when it is not enough.

use abi::{
    address::{CHUNK, LEVEL1, Leaf},
    record::PAGE_WORDS,
    table::{BLOCK_WORDS, Table},
};

use crate::{model::Key, refusal::Refusal};

/// Capacities of one side of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Blocks of the sided tables, indexed by `Table as usize`.
    pub blocks: [u32; Table::ALL.len()],
    pub frontends: u32,
    pub addresses6: u32,
    pub prefixes6: u32,
    /// Local endpoints; the endpoints table bounds them too.
    pub endpoints: u32,
    pub classes: u32,
    /// Ids from 1 on.
    pub next_hops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blocks: Table::ALL.map(Table::default_blocks),
            frontends: 65_536,
            addresses6: 65_536,
            prefixes6: 16_384,
            endpoints: 4095,
            classes: 65_536,
            next_hops: 65_535,
        }
    }
}

impl Limits {
    pub fn blocks(&self, table: Table) -> u32 {
        self.blocks[table as usize]
    }

    pub fn words(&self, table: Table) -> usize {
        self.blocks(table) as usize * BLOCK_WORDS
    }

    /// Ids from 1 on that a table of records has room for.
    pub(super) fn records(&self, table: Table) -> u32 {
        self.blocks(table).saturating_sub(1)
    }

    pub(super) fn endpoint_ids(&self) -> u32 {
        self.endpoints.min(self.records(Table::Endpoints)).min(u16::MAX as u32)
    }

    /// Service ids share a word of the flow table with other things and have 24 bits.
    pub(super) fn service_ids(&self) -> u32 {
        self.records(Table::Services).min((1 << 24) - 1)
    }

    pub(super) fn chunks(&self) -> u32 {
        (self.words(Table::Addresses4).saturating_sub(LEVEL1) / CHUNK) as u32
    }

    pub(super) fn port_sets(&self) -> usize {
        self.words(Table::PortSets).min(u16::MAX as usize + 1)
    }

    /// Pages that need a bitmap.
    pub(super) fn pages(&self) -> usize {
        (self.words(Table::Pages) / PAGE_WORDS as usize).min(u16::MAX as usize - 1)
    }

    pub(super) fn classes(&self) -> usize {
        self.classes.min(Leaf::MAX_CLASS + 1) as usize
    }
}

/// Accepts `needed` of something that there is `room` for.
pub(super) fn within(
    limit: &str,
    needed: usize,
    room: usize,
    blamed: impl FnOnce() -> Key,
) -> Result<(), Vec<Refusal>> {
    if needed <= room {
        return Ok(());
    }
    let reason = format!("limit {limit}: needs {needed}, has room for {room}");
    Err(vec![Refusal::new(blamed(), "", reason)])
}
