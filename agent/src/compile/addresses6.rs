//! The IPv6 address tables: exact addresses, and prefixes by longest match.
//!
//! The class is constant on what a prefix of any set covers and no longer prefix does, so one
//! entry per prefix is exact.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
};

use abi::address::Leaf;

use super::{
    classes::Classes,
    marks::Marks,
    ranges::{Family, bounds},
};
use crate::{
    draft::Draft,
    model::{Prefix, World},
};

/// The prefixes of the sets in use.
#[derive(Debug)]
pub(super) struct Prefixes6 {
    /// First address and length, with the number of sets that have it: a prefix comes right
    /// before those inside it.
    prefixes: BTreeMap<Span, usize>,
    /// How many prefixes there are of each length.
    lengths: [usize; 129],
    held: HashMap<String, Vec<Span>>,
}

type Span = (u128, u8);

impl Default for Prefixes6 {
    fn default() -> Self {
        Self { prefixes: BTreeMap::new(), lengths: [0; 129], held: HashMap::new() }
    }
}

impl Prefixes6 {
    /// Follows a change of one set, of which `used` says whether any group has it; notes the
    /// prefixes that are new or gone.
    pub(super) fn update(
        &mut self,
        world: &World,
        name: &str,
        used: bool,
        touched: &mut BTreeSet<Span>,
    ) {
        let set = world.address_sets.get(name).filter(|_| used);
        let prefixes = set.into_iter().flat_map(|set| set.prefixes.iter().chain(&set.except));
        let prefixes: BTreeSet<Span> = prefixes.filter_map(span).collect();
        let before = self.held.remove(name).unwrap_or_default();
        for span in &prefixes {
            let uses = self.prefixes.entry(*span).or_default();
            *uses += 1;
            if *uses == 1 {
                self.lengths[span.1 as usize] += 1;
                touched.insert(*span);
            }
        }
        for span in before {
            let Some(uses) = self.prefixes.get_mut(&span) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.prefixes.remove(&span);
                self.lengths[span.1 as usize] -= 1;
                touched.insert(span);
            }
        }
        if !prefixes.is_empty() {
            self.held.insert(name.to_owned(), prefixes.into_iter().collect());
        }
    }

    /// Writes the entries of what changed: `spans` that are new or gone, `ranges` of another
    /// class, `addresses` with another mark.
    pub(super) fn write(
        &self,
        classes: &Classes,
        marks: &Marks,
        mut spans: BTreeSet<Span>,
        ranges: &[(u128, u128)],
        addresses: impl Iterator<Item = Ipv6Addr>,
        draft: &mut Draft,
    ) {
        let mut exact: BTreeSet<u128> = addresses.map(u128::from).collect();
        for (first, last) in spans.iter().map(|span| (span.0, end(*span))).collect::<Vec<_>>() {
            self.around(first, last, &mut spans);
        }
        for (first, last) in ranges {
            self.around(*first, *last, &mut spans);
            let address = |number: u128| IpAddr::V6(Ipv6Addr::from_bits(number));
            for (address, _) in marks.range(address(*first), address(*last)) {
                if let IpAddr::V6(address) = address {
                    exact.insert(u128::from(address));
                }
            }
        }
        for span in spans {
            let (first, length) = span;
            if length == 128 {
                exact.insert(first);
                continue;
            }
            let address =
                if self.prefixes.contains_key(&span) { self.uncovered(span) } else { None };
            let leaf = address.map(|it| Leaf::new(classes.class(Family::V6, it), 0, 0));
            draft.set_prefix6((first.to_be_bytes(), length), leaf);
        }
        for number in exact {
            let address = Ipv6Addr::from_bits(number);
            let mark = marks.get(address.into());
            let known = mark.is_some() || self.prefixes.contains_key(&(number, 128));
            let leaf = || mark.unwrap_or_default().leaf(classes.class(Family::V6, number));
            draft.set_address6(address.octets(), known.then(leaf));
        }
    }

    /// Adds the prefixes that have an address of a range.
    fn around(&self, first: u128, last: u128, spans: &mut BTreeSet<Span>) {
        spans.extend(self.prefixes.range((first, 0)..=(last, 128)).map(|(span, _)| *span));
        for length in (0..=128_u8).filter(|length| self.lengths[*length as usize] > 0) {
            let span = (first & mask(length), length);
            if self.prefixes.contains_key(&span) {
                spans.insert(span);
            }
        }
    }

    /// An address of `span` that no longer prefix covers.
    fn uncovered(&self, span: Span) -> Option<u128> {
        let (first, length) = span;
        let last = end(span);
        let mut free = first;
        for (inside, _) in self.prefixes.range((first, length + 1)..=(last, 128)) {
            if inside.0 > free {
                break;
            }
            let end = end(*inside);
            if end >= last {
                return None;
            }
            free = free.max(end + 1);
        }
        Some(free)
    }
}

fn span(prefix: &Prefix) -> Option<Span> {
    prefix.net().addr().is_ipv6().then(|| (bounds(*prefix).0, prefix.net().prefix_len()))
}

fn end((first, length): Span) -> u128 {
    first | !mask(length)
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
