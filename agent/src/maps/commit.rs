//! From one image to the next, whole or not at all.
//!
//! The side that packets read is never written. A commit writes its differences to the other
//! side, switches packets over by one store, waits until no packet reads the old side any more
//! and repeats the differences there. What a side really holds is what the next commit compares
//! with, so an abandoned attempt leaves nothing to repair but time.

use std::{collections::BTreeSet, io, time::Instant};

use abi::{
    control::{Control, Intent},
    table::{BLOCK_WORDS, Table},
};

use super::{
    backing::{Backing, Field},
    keyed::{Encoded, Entries, Keyed},
};
use crate::{
    dataplane::{CommitError, Stamp},
    draft::Compiled,
    image::Image,
};

/// The sided tables in some [`Backing`].
pub struct Tables<B> {
    backing: B,
    /// Of each side and table, the words from here on are zero.
    used: [[usize; Table::ALL.len()]; 2],
    /// How many entries each side's hashes hold; `None` where that is to be counted.
    entries: [[Option<usize>; Keyed::ALL.len()]; 2],
    /// Whether both sides are known to hold the last image.
    settled: bool,
    /// Whether a packet may still be reading the side that the generation does not name.
    unsettled: bool,
}

impl<B: Backing> Tables<B> {
    /// Takes over tables as they are, new or of an earlier agent.
    pub fn adopt(backing: B) -> Self {
        let used = [0, 1].map(|side| Table::ALL.map(|table| used_words(&backing, table, side)));
        let unsettled = backing.control().intent != Intent::SETTLED;
        Self { backing, used, entries: Default::default(), settled: false, unsettled }
    }

    pub fn backing(&self) -> &B {
        &self.backing
    }

