//! Where each list of backends has its slots in the one slot array.

use std::collections::{BTreeMap, BTreeSet};

/// Lists by number, each with the first slot and how many it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    held: BTreeMap<u32, (u32, u32)>,
    /// Between held ranges, by first slot; no two touch.
    gaps: BTreeMap<u32, u32>,
    /// The same by length.
    by_length: BTreeSet<(u32, u32)>,
    /// Nothing is held from here on.
    end: u32,
}

impl Places {
    /// The first slot of a list and how many it has.
    pub(super) fn get(&self, list: u32) -> Option<(u32, u32)> {
        self.held.get(&list).copied()
    }

    /// Finds room below `room` for a list that holds none: the smallest gap that is large enough,
    /// or else what is behind everything. Says whether there was any.
    pub(super) fn take(&mut self, list: u32, size: u32, room: u32) -> bool {
        let length = aligned(size);
        let start = if let Some((free, start)) = self.by_length.range((length, 0)..).next().copied()
        {
            self.remove_gap(start, free);
            if free > length {
                self.insert_gap(start + length, free - length);
            }
            start
        } else if room.saturating_sub(self.end) >= length {
            self.end += length;
            self.end - length
        } else {
            return false;
        };
        self.held.insert(list, (start, size));
        true
    }

    /// Gives up what a list holds; says what it was, in slots that nobody else has.
    pub(super) fn free(&mut self, list: u32) -> Option<(u32, u32)> {
        let (first, size) = self.held.remove(&list)?;
        let (mut start, mut length) = (first, aligned(size));
        if let Some((before, free)) =
            self.gaps.range(..start).next_back().map(|(at, it)| (*at, *it))
            && before + free == start
        {
            self.remove_gap(before, free);
            (start, length) = (before, length + free);
        }
        if let Some(free) = self.gaps.get(&(start + length)).copied() {
            self.remove_gap(start + length, free);
            length += free;
        }
        if start + length == self.end {
            self.end = start;
        } else {
            self.insert_gap(start, length);
        }
        Some((first, aligned(size)))
    }

    /// How many slots are taken.
    pub(super) fn slots(&self) -> usize {
        self.held.values().map(|(_, size)| aligned(*size) as usize).sum()
    }

    fn insert_gap(&mut self, start: u32, length: u32) {
        self.gaps.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove_gap(&mut self, start: u32, length: u32) {
        self.gaps.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

/// Lists do not share words of two slots.
pub(super) fn aligned(size: u32) -> u32 {
    size.next_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn places_are_kept_and_gaps_are_filled() {
        let mut places = Places::default();
        for (list, size, start) in [(1, 4, 0), (2, 3, 4), (3, 6, 8)] {
            assert!(places.take(list, size, 20));
            assert_eq!(places.get(list), Some((start, size)));
        }
        assert_eq!(places.free(2), Some((4, 4)));
        assert!(places.take(2, 6, 20), "it grows");
        assert!(places.take(4, 1, 20), "its gap is used");
        assert_eq!([1, 2, 3, 4].map(|it| places.get(it).unwrap().0), [0, 14, 8, 4]);
        places.free(2);
        assert!(!places.take(5, 8, 20) && places.take(5, 6, 20));
        assert_eq!(places.slots(), 4 + 6 + 6 + 2);
    }

    proptest! {
        #[test]
        fn ranges_never_meet_and_gaps_are_what_is_left(steps in vec((0..8_u32, 0..9_u32), 1..40)) {
            const ROOM: u32 = 32;
            let mut places = Places::default();
            for (list, size) in steps {
                places.free(list);
                if size > 0 && !places.take(list, size, ROOM) {
                    let longest = places.gaps.values().copied().max().unwrap_or(0);
                    prop_assert!(longest.max(ROOM - places.end) < aligned(size));
                }
                let mut owners = [0; ROOM as usize];
                let held = places.held.values().map(|(start, size)| (*start, aligned(*size)));
                for (start, length) in held.chain(places.gaps.iter().map(|(at, it)| (*at, *it))) {
                    (start..start + length).for_each(|slot| owners[slot as usize] += 1);
                }
                let (taken, free) = owners.split_at(places.end as usize);
                prop_assert!(taken.iter().all(|it| *it == 1) && free.iter().all(|it| *it == 0));
                prop_assert_eq!(places.gaps.len(), places.by_length.len());
            }
        }
    }
}
