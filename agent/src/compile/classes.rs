//! Classes: addresses that are in the same address sets are one class.
//!
//! A sweep over the sorted edges of all sets cuts each address space into segments of equal
//! membership; equal memberships are one class wherever they lie. This is exact for any nesting
//! and overlap, and costs a sort of the edges plus one hash of the membership per cut.

use std::collections::{BTreeMap, HashMap};

use super::ranges::{Family, SetRanges};

/// Which address is in which sets.
#[derive(Debug)]
pub(super) struct Classes {
    /// The sets of each class, ascending; class 0 is in none.
    members: Vec<Box<[u32]>>,
    segments: [Segments; 2],
}

/// An address space cut at the addresses where the class changes.
#[derive(Debug)]
pub(super) struct Segments {
    /// First address and class of each segment, ascending, the first at address 0.
    cuts: Vec<(u128, u32)>,
}

impl Classes {
    /// Numbers depend only on which memberships there are, not on where the addresses lie.
    pub(super) fn new(sets: &[SetRanges]) -> Self {
        let mut found = HashMap::new();
        found.insert(Box::default(), 0);
        let mut segments = Family::ALL.map(|family| sweep(sets, family, &mut found));

        let ordered: BTreeMap<Box<[u32]>, u32> = found.into_iter().collect();
        let mut numbers = vec![0; ordered.len()];
        for (number, provisional) in ordered.values().enumerate() {
            numbers[*provisional as usize] = number as u32;
        }
        for (_, class) in segments.iter_mut().flat_map(|segments| &mut segments.cuts) {
            *class = numbers[*class as usize];
        }
        Self { members: ordered.into_keys().collect(), segments }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The sets of each class, in the order of classes.
    pub(super) fn members(&self) -> impl Iterator<Item = &[u32]> {
        self.members.iter().map(|sets| &**sets)
    }

    pub(super) fn segments(&self, family: Family) -> &Segments {
        &self.segments[family as usize]
    }
}

impl Segments {
    pub(super) fn class(&self, address: u128) -> u32 {
        self.cuts[self.cuts.partition_point(|(first, _)| *first <= address) - 1].1
    }

    pub(super) fn cuts(&self) -> &[(u128, u32)] {
        &self.cuts
    }
}

fn sweep(sets: &[SetRanges], family: Family, found: &mut HashMap<Box<[u32]>, u32>) -> Segments {
    let mut edges: Vec<(u128, u32)> = Vec::new();
    for (set, ranges) in sets.iter().enumerate() {
        for (first, last) in ranges.family(family).as_slice() {
            edges.push((*first, set as u32));
            if *last < family.last() {
                edges.push((last + 1, set as u32));
            }
        }
    }
    edges.sort_unstable();

    let mut cuts = vec![(0, 0)];
    let mut inside: Vec<u32> = Vec::new();
    for edges_here in edges.chunk_by(|one, other| one.0 == other.0) {
        // A set's ranges do not touch, so each of its edges is a change.
        for (_, set) in edges_here {
            match inside.binary_search(set) {
                Ok(at) => drop(inside.remove(at)),
                Err(at) => inside.insert(at, *set),
            }
        }
        let class = if let Some(class) = found.get(&*inside) {
            *class
        } else {
            let class = found.len() as u32;
            found.insert(inside.clone().into(), class);
            class
        };
        let here = edges_here[0].0;
        if here == 0 {
            cuts[0].1 = class;
        } else {
            cuts.push((here, class));
        }
    }
    cuts.dedup_by_key(|(_, class)| *class);
    Segments { cuts }
}