    /// See [`crate::dataplane::Dataplane::commit`].
    pub fn commit<'d>(
        &mut self,
        compiled: impl Into<Compiled<'d>>,
        stamp: Stamp,
    ) -> Result<Instant, CommitError> {
        let Compiled { image, changes } = compiled.into();
        // Differences from the last image say nothing of a side that holds something else.
        let changes = changes.filter(|_| std::mem::take(&mut self.settled));
        let compiled = Compiled { image, changes };
        let encoded = self.encode(compiled)?;
        if self.unsettled {
            self.grace_period()?;
        }
        self.backing.set_control(Field::Intent(Intent::WRITING));
        self.announce_prefixes(image);

        let generation = self.backing.control().generation.wrapping_add(1);
        let [even, odd] = encoded;
        let (new, old) = if Control::side(generation) == 0 { (even, odd) } else { (odd, even) };
        self.write_side(Control::side(generation), compiled, new)?;
        self.backing.set_control(Field::Generation(generation));
        let visible = Instant::now();
        self.unsettled = true;
        self.set_stamp(stamp);

        // Packets see the image whatever happens from here on.
        if let Err(error) = self.write_old_side(Control::side(generation + 1), compiled, old) {
            tracing::warn!(%error, "the side that packets left could not be brought up to date");
        }
        Ok(visible)
    }

    /// Finishes what a predecessor left in the middle: the other side gets what packets read.
    pub fn settle(&mut self) {
        if !self.unsettled {
            return;
        }
        let (image, _) = self.held().unwrap_or_default();
        let old = Control::side(self.backing.control().generation.wrapping_add(1));
        let compiled = Compiled::from(&image);
        let settled = self.encode(compiled).and_then(|[even, odd]| {
            self.write_old_side(old, compiled, if old == 0 { even } else { odd })
        });
        if let Err(error) = settled {
            tracing::warn!(%error, "the side that packets do not read could not be repaired");
        }
    }

    /// What packets read and since which commit; `None` before the first.
    pub fn held(&self) -> Option<(Image, Stamp)> {
        let control = self.backing.control();
        if control.generation == 0 {
            return None;
        }
        let side = Control::side(control.generation);
        let mut image = Image::default();
        for table in Table::ALL {
            for word in 0..self.used[side as usize][table as usize] {
                let value = self.backing.load(table, side, word);
                if value != 0 {
                    image.set_word(table, word, value);
                }
            }
        }
        for keyed in Keyed::ALL {
            match self.side_entries(keyed, side) {
                Ok(entries) => keyed.decode(&entries, &mut image),
                Err(error) => tracing::error!(%error, "cannot read {}", keyed.map_name()),
            }
        }
        let [low, high] = control.lineage;
        let lineage = u128::from(low) | u128::from(high) << 64;
        Some((image, Stamp { lineage, revision: control.revision }))
    }

    /// How many entries one side's hash has.
    pub fn side_len(&self, keyed: Keyed, side: u32) -> io::Result<usize> {
        match self.entries[side as usize][keyed as usize] {
            Some(entries) => Ok(entries),
            None => Ok(self.side_entries(keyed, side)?.len()),
        }
    }

    /// Entries of one side's hash. Nothing remembers them: they are many.
    pub fn side_entries(&self, keyed: Keyed, side: u32) -> io::Result<Entries> {
        let mut entries = self.backing.entries(keyed)?;
        entries.retain(|key, _| keyed.side(key) == side);
        Ok(entries)
    }

    /// Words of a side that may differ from zero.
    pub fn used(&self, table: Table, side: u32) -> usize {
        self.used[side as usize][table as usize]
    }

    /// The hashes' content for either side, if everything fits.
    fn encode(&self, compiled: Compiled<'_>) -> Result<[EncodedSide; 2], CommitError> {
        let image = compiled.image;
        for table in Table::ALL {
            let needed = trimmed(image.words(table));
            let capacity = self.backing.words(table);
            if needed > capacity {
                let table = table.map_name();
                return Err(CommitError::Capacity { table, needed, capacity });
            }
        }
        let mut sides = [EncodedSide::default(), EncodedSide::default()];
        for keyed in Keyed::ALL {
            let (needed, capacity) = (keyed.len(image), self.backing.entries_capacity(keyed) / 2);
            if needed > capacity {
                let table = keyed.map_name();
                return Err(CommitError::Capacity { table, needed, capacity });
            }
            for (side, encoded) in (0..).zip(&mut sides) {
                encoded[keyed as usize] = keyed.encode(compiled, side)?;
            }
        }
        Ok(sides)
    }

    fn write_old_side(
        &mut self,
        side: u32,
        compiled: Compiled<'_>,
        encoded: EncodedSide,
    ) -> Result<(), CommitError> {
        self.grace_period()?;
        self.write_side(side, compiled, encoded)?;
        if compiled.image.prefixes6.is_empty() {
            let flags = self.backing.control().flags & !Control::PREFIXES6;
            self.backing.set_control(Field::Flags(flags));
        }
        self.backing.set_control(Field::Intent(Intent::SETTLED));
        self.settled = true;
        Ok(())
    }

    /// Brings a side that no packet reads to an image.
    fn write_side(
        &mut self,
        side: u32,
        compiled: Compiled<'_>,
        encoded: EncodedSide,
    ) -> Result<(), CommitError> {
        let Compiled { image, changes } = compiled;
        for table in Table::ALL {
            let words = trimmed(image.words(table));
            let before = self.used(table, side);
            self.used[side as usize][table as usize] = before.max(words);
            match changes {
                None => {
                    for word in 0..before.max(words) {
                        self.write_word(table, side, word, image);
                    }
                }
                Some(changes) => {
                    for word in &changes.words[table as usize] {
                        self.write_word(table, side, *word as usize, image);
                    }
                }
            }
            self.used[side as usize][table as usize] = words;
        }
        for (keyed, entries) in Keyed::ALL.into_iter().zip(encoded) {
            self.write_entries(keyed, side, entries, changes.is_none())
                .map_err(|source| CommitError::Write { table: keyed.map_name(), source })?;
        }
        Ok(())
    }

    fn write_word(&mut self, table: Table, side: u32, word: usize, image: &Image) {
        let value = image.word(table, word);
        if self.backing.load(table, side, word) != value {
            self.backing.store(table, side, word, value);
        }
    }

    /// Brings a hash to these entries; `whole`: there are no others.
    fn write_entries(
        &mut self,
        keyed: Keyed,
        side: u32,
        mut wanted: Encoded,
        whole: bool,
    ) -> io::Result<()> {
        let before = self.entries[side as usize][keyed as usize].take();
        let held =
            if whole { self.side_entries(keyed, side)? } else { self.held_of(keyed, &wanted)? };
        if whole {
            let keys: BTreeSet<&[u8]> = wanted.iter().map(|(key, _)| &**key).collect();
            let gone = held.keys().filter(|key| !keys.contains(&***key));
            let gone: Encoded = gone.map(|key| (key.clone(), None)).collect();
            wanted.extend(gone);
        }
        wanted.retain(|(key, value)| held.get(key) != value.as_ref());
        let removed: Vec<&[u8]> =
            wanted.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| &**key).collect();
        let inserted: Vec<(&[u8], &[u8])> =
            wanted.iter().filter_map(|(key, value)| Some((&**key, &**value.as_ref()?))).collect();
        if !removed.is_empty() {
            self.backing.remove(keyed, &removed)?;
        }
        if !inserted.is_empty() {
            self.backing.insert(keyed, &inserted)?;
        }
        let new = inserted.iter().filter(|(key, _)| !held.contains_key(*key)).count();
        let before = if whole { Some(held.len()) } else { before };
        self.entries[side as usize][keyed as usize] = before.map(|it| it + new - removed.len());
        Ok(())
    }

    /// The entries that there are of these keys.
    fn held_of(&self, keyed: Keyed, wanted: &Encoded) -> io::Result<Entries> {
        let mut held = Entries::new();
        for (key, _) in wanted {
            if let Some(value) = self.backing.entry(keyed, key)? {
                held.insert(key.clone(), value);
            }
        }
        Ok(held)
    }

    /// The flag is not sided: it is set before the first prefix appears and cleared after the
    /// last is gone from both sides.
    fn announce_prefixes(&mut self, image: &Image) {
        let flags = self.backing.control().flags;
        if !image.prefixes6.is_empty() && flags & Control::PREFIXES6 == 0 {
            self.backing.set_control(Field::Flags(flags | Control::PREFIXES6));
        }
    }

    /// A lineage never stands beside another lineage's revision.
    fn set_stamp(&mut self, stamp: Stamp) {
        let lineage = [stamp.lineage as u64, (stamp.lineage >> 64) as u64];
        if self.backing.control().lineage != lineage {
            self.backing.set_control(Field::Revision(0));
            self.backing.set_control(Field::Lineage(lineage));
        }
        self.backing.set_control(Field::Revision(stamp.revision));
    }

    fn grace_period(&mut self) -> Result<(), CommitError> {
        self.backing
            .grace_period()
            .map_err(|source| CommitError::Write { table: "the grace-period map", source })?;
        self.unsettled = false;
        Ok(())
    }
}

type EncodedSide = [Encoded; Keyed::ALL.len()];

/// The length without trailing zeros, in whole blocks.
fn trimmed(words: &[u64]) -> usize {
    words
        .iter()
        .rposition(|word| *word != 0)
        .map_or(0, |last| (last + 1).next_multiple_of(BLOCK_WORDS))
}

fn used_words(backing: &impl Backing, table: Table, side: u32) -> usize {
    (0..backing.words(table))
        .rev()
        .find(|word| backing.load(table, side, *word) != 0)
        .map_or(0, |last| (last + 1).next_multiple_of(BLOCK_WORDS))
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
