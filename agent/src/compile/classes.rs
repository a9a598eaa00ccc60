//! Classes: addresses that are in the same peer groups are one class.
//!
//! Each address space is cut into segments of equal membership; equal memberships are one class
//! wherever they lie. This is exact for any nesting and overlap. A group that gains or loses a
//! range touches the segments of that range only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
};

use super::ranges::Family;

/// Which address is in which groups.
#[derive(Debug)]
pub(super) struct Classes {
    /// Memberships that segments have, or had a moment ago.
    members: Vec<Membership>,
    ids: HashMap<Box<[u32]>, Id>,
    /// First address of each segment, ascending, the first at address 0.
    segments: [BTreeMap<u128, Id>; 2],
    /// Memberships that have come up or gone since the last renumbering.
    unsettled: BTreeSet<Id>,
    vacant: Vec<Id>,
    /// Numbers below [`Self::end`] that no class has.
    free: BTreeSet<u32>,
    end: u32,
}

/// An index in `members`.
type Id = u32;

#[derive(Debug, Default)]
struct Membership {
    /// Ascending.
    groups: Box<[u32]>,
    segments: u32,
    number: Option<u32>,
}

/// The memberships of class 0: none.
const NOBODY: Id = 0;

/// What became of the classes: numbers that are no longer in use, and those that are now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Renumbering {
    pub gone: Vec<u32>,
    pub new: Vec<u32>,
}

impl Renumbering {
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

impl Default for Classes {
    fn default() -> Self {
        let nobody = Membership { segments: 2, number: Some(0), ..Membership::default() };
        Self {
            members: vec![nobody],
            ids: HashMap::from([(Box::default(), NOBODY)]),
            segments: [(); 2].map(|()| BTreeMap::from([(0, NOBODY)])),
            unsettled: BTreeSet::new(),
            vacant: Vec::new(),
            free: BTreeSet::new(),
            end: 1,
        }
    }
}

impl Classes {
    /// Has a group gain the addresses of a range that it lacks, and lose those that it has.
    pub(super) fn toggle(&mut self, family: Family, (first, last): (u128, u128), group: u32) {
        let next = (last < family.last()).then(|| last + 1);
        self.cut(family, first);
        if let Some(next) = next {
            self.cut(family, next);
        }
        let inside: Vec<(u128, Id)> =
            self.segments[family as usize].range(first..=last).map(|(at, id)| (*at, *id)).collect();
        for (at, id) in inside {
            let toggled = self.toggled(id, group);
            self.join(toggled);
            self.segments[family as usize].insert(at, toggled);
            self.leave(id);
        }
        self.mend(family, first);
        if let Some(next) = next {
            self.mend(family, next);
        }
    }

    /// Gives numbers to new classes, the lowest that are free, and takes those of classes that
    /// no address has any more. Until then an address may have no number.
    pub(super) fn renumber(&mut self) -> Renumbering {
        let mut renumbering = Renumbering::default();
        let unsettled = mem::take(&mut self.unsettled);
        let (kept, dead): (Vec<Id>, Vec<Id>) =
            unsettled.into_iter().partition(|id| self.members[*id as usize].segments > 0);
        for id in dead {
            let Membership { groups, number, .. } = mem::take(&mut self.members[id as usize]);
            self.ids.remove(&groups);
            self.vacant.push(id);
            if let Some(number) = number {
                self.free.insert(number);
                renumbering.gone.push(number);
            }
        }
        for id in kept {
            if self.members[id as usize].number.is_none() {
                let number = self.free.pop_first().unwrap_or_else(|| {
                    self.end += 1;
                    self.end - 1
                });
                self.members[id as usize].number = Some(number);
                renumbering.new.push(number);
            }
        }
        renumbering
    }

    /// Numbers are below this.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The number and the groups of every class.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u32])> {
        self.members.iter().filter_map(|it| Some((it.number?, &*it.groups)))
    }

    pub(super) fn class(&self, family: Family, address: u128) -> u32 {
        let mut before = self.segments[family as usize].range(..=address);
        self.number(before.next_back().map_or(NOBODY, |(_, id)| *id))
    }

