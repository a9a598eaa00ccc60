//! The distinct port sets that rows name, and the bitmaps behind them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use abi::{
    record::{PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PORT_SET_ALL, PORT_SET_NONE, PortSet},
    table::Table,
};

use super::ports::{Intervals, Ports};
use crate::draft::Draft;

/// Port sets and pages, each as long as somebody uses it.
#[derive(Debug)]
pub(super) struct PortSets {
    sets: Pool<Ports>,
    pages: Pool<Intervals>,
}

impl PortSets {
    /// Nothing and everything are always there.
    pub(super) fn new(draft: &mut Draft) -> Self {
        let mut this = Self { sets: Pool::default(), pages: Pool::default() };
        let none = this.acquire(Ports::none(), draft);
        let all = this.acquire(Ports::all(), draft);
        debug_assert_eq!([none, all], [PORT_SET_NONE, PORT_SET_ALL].map(u32::from));
        this
    }

    /// The number of a port set, written down; each acquisition is released once.
    pub(super) fn acquire(&mut self, ports: Ports, draft: &mut Draft) -> u32 {
        let (id, new) = self.sets.acquire(&ports);
        if new {
            let [tcp, udp, sctp] =
                ports.protocols().each_ref().map(|intervals| self.page(intervals, draft));
            let word = PortSet::new(tcp, udp, sctp, ports.others());
            draft.set_word(Table::PortSets, id as usize, word.0);
        }
        id
    }

    /// One more acquisition of a port set that is there.
    pub(super) fn retain(&mut self, id: u32) {
        self.sets.retain(id);
    }

    pub(super) fn release(&mut self, id: u32) {
        if let Some(ports) = self.sets.release(id) {
            for intervals in ports.protocols() {
                if let Some(page) = self.pages.id(intervals) {
                    self.pages.release(page);
                }
            }
        }
    }

    /// Numbers that have been in use at the same time.
    pub(super) fn len(&self) -> usize {
        self.sets.slots.len()
    }

    /// Likewise, of pages that need a bitmap.
    pub(super) fn pages(&self) -> usize {
        self.pages.slots.len()
    }

    fn page(&mut self, intervals: &Intervals, draft: &mut Draft) -> u16 {
        if intervals.is_none() {
            return PAGE_NONE;
        }
        if intervals.is_all() {
            return PAGE_ALL;
        }
        let (page, new) = self.pages.acquire(intervals);
        if new {
            write_page(draft, page as usize * PAGE_WORDS as usize, intervals);
        }
        PAGE_FIRST.saturating_add(page as u16)
    }
}

fn write_page(draft: &mut Draft, start: usize, intervals: &Intervals) {
    let mut words = [0_u64; PAGE_WORDS as usize];
    for &(first, last) in intervals.as_slice() {
        for word in first / 64..=last / 64 {
            let from = first.saturating_sub(word * 64).min(63);
            let to = (last - word * 64).min(63);
            words[word as usize] |= (u64::MAX << from) & (u64::MAX >> (63 - to));
        }
    }
    for (word, value) in words.into_iter().enumerate() {
        draft.set_word(Table::Pages, start + word, value);
    }
}

/// Distinct values with the lowest numbers that are free.
#[derive(Debug)]
struct Pool<T> {
    ids: HashMap<T, u32>,
    /// By number: how often it was acquired and not released, and what it stands for then.
    slots: Vec<(usize, Option<T>)>,
    free: BTreeSet<u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), slots: Vec::new(), free: BTreeSet::new() }
    }
}

impl<T: Clone + Eq + Hash> Pool<T> {
    /// The number of a value, and whether it is new.
    fn acquire(&mut self, value: &T) -> (u32, bool) {
        if let Some(id) = self.id(value) {
            self.retain(id);
            return (id, false);
        }
        let id = self.free.pop_first().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        self.slots[id as usize] = (1, Some(value.clone()));
        self.ids.insert(value.clone(), id);
        (id, true)
    }

    fn retain(&mut self, id: u32) {
        self.slots[id as usize].0 += 1;
    }

    /// Gives back the value if this was the last acquisition.
    fn release(&mut self, id: u32) -> Option<T> {
        let (uses, value) = &mut self.slots[id as usize];
        *uses -= 1;
        if *uses > 0 {
            return None;
        }
        let value = value.take()?;
        self.free.insert(id);
        self.ids.remove(&value);
        Some(value)
    }

    fn id(&self, value: &T) -> Option<u32> {
        self.ids.get(value).copied()
    }
}
