//! The IPv6 address tables: exact addresses, and prefixes by longest match.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use abi::address::Leaf;

use super::{
    classes::Segments,
    marks::{Mark, Marks},
    ranges::bounds,
};
use crate::{image::Image, model::AddressSet};

/// Writes both tables. `sets` are those that `segments` were made of.
///
/// The class is constant on what a prefix of any set covers and no longer prefix does, so one
/// entry per prefix is exact. Entries that would repeat what is found without them are left out.
pub(super) fn write<'w>(
    image: &mut Image,
    segments: &Segments,
    sets: impl Iterator<Item = &'w AddressSet>,
    marks: &Marks,
) {
    let prefixes = distinct(sets);
    // The prefixes around the one at hand: last address, and the class found in them.
    let mut around: Vec<(u128, u32)> = Vec::new();
    for (index, prefix) in prefixes.iter().enumerate() {
        while around.pop_if(|(last, _)| *last < prefix.first).is_some() {}
        let found = around.last().map_or(0, |(_, class)| *class);
        let Some(address) = uncovered(prefix, &prefixes[index + 1..]) else {
            around.push((prefix.last, found));
            continue;
        };
        let class = segments.class(address);
        if class != found {
            let address = prefix.first.to_be_bytes();
            if prefix.length == 128 {
                image.addresses6.insert(address, Leaf::new(class, 0, 0));
            } else {
                image.prefixes6.insert((address, prefix.length), Leaf::new(class, 0, 0));
            }
        }
        around.push((prefix.last, class));
    }
    for (address, mark) in v6(marks) {
        let leaf = mark.leaf(segments.class(u128::from(address)));
        image.addresses6.insert(address.octets(), leaf);
    }
}

/// Ordered so that a prefix comes right before those inside it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    first: u128,
    length: u8,
    last: u128,
}

fn distinct<'w>(sets: impl Iterator<Item = &'w AddressSet>) -> Vec<Span> {
    let prefixes: BTreeSet<Span> = sets
        .flat_map(|set| set.prefixes.iter().chain(&set.except))
        .filter(|prefix| prefix.net().addr().is_ipv6())
        .map(|prefix| {
            let (first, last) = bounds(*prefix);
            Span { first, length: prefix.net().prefix_len(), last }
        })
        .collect();
    prefixes.into_iter().collect()
}

/// An address of `prefix` that no longer prefix covers; `following` begins with those inside it.
fn uncovered(prefix: &Span, following: &[Span]) -> Option<u128> {
    let mut free = prefix.first;
    for inside in following.iter().take_while(|other| other.first <= prefix.last) {
        if inside.first > free {
            break;
        }
        if inside.last >= prefix.last {
            return None;
        }
        free = free.max(inside.last + 1);
    }
    Some(free)
}

fn v6(marks: &Marks) -> impl Iterator<Item = (Ipv6Addr, Mark)> {
    marks.iter().filter_map(|(address, mark)| match address {
        IpAddr::V6(address) => Some((*address, *mark)),
        IpAddr::V4(_) => None,
    })
}