    /// First address and class of the segments that begin in a range.
    pub(super) fn cuts(
        &self,
        family: Family,
        first: u128,
        last: u128,
    ) -> impl Iterator<Item = (u128, u32)> {
        let segments = self.segments[family as usize].range(first..=last);
        segments.map(|(at, id)| (*at, self.number(*id)))
    }

    fn number(&self, id: Id) -> u32 {
        self.members[id as usize].number.unwrap_or(0)
    }

    /// Has a segment begin at an address.
    fn cut(&mut self, family: Family, at: u128) {
        let segments = &mut self.segments[family as usize];
        if let Some((first, id)) = segments.range(..=at).next_back()
            && *first != at
        {
            let id = *id;
            segments.insert(at, id);
            self.join(id);
        }
    }

    /// Has no segment begin at an address where nothing changes.
    fn mend(&mut self, family: Family, at: u128) {
        let segments = &mut self.segments[family as usize];
        let mut upto = segments.range(..=at).rev();
        let (Some((_, here)), Some((_, before))) = (upto.next(), upto.next()) else { return };
        if here == before {
            let id = *here;
            segments.remove(&at);
            self.leave(id);
        }
    }

    fn toggled(&mut self, id: Id, group: u32) -> Id {
        let groups = &self.members[id as usize].groups;
        let toggled: Box<[u32]> = match groups.binary_search(&group) {
            Ok(at) => [&groups[..at], &groups[at + 1..]].concat().into(),
            Err(at) => [&groups[..at], &[group], &groups[at..]].concat().into(),
        };
        if let Some(id) = self.ids.get(&toggled) {
            return *id;
        }
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.members.push(Membership::default());
            self.members.len() as Id - 1
        });
        self.members[id as usize] = Membership { groups: toggled.clone(), ..Membership::default() };
        self.ids.insert(toggled, id);
        id
    }

    fn join(&mut self, id: Id) {
        let membership = &mut self.members[id as usize];
        membership.segments += 1;
        if membership.segments == 1 {
            self.unsettled.insert(id);
        }
    }

    fn leave(&mut self, id: Id) {
        let membership = &mut self.members[id as usize];
        membership.segments -= 1;
        if membership.segments == 0 && id != NOBODY {
            self.unsettled.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups_at(classes: &Classes, address: u128) -> Vec<u32> {
        let class = classes.class(Family::V4, address);
        let found = classes.iter().find(|(number, _)| *number == class);
        found.map(|(_, groups)| groups.to_vec()).unwrap()
    }

    #[test]
    fn ranges_nest_overlap_and_end_where_the_space_does() {
        let mut classes = Classes::default();
        let last = Family::V4.last();
        for (range, group) in [((10, 30), 1), ((20, last), 2), ((0, 10), 3), ((25, 25), 4)] {
            classes.toggle(Family::V4, range, group);
        }
        classes.renumber();
        let rows: [(u128, &[u32]); 9] = [
            (0, &[3]),
            (9, &[3]),
            (10, &[1, 3]),
            (11, &[1]),
            (20, &[1, 2]),
            (25, &[1, 2, 4]),
            (26, &[1, 2]),
            (31, &[2]),
            (last, &[2]),
        ];
        for (address, groups) in rows {
            assert_eq!(groups_at(&classes, address), groups, "{address}");
        }
        assert_eq!(classes.class(Family::V6, 20), 0);
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut classes = Classes::default();
        classes.toggle(Family::V4, (5, 9), 1);
        assert_eq!(classes.renumber(), Renumbering { gone: vec![], new: vec![1] });
        classes.toggle(Family::V4, (7, 7), 2);
        assert_eq!(classes.renumber(), Renumbering { gone: vec![], new: vec![2] });
        // The same addresses, now in the other group alone.
        classes.toggle(Family::V4, (7, 7), 1);
        assert_eq!(classes.renumber(), Renumbering { gone: vec![2], new: vec![2] });
        classes.toggle(Family::V4, (7, 7), 2);
        classes.toggle(Family::V4, (5, 6), 1);
        classes.toggle(Family::V4, (8, 9), 1);
        assert_eq!(classes.renumber(), Renumbering { gone: vec![1, 2], new: vec![] });
        assert_eq!(classes.iter().count(), 1);
        assert_eq!(classes.cuts(Family::V4, 0, Family::V4.last()).collect::<Vec<_>>(), [(0, 0)]);
    }
}
