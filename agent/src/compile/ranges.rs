//! Sets of addresses as sorted ranges of numbers, one space per address family.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{AddressSet, Prefix};

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(super) enum Family {
    #[default]
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The largest address.
    pub(super) const fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }
}

/// An address as a number within its family.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address) as u128,
        IpAddr::V6(address) => u128::from(address),
    }
}

/// First and last address of a prefix.
pub(super) fn bounds(prefix: Prefix) -> (u128, u128) {
    (number(prefix.net().network()), number(prefix.net().broadcast()))
}

/// Inclusive ranges: sorted, disjoint, not adjacent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    pub(super) fn of_prefixes(prefixes: &[Prefix], family: Family) -> Self {
        let of_family = |prefix: &&Prefix| Family::of(prefix.net().addr()) == family;
        Self::merged(prefixes.iter().filter(of_family).map(|prefix| bounds(*prefix)).collect())
    }

    fn merged(mut all: Vec<(u128, u128)>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn minus(&self, except: &Self) -> Self {
        let mut rest = Vec::with_capacity(self.0.len());
        let mut holes = except.0.iter().copied().peekable();
        for &(first, last) in &self.0 {
            let mut from = Some(first);
            while let Some((hole_first, hole_last)) = holes.peek().copied() {
                if hole_first > last {
                    break;
                }
                if let Some(start) = from
                    && hole_last >= start
                {
                    if hole_first > start {
                        rest.push((start, hole_first - 1));
                    }
                    from = hole_last.checked_add(1).filter(|next| *next <= last);
                }
                // A hole that reaches beyond this range may cut into the next one.
                if hole_last >= last {
                    break;
                }
                holes.next();
            }
            if let Some(start) = from {
                rest.push((start, last));
            }
        }
        Self(rest)
    }

    /// What is in one of the two and not in the other.
    pub(super) fn difference(&self, other: &Self, family: Family) -> Vec<(u128, u128)> {
        let mut edges: Vec<u128> =
            [self, other].into_iter().flat_map(|it| it.edges(family)).collect();
        edges.sort_unstable();
        // An edge of both is none of the difference.
        let edges: Vec<u128> = edges
            .chunk_by(|one, other| one == other)
            .filter(|same| same.len() == 1)
            .map(|same| same[0])
            .collect();
        edges
            .chunks(2)
            .map(|pair| (pair[0], pair.get(1).map_or(family.last(), |end| end - 1)))
            .collect()
    }

    /// The addresses at which a range begins or has ended.
    fn edges(&self, family: Family) -> impl Iterator<Item = u128> {
        self.0.iter().flat_map(move |(first, last)| {
            let end = (*last < family.last()).then(|| last + 1);
            [Some(*first), end].into_iter().flatten()
        })
    }

    pub(super) fn contains(&self, address: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.0[after - 1].1
    }

    pub(super) fn as_slice(&self) -> &[(u128, u128)] {
        &self.0
    }
}

/// An [`AddressSet`] that can be asked quickly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SetRanges([Ranges; 2]);

impl SetRanges {
    pub(super) fn new(set: &AddressSet) -> Self {
        Self(Family::ALL.map(|family| {
            Ranges::of_prefixes(&set.prefixes, family)
                .minus(&Ranges::of_prefixes(&set.except, family))
        }))
    }

    pub(super) fn union<'s>(sets: impl Iterator<Item = &'s Self> + Clone) -> Self {
        Self(Family::ALL.map(|family| {
            Ranges::merged(sets.clone().flat_map(|set| &set.family(family).0).copied().collect())
        }))
    }

    pub(super) fn family(&self, family: Family) -> &Ranges {
        &self.0[family as usize]
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.family(Family::of(address)).contains(number(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(prefixes: &[&str], except: &[&str]) -> SetRanges {
        let parse =
            |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        SetRanges::new(&AddressSet {
            name: "s".into(),
            prefixes: parse(prefixes),
            except: parse(except),
        })
    }

    fn v4(text: &str) -> u128 {
        number(text.parse().unwrap())
    }

    /// Prefixes, excepts, and the ranges that are left.
    type Row<'t> = (&'t [&'t str], &'t [&'t str], &'t [(&'t str, &'t str)]);

    #[test]
    fn prefixes_minus_excepts() {
        let rows: &[Row<'_>] = &[
            (&["10.0.0.0/9", "10.128.0.0/9"], &[], &[("10.0.0.0", "10.255.255.255")]),
            (&["10.0.0.0/8"], &["10.0.0.0/8"], &[]),
            (
                &["10.0.0.0/8"],
                &["10.0.0.0/32", "10.255.255.255/32"],
                &[("10.0.0.1", "10.255.255.254")],
            ),
            (&["10.0.0.0/24", "10.0.2.0/24"], &["10.0.0.0/16", "10.0.2.7/32"], &[]),
            (
                &["10.0.0.0/24", "10.0.2.0/24"],
                &["10.0.2.7/32"],
                &[("10.0.0.0", "10.0.0.255"), ("10.0.2.0", "10.0.2.6"), ("10.0.2.8", "10.0.2.255")],
            ),
            (&["0.0.0.0/0"], &["128.0.0.0/1"], &[("0.0.0.0", "127.255.255.255")]),
        ];
        for (prefixes, except, expected) in rows {
            let expected: Vec<_> =
                expected.iter().map(|(first, last)| (v4(first), v4(last))).collect();
            let got = set(prefixes, except);
            assert_eq!(got.family(Family::V4).as_slice(), expected, "{prefixes:?} - {except:?}");
        }
    }

    #[test]
    fn what_differs_is_in_one_of_the_two() {
        let rows: &[Row<'_>] = &[
            (&["10.0.0.0/8"], &["10.0.0.0/8"], &[]),
            (&["10.0.0.0/8"], &[], &[("10.0.0.0", "10.255.255.255")]),
            (&["0.0.0.0/0"], &["0.0.0.0/1"], &[("128.0.0.0", "255.255.255.255")]),
            (
                &["10.0.0.0/30"],
                &["10.0.0.1/32", "10.0.0.4/32"],
                &[("10.0.0.0", "10.0.0.0"), ("10.0.0.2", "10.0.0.4")],
            ),
        ];
        for (one, other, expected) in rows {
            let (one, other) = (set(one, &[]), set(other, &[]));
            let expected: Vec<_> =
                expected.iter().map(|(first, last)| (v4(first), v4(last))).collect();
            for (one, other) in [(&one, &other), (&other, &one)] {
                let (one, other) = (one.family(Family::V4), other.family(Family::V4));
                assert_eq!(one.difference(other, Family::V4), expected);
            }
        }
        let (all, none) = (set(&["::/0"], &[]), SetRanges::default());
        let (all, none) = (all.family(Family::V6), none.family(Family::V6));
        assert_eq!(all.difference(none, Family::V6), [(0, u128::MAX)]);
    }

    #[test]
    fn families_are_apart() {
        let set = set(&["::/0"], &["::/96"]);
        assert!(!set.contains("0.0.0.1".parse().unwrap()));
        assert!(!set.contains("::1".parse().unwrap()) && set.contains("ff::".parse().unwrap()));
    }
}
