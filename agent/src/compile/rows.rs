//! Rows: what one direction of some endpoints allows to each class.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
};

use abi::{
    record::{PORT_SET_ALL, PORT_SET_NONE},
    table::{BLOCK_WORDS, Table},
};

use super::{classes::Classes, port_sets::PortSets, tiers::Chain};
use crate::draft::Draft;

/// Port-set ids in one word of a row.
const IDS_PER_WORD: usize = 4;
const ALL: u32 = PORT_SET_ALL as u32;

/// The port sets of one row by class, and where in the table it is.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// By the number of the class; `None` where there is no class of that number.
    cells: Vec<Option<u32>>,
    /// Cells that do not allow everything; a row that has none is nowhere.
    restricted: usize,
    slot: Option<u32>,
    /// Words that differ from the table's.
    dirty: BTreeSet<usize>,
}

/// Of what somebody may do with one direction of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdicts<'c> {
    pub chain: &'c Chain,
    /// For what NetworkPolicy never blocks.
    pub exempt: bool,
}

impl Row {
    /// The row of a chain over all classes; `known` are verdicts that were computed before, by
    /// the lines that match.
    pub(super) fn new(
        verdicts: Verdicts<'_>,
        classes: &Classes,
        port_sets: &mut PortSets,
        draft: &mut Draft,
    ) -> Self {
        let mut row = Self::default();
        row.extend(verdicts, classes.iter(), port_sets, draft);
        row
    }

    /// Adds classes that have come up.
    pub(super) fn extend<'g>(
        &mut self,
        verdicts: Verdicts<'_>,
        classes: impl Iterator<Item = (u32, &'g [u32])>,
        port_sets: &mut PortSets,
        draft: &mut Draft,
    ) {
        let Verdicts { chain, exempt } = verdicts;
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        for (class, groups) in classes {
            let matching = chain.matching(groups);
            let set = if let Some(set) = known.get(&matching) {
                port_sets.retain(*set);
                *set
            } else {
                let set = port_sets.acquire(chain.allowed(&matching, exempt), draft);
                known.insert(matching, set);
                set
            };
            self.set(class, Some(set));
        }
    }

    /// Forgets classes that are no more.
    pub(super) fn shrink(&mut self, classes: &[u32], port_sets: &mut PortSets) {
        for class in classes {
            if let Some(set) = self.set(*class, None) {
                port_sets.release(set);
            }
        }
    }

    /// Puts another row in the place of this one.
    pub(super) fn replace(&mut self, by: Self, port_sets: &mut PortSets) {
        for class in 0..self.cells.len().max(by.cells.len()) {
            let set = by.cells.get(class).copied().flatten();
            if let Some(set) = self.set(class as u32, set) {
                port_sets.release(set);
            }
        }
        self.cells.truncate(by.cells.len());
    }

    pub(super) fn is_restricted(&self) -> bool {
        self.restricted > 0
    }

    fn set(&mut self, class: u32, set: Option<u32>) -> Option<u32> {
        let class = class as usize;
        if self.cells.len() <= class {
            self.cells.resize(class + 1, None);
        }
        let before = mem::replace(&mut self.cells[class], set);
        if before != set {
            self.dirty.insert(class / IDS_PER_WORD);
        }
        let restricts = |set: Option<u32>| usize::from(set.is_some_and(|set| set != ALL));
        self.restricted = self.restricted + restricts(set) - restricts(before);
        before
    }

    fn word(&self, index: usize) -> u64 {
        let ids = self.cells.iter().skip(index * IDS_PER_WORD).take(IDS_PER_WORD);
        ids.rev().fold(0, |word, id| word << 16 | u64::from(id.unwrap_or(PORT_SET_NONE.into())))
    }
}

/// Where rows lie: in slots of one length, which grows with the classes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Words of a slot.
    stride: usize,
    free: BTreeSet<u32>,
    end: u32,
}

/// The table has room for fewer words than are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub needed: usize,
}

impl Layout {
    /// Gives restricted rows a slot and takes it from others.
    pub(super) fn place(&mut self, row: &mut Row) {
        match row.slot {
            None if row.is_restricted() => {
                row.slot = Some(self.free.pop_first().unwrap_or_else(|| {
                    self.end += 1;
                    self.end - 1
                }));
                row.dirty = (0..self.stride).collect();
            }
            Some(slot) if !row.is_restricted() => {
                row.slot = None;
                self.free.insert(slot);
            }
            _ => {}
        }
    }

    /// Makes slots long enough for `classes`, where the table has `room` words; says whether
    /// every row lies elsewhere now.
    pub(super) fn fit(&mut self, classes: u32, room: usize) -> Result<bool, Full> {
        let whole = |words: usize| words.next_multiple_of(BLOCK_WORDS);
        let needed = whole((classes as usize).div_ceil(IDS_PER_WORD));
        let fits = |stride: &usize| self.end as usize * stride <= room;
        if self.stride >= needed && fits(&self.stride) {
            return Ok(false);
        }
        let roomy = whole(needed + needed / 4);
        let stride = [roomy, needed].into_iter().find(fits);
        self.stride = stride.ok_or(Full { needed: self.end as usize * needed })?;
        Ok(true)
    }

    /// Writes what differs from the table, or everything.
    pub(super) fn write(&self, row: &mut Row, everything: bool, draft: &mut Draft) {
        let dirty = mem::take(&mut row.dirty);
        let Some(start) = self.start(row) else { return };
        let mut write = |word: usize| draft.set_word(Table::Rows, start + word, row.word(word));
        if everything {
            (0..self.stride).for_each(&mut write);
        } else {
            dirty.into_iter().for_each(&mut write);
        }
    }

    /// Words that all slots take.
    pub(super) fn words(&self) -> usize {
        self.end as usize * self.stride
    }

    /// The first word of a row that restricts.
    pub(super) fn start(&self, row: &Row) -> Option<usize> {
        Some(row.slot? as usize * self.stride)
    }
}
