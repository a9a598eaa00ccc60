//! Slots: which backend each turn of a list goes to, written where the list has its place.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
};

use abi::table::Table;

use super::{
    digest::{Digest, Writer},
    limits::Limits,
    maglev::{self, Need},
    places::{Places, aligned},
    ranges::number,
};
use crate::draft::Draft;

/// A backend of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub address: SocketAddr,
    pub weight: u32,
    pub id: u32,
}

/// The lists of all services.
#[derive(Debug)]
pub(super) struct Slots {
    places: Places,
    lists: BTreeMap<u32, Listed>,
    /// How many lists there are of each need.
    needs: BTreeMap<Need, u32>,
    /// What no list gets more than, as slots are scarce.
    largest: u32,
    /// Lists that may be others than those written.
    asked: BTreeMap<u32, Vec<Turn>>,
    /// There are other needs than those `largest` was chosen for.
    unsettled: bool,
}

#[derive(Debug)]
struct Listed {
    need: Need,
    content: Digest,
}

/// Why lists cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// There is room once all places are given anew.
    Scattered,
    /// The slots do not fit, however they are laid out.
    Full { needed: usize, room: usize },
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            places: Places::default(),
            lists: BTreeMap::new(),
            needs: BTreeMap::new(),
            largest: maglev::LARGEST,
            asked: BTreeMap::new(),
            unsettled: false,
        }
    }
}

impl Slots {
    /// The first slot of a list and how many it has.
    pub(super) fn get(&self, list: u32) -> Option<(u32, u32)> {
        self.places.get(list)
    }

    /// How many slots are taken.
    pub(super) fn taken(&self) -> usize {
        self.places.slots()
    }

    /// Asks for the slots of a list that is not empty.
    pub(super) fn ask(&mut self, list: u32, turns: Vec<Turn>, need: Need) {
        let before = self.lists.get(&list).map(|listed| listed.need);
        if before != Some(need) {
            if let Some(before) = before {
                self.withdraw(before);
            }
            *self.needs.entry(need).or_default() += 1;
            self.unsettled = true;
        }
        // What it holds now is found out when the slots are dealt.
        let content = Digest::default();
        self.lists.entry(list).or_insert(Listed { need, content }).need = need;
        self.asked.insert(list, turns);
    }

    /// A list is gone.
    pub(super) fn give_up(&mut self, list: u32, draft: &mut Draft) {
        if let Some(listed) = self.lists.remove(&list) {
            self.withdraw(listed.need);
        }
        self.asked.remove(&list);
        self.free(list, draft);
    }

    /// Deals the slots of the lists that were asked for. Where they do not fit, the largest lists
    /// get less.
    pub(super) fn write(&mut self, limits: &Limits, draft: &mut Draft) -> Result<(), Misfit> {
        let room = limits.words(Table::Slots) * 2;
        if std::mem::take(&mut self.unsettled) {
            let largest = self.fit(room)?;
            if largest != self.largest && self.asked.len() < self.lists.len() {
                return Err(Misfit::Scattered);
            }
            self.largest = largest;
        }
        let asked = std::mem::take(&mut self.asked);
        let sizes: BTreeMap<u32, u32> =
            asked.keys().map(|list| (*list, self.lists[list].need.size(self.largest))).collect();
        for (list, size) in &sizes {
            if self.places.get(*list).is_some_and(|(_, held)| held != *size) {
                self.free(*list, draft);
            }
        }
        for (list, turns) in asked {
            let content = content(&turns);
            if self.places.get(list).is_none() {
                if !self.places.take(list, sizes[&list], room as u32) {
                    return Err(Misfit::Scattered);
                }
            } else if self.lists[&list].content == content {
                continue;
            }
            if let Entry::Occupied(mut listed) = self.lists.entry(list) {
                listed.get_mut().content = content;
            }
            self.deal(list, &turns, draft);
        }
        Ok(())
    }

    /// The most that a list may have for all to fit.
    fn fit(&self, room: usize) -> Result<u32, Misfit> {
        let mut largest = maglev::LARGEST;
        loop {
            let needed = self
                .needs
                .iter()
                .map(|(need, count)| aligned(need.size(largest)) as usize * *count as usize);
            let needed = needed.sum();
            if needed <= room {
                return Ok(largest);
            }
            if largest == 1 {
                return Err(Misfit::Full { needed, room });
            }
            largest /= 2;
        }
    }

    fn deal(&self, list: u32, turns: &[Turn], draft: &mut Draft) {
        let Some((start, size)) = self.places.get(list) else { return };
        let backends: Vec<_> = turns.iter().map(|turn| (turn.address, turn.weight)).collect();
        let table = maglev::table(&backends, size);
        for (word, pair) in table.chunks(2).enumerate() {
            let id = |index: &u32| turns[*index as usize].id as u64;
            let packed = id(&pair[0]) | pair.get(1).map_or(0, id) << 32;
            draft.set_word(Table::Slots, start as usize / 2 + word, packed);
        }
    }

    /// Nothing that a list had stays behind.
    fn free(&mut self, list: u32, draft: &mut Draft) {
        if let Some((start, length)) = self.places.free(list) {
            for word in 0..length / 2 {
                draft.set_word(Table::Slots, (start / 2 + word) as usize, 0);
            }
        }
    }

    fn withdraw(&mut self, need: Need) {
        if let Entry::Occupied(mut count) = self.needs.entry(need) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.unsettled = true;
    }
}

/// Of what slots are dealt by; never that of nothing.
fn content(turns: &[Turn]) -> Digest {
    let mut writer = Writer::default();
    for Turn { address, weight, id } in turns {
        writer.number(number(address.ip()));
        let ports = u128::from(address.port());
        writer.number(ports << 64 | u128::from(*weight) << 32 | u128::from(*id));
    }
    writer.finish()
}
