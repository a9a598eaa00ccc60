//! Where the slots of each list of backends lie in the one slot array.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lists of backends by number, each with the first slot and how many it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places(BTreeMap<u32, (u32, u32)>);

/// The slots do not fit, however they are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub needed: usize,
}

impl Places {
    /// Lays out ranges of the given sizes by list. What kept its size keeps its place; the
    /// rest takes the first gap that is large enough. When none is, all are laid out anew. What
    /// cannot fit changes nothing.
    pub(super) fn assign(&mut self, sizes: &BTreeMap<u32, u32>, room: u32) -> Result<(), Full> {
        let needed = sizes.values().map(|size| aligned(*size) as usize).sum();
        if needed > room as usize {
            return Err(Full { needed });
        }
        self.0.retain(|service, (start, size)| {
            sizes.get(service) == Some(size) && *start + aligned(*size) <= room
        });
        if !self.fill(sizes, room) {
            self.0.clear();
            self.fill(sizes, room);
        }
        Ok(())
    }

    /// How many slots are taken.
    pub(super) fn slots(&self) -> usize {
        self.0.values().map(|(_, size)| aligned(*size) as usize).sum()
    }

    /// The first slot of a list and how many it has.
    pub(super) fn get(&self, list: u32) -> Option<(u32, u32)> {
        self.0.get(&list).copied()
    }

    fn fill(&mut self, sizes: &BTreeMap<u32, u32>, room: u32) -> bool {
        let mut gaps = self.gaps(room);
        for (service, size) in sizes {
            if self.0.contains_key(service) {
                continue;
            }
            let length = aligned(*size);
            let Some(index) = gaps.iter().position(|(_, free)| *free >= length) else {
                return false;
            };
            let (start, free) = gaps[index];
            self.0.insert(*service, (start, *size));
            if free == length {
                gaps.remove(index);
            } else {
                gaps[index] = (start + length, free - length);
            }
        }
        true
    }

    fn gaps(&self, room: u32) -> Vec<(u32, u32)> {
        let mut held: Vec<_> = self.0.values().copied().collect();
        held.sort_unstable();
        let mut gaps = Vec::new();
        let mut free = 0;
        for (start, size) in held {
            gaps.push((free, start - free));
            free = start + aligned(size);
        }
        gaps.push((free, room.saturating_sub(free)));
        gaps.retain(|(_, length)| *length > 0);
        gaps
    }
}

/// Lists do not share words of two slots.
fn aligned(size: u32) -> u32 {
    size.next_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, the sizes asked for, and some of the starts given.
    type Step<'t> = (&'t str, &'t [(u32, u32)], &'t [(u32, u32)]);

    #[test]
    fn places_are_kept_and_gaps_are_filled() {
        let mut places = Places::default();
        let steps: &[Step<'_>] = &[
            ("first", &[(1, 4), (2, 3), (3, 6)], &[(1, 0), (2, 4), (3, 8)]),
            ("one grows", &[(1, 4), (2, 6), (3, 6)], &[(1, 0), (2, 14), (3, 8)]),
            (
                "its gap is used",
                &[(1, 4), (2, 6), (3, 6), (4, 1)],
                &[(1, 0), (2, 14), (3, 8), (4, 4)],
            ),
            ("packed anew", &[(1, 4), (3, 6), (5, 10)], &[(1, 0), (3, 4), (5, 10)]),
        ];
        for (name, sizes, starts) in steps {
            places.assign(&sizes.iter().copied().collect(), 20).unwrap();
            for (service, start) in *starts {
                let (at, _) = places.get(*service).unwrap();
                assert_eq!(at, *start, "{name}: {service}");
            }
        }
        let before = places.clone();
        assert_eq!(places.assign(&BTreeMap::from([(1, 19), (2, 1)]), 20), Err(Full { needed: 22 }));
        assert_eq!(places, before);
    }
}
