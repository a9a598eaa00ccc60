//! The IPv4 address table: 16-8-8 levels, a chunk only where something changes inside.

use std::{collections::BTreeSet, iter::Peekable, net::IpAddr};

use abi::{
    address::{CHUNK, LEVEL1, Leaf},
    table::Table,
};

use super::{
    classes::Segments,
    ids::{Allocator, Exhausted},
    marks::{Mark, Marks},
};
use crate::image::Image;

/// A prefix that is not uniform, by its length (16 or 24) and upper bits: it needs a chunk.
type Split = (u8, u32);

/// Writes the table; chunks keep their places while their prefix needs one.
pub(super) fn write(
    image: &mut Image,
    segments: &Segments,
    marks: &Marks,
    chunks: &mut Allocator<Split>,
    room: u32,
    now: u64,
) -> Result<(), Exhausted<Split>> {
    chunks.assign(splits(segments, marks), room, now, 0)?;
    let chunk = |length: u8, prefix: u32| chunks.get(&(length, prefix)).map(|id| id - 1);
    let start = |chunk: u32| LEVEL1 + chunk as usize * CHUNK;

    let mut leaves = Leaves::new(segments, marks);
    for upper in 0..LEVEL1 as u32 {
        let Some(second) = chunk(16, upper) else {
            image.set_word(Table::Addresses4, upper as usize, leaves.at(upper << 16).0);
            continue;
        };
        image.set_word(Table::Addresses4, upper as usize, Leaf::chunk(second).0);
        for byte in 0..CHUNK {
            let prefix = upper << 8 | byte as u32;
            let word = start(second) + byte;
            let Some(third) = chunk(24, prefix) else {
                image.set_word(Table::Addresses4, word, leaves.at(prefix << 8).0);
                continue;
            };
            image.set_word(Table::Addresses4, word, Leaf::chunk(third).0);
            for last in 0..CHUNK {
                let leaf = leaves.at(prefix << 8 | last as u32);
                image.set_word(Table::Addresses4, start(third) + last, leaf.0);
            }
        }
    }
    Ok(())
}

fn splits(segments: &Segments, marks: &Marks) -> BTreeSet<Split> {
    let mut splits = BTreeSet::new();
    for address in segments.cuts().iter().map(|(first, _)| *first as u32) {
        if address << 16 != 0 {
            splits.insert((16, address >> 16));
        }
        if address << 24 != 0 {
            splits.insert((24, address >> 8));
        }
    }
    for (address, _) in v4(marks) {
        splits.insert((16, address >> 16));
        splits.insert((24, address >> 8));
    }
    splits
}

fn v4(marks: &Marks) -> impl Iterator<Item = (u32, Mark)> {
    marks.iter().filter_map(|(address, mark)| match address {
        IpAddr::V4(address) => Some((u32::from(*address), *mark)),
        IpAddr::V6(_) => None,
    })
}

/// Reads leaves in ascending order of addresses.
struct Leaves<'s, M: Iterator<Item = (u32, Mark)>> {
    class: u32,
    cuts: Peekable<std::slice::Iter<'s, (u128, u32)>>,
    marks: Peekable<M>,
}

impl<'s> Leaves<'s, std::iter::Empty<(u32, Mark)>> {
    fn new<'m>(
        segments: &'s Segments,
        marks: &'m Marks,
    ) -> Leaves<'s, impl Iterator<Item = (u32, Mark)> + use<'m>> {
        Leaves { class: 0, cuts: segments.cuts().iter().peekable(), marks: v4(marks).peekable() }
    }
}

impl<M: Iterator<Item = (u32, Mark)>> Leaves<'_, M> {
    fn at(&mut self, address: u32) -> Leaf {
        while let Some((_, class)) = self.cuts.next_if(|(first, _)| *first <= address as u128) {
            self.class = *class;
        }
        let mark = self.marks.next_if(|(marked, _)| *marked == address);
        mark.map_or_else(Mark::default, |(_, mark)| mark).leaf(self.class)
    }
}
