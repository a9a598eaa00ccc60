//! Numbers that are handed out, freed, and handed out again once they have rested.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// Compilations for which a freed number is out of use, however scarce numbers are.
pub(super) const QUARANTINE: u64 = 16;

/// Numbers from 1 on.
///
/// A freed number rests. It comes back only once every number up to the limit has been in use,
/// the longest-freed one first, and never within its quarantine: until then there were as many
/// new keys as the table is large, so flows that named it have been looked at again or have
/// expired (freeing what a flow can name moves the epochs).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// Numbers up to here have been in use at some time.
    highest: u32,
    /// Freed numbers and when they were freed, in that order.
    freed: VecDeque<(u32, u64)>,
}

/// What was done last, for [`Numbers::undo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Raised,
    /// From this place among the freed.
    Reused(usize, (u32, u64)),
    Freed,
}

impl Numbers {
    /// Those that were handed out by an earlier agent end here.
    pub(super) fn up_to(highest: u32) -> Self {
        Self { highest, freed: VecDeque::new() }
    }

    pub(super) fn highest(&self) -> u32 {
        self.highest
    }

    /// A number up to `limit`; freed ones rest for `quarantine` compilations.
    pub(super) fn take(&mut self, limit: u32, now: u64, quarantine: u64) -> Option<(u32, Step)> {
        if self.highest < limit {
            self.highest += 1;
            return Some((self.highest, Step::Raised));
        }
        let rested = self
            .freed
            .iter()
            .position(|(id, since)| *id <= limit && now.saturating_sub(*since) >= quarantine)?;
        let freed = self.freed.remove(rested)?;
        Some((freed.0, Step::Reused(rested, freed)))
    }

    pub(super) fn free(&mut self, id: u32, now: u64) -> Step {
        self.freed.push_back((id, now));
        Step::Freed
    }

    /// Takes the last step back.
    pub(super) fn undo(&mut self, step: Step) {
        match step {
            Step::Raised => self.highest -= 1,
            Step::Reused(place, freed) => self.freed.insert(place, freed),
            Step::Freed => drop(self.freed.pop_back()),
        }
    }

    /// Keeps clear of numbers that are used by others.
    pub(super) fn avoid(&mut self, ids: impl Iterator<Item = u32>, now: u64) {
        for id in ids {
            if id > self.highest {
                self.freed.extend((self.highest + 1..=id).map(|id| (id, now)));
                self.highest = id;
            }
        }
    }

    /// Knows of no number but that it was handed out: all that are not `used` rest from now on.
    pub(super) fn rest(&mut self, used: &BTreeSet<u32>, now: u64) {
        self.highest = self.highest.max(used.last().copied().unwrap_or(0));
        let unused = (1..=self.highest).filter(|id| !used.contains(id));
        self.freed = unused.map(|id| (id, now)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_back_one_by_one() {
        let mut numbers = Numbers::default();
        let taken = |numbers: &mut Numbers, now| {
            let before = numbers.clone();
            let (id, step) = numbers.take(3, now, QUARANTINE).unwrap();
            let mut undone = numbers.clone();
            undone.undo(step);
            assert_eq!(undone, before);
            id
        };
        assert_eq!([0; 3].map(|now| taken(&mut numbers, now)), [1, 2, 3]);
        for (id, now) in [(3, 5), (1, 6)] {
            let before = numbers.clone();
            let step = numbers.free(id, now);
            let mut undone = numbers.clone();
            undone.undo(step);
            assert_eq!(undone, before);
        }
        assert_eq!(numbers.take(3, 20, QUARANTINE), None);
        assert_eq!([30; 2].map(|now| taken(&mut numbers, now)), [3, 1]);
    }

    #[test]
    fn what_an_earlier_agent_handed_out_rests() {
        let mut numbers = Numbers::up_to(4);
        numbers.rest(&BTreeSet::from([2, 3]), 7);
        assert_eq!(numbers.take(5, 7, QUARANTINE), Some((5, Step::Raised)));
        assert_eq!(numbers.take(5, 8, QUARANTINE), None);
        assert_eq!(numbers.take(5, 7 + QUARANTINE, QUARANTINE).map(|(id, _)| id), Some(1));
        numbers = Numbers::default();
        numbers.rest(&BTreeSet::from([3]), 0);
        assert_eq!(numbers.highest(), 3);
    }
}
