//! The IPv4 address table: 16-8-8 levels, a chunk only where something changes inside.

use std::{
    collections::BTreeSet,
    iter::Peekable,
    net::{IpAddr, Ipv4Addr},
};

use abi::{
    address::{CHUNK, LEVEL1, Leaf},
    table::Table,
};

use super::{
    classes::Classes,
    ids::Allocator,
    marks::{Mark, Marks},
    ranges::Family,
};
use crate::draft::Draft;

/// A prefix that is not uniform, by its length (16 or 24) and upper bits: it needs a chunk.
pub(super) type Split = (u8, u32);

/// The table has room for fewer chunks than are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub needed: usize,
}

/// What the table says, by address.
pub(super) struct Addresses4<'a> {
    pub classes: &'a Classes,
    pub marks: &'a Marks,
}

impl Addresses4<'_> {
    /// Writes what lies below these /16 anew; chunks keep their places while their prefix needs
    /// one, and others may have them at once.
    pub(super) fn write(
        &self,
        uppers: &BTreeSet<u16>,
        chunks: &mut Allocator<Split>,
        room: u32,
        draft: &mut Draft,
    ) -> Result<(), Full> {
        let splits: Vec<BTreeSet<Split>> =
            uppers.iter().map(|upper| self.splits(u32::from(*upper))).collect();
        for (upper, splits) in uppers.iter().zip(&splits) {
            let upper = u32::from(*upper);
            chunks.keep(&(16, upper), &(16, upper), splits, 0);
            chunks.keep(&(24, upper << 8), &(24, upper << 8 | 0xff), splits, 0);
        }
        for split in splits.into_iter().flatten() {
            if !chunks.take(split, room, 0, 0) {
                let all = (0..LEVEL1 as u32).map(|upper| self.splits(upper).len());
                return Err(Full { needed: all.sum() });
            }
        }
        for upper in uppers {
            self.write_upper(u32::from(*upper), chunks, draft);
        }
        Ok(())
    }

    fn write_upper(&self, upper: u32, chunks: &Allocator<Split>, draft: &mut Draft) {
        let chunk = |length: u8, prefix: u32| chunks.get(&(length, prefix)).map(|id| id - 1);
        let start = |chunk: u32| LEVEL1 + chunk as usize * CHUNK;
        let mut write = |word: usize, leaf: Leaf| draft.set_word(Table::Addresses4, word, leaf.0);

        let mut leaves = self.leaves(upper);
        let Some(second) = chunk(16, upper) else {
            write(upper as usize, leaves.at(upper << 16));
            return;
        };
        write(upper as usize, Leaf::chunk(second));
        for byte in 0..CHUNK {
            let prefix = upper << 8 | byte as u32;
            let word = start(second) + byte;
            let Some(third) = chunk(24, prefix) else {
                write(word, leaves.at(prefix << 8));
                continue;
            };
            write(word, Leaf::chunk(third));
            for last in 0..CHUNK {
                write(start(third) + last, leaves.at(prefix << 8 | last as u32));
            }
        }
    }

    /// The prefixes of a /16 that are not uniform.
    fn splits(&self, upper: u32) -> BTreeSet<Split> {
        let (first, last) = bounds(upper);
        let mut splits = BTreeSet::new();
        for (address, _) in self.classes.cuts(Family::V4, first.into(), last.into()) {
            let address = address as u32;
            if address << 16 != 0 {
                splits.insert((16, upper));
            }
            if address << 24 != 0 {
                splits.insert((24, address >> 8));
            }
        }
        for (address, _) in self.marks(upper) {
            splits.insert((16, upper));
            splits.insert((24, address >> 8));
        }
        splits
    }

    fn marks(&self, upper: u32) -> impl Iterator<Item = (u32, Mark)> {
        let (first, last) = bounds(upper);
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));
        self.marks.range(address(first), address(last)).filter_map(
            |(address, mark)| match address {
                IpAddr::V4(address) => Some((address.to_bits(), mark)),
                IpAddr::V6(_) => None,
            },
        )
    }

    fn leaves(
        &self,
        upper: u32,
    ) -> Leaves<impl Iterator<Item = (u128, u32)>, impl Iterator<Item = (u32, Mark)>> {
        let (first, last) = bounds(upper);
        Leaves {
            class: self.classes.class(Family::V4, first.into()),
            cuts: self.classes.cuts(Family::V4, first.into(), last.into()).peekable(),
            marks: self.marks(upper).peekable(),
        }
    }
}

fn bounds(upper: u32) -> (u32, u32) {
    (upper << 16, upper << 16 | 0xffff)
}

/// Reads leaves in ascending order of addresses.
struct Leaves<C: Iterator<Item = (u128, u32)>, M: Iterator<Item = (u32, Mark)>> {
    class: u32,
    cuts: Peekable<C>,
    marks: Peekable<M>,
}

impl<C: Iterator<Item = (u128, u32)>, M: Iterator<Item = (u32, Mark)>> Leaves<C, M> {
    fn at(&mut self, address: u32) -> Leaf {
        while let Some((_, class)) = self.cuts.next_if(|(first, _)| *first <= address as u128) {
            self.class = class;
        }
        let mark = self.marks.next_if(|(marked, _)| *marked == address);
        mark.map_or_else(Mark::default, |(_, mark)| mark).leaf(self.class)
    }
}
