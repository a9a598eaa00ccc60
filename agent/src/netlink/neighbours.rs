//! The table of neighbours, by which flows remember where routes lead.

use std::collections::{BTreeMap, BTreeSet};

use abi::next_hop::{Neighbours, NextHop};

use crate::maps::{ControlRecord, NextHops};

/// Makes the table hold `wanted`, as far as there is room. Flows that remember a place are looked at
/// again before the place is another neighbour's.
pub(super) fn keep(table: &NextHops, control: &ControlRecord, wanted: &[NextHop]) {
    let held: Vec<NextHop> = (0..Neighbours::ENTRIES).map(|place| table.read(place)).collect();
    let changes = changes(&held, wanted);
    for place in changes.keys() {
        table.clear(*place);
    }
    if changes.values().any(Option::is_some) {
        control.routes_changed();
    }
    for (place, hop) in changes {
        if let Some(hop) = hop {
            table.write(place, &hop);
        }
    }
}

/// What each place that changes is to hold.
fn changes(held: &[NextHop], wanted: &[NextHop]) -> BTreeMap<u32, Option<NextHop>> {
    let mut missing: BTreeSet<NextHop> = wanted.iter().copied().collect();
    let mut changes = BTreeMap::new();
    let mut free = vec![Vec::new(); Neighbours::BUCKETS as usize];
    for (place, hop) in (0..).zip(held) {
        if missing.remove(hop) {
            continue;
        }
        if hop.is_usable() {
            changes.insert(place, None);
        }
        free[(place / Neighbours::WAYS) as usize].push(place);
    }
    for hop in missing {
        let bucket = Neighbours::bucket(hop.destination, hop.interface);
        // Where the bucket is full, the kernel's own way is good as well.
        if let Some(place) = free[bucket as usize].pop() {
            changes.insert(place, Some(hop));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(last: u8) -> NextHop {
        NextHop {
            destination: [2, 0, 0, 0, 1, last, 1, 1],
            source: [2, 0, 0, 0, 0, 1, 0, 0],
            interface: 7,
            mtu: 1500,
            padding: 0,
        }
    }

    fn apply(held: &mut [NextHop], wanted: &[NextHop]) -> BTreeMap<u32, Option<NextHop>> {
        let changes = changes(held, wanted);
        for (place, hop) in &changes {
            held[*place as usize] = hop.unwrap_or_default();
        }
        changes
    }

    #[test]
    fn each_neighbour_has_a_place_in_its_bucket_and_keeps_it() {
        let mut held = vec![NextHop::default(); Neighbours::ENTRIES as usize];
        let all: Vec<_> = (0..100).map(neighbour).collect();
        assert_eq!(apply(&mut held, &all).len(), 100);
        for hop in &all {
            let place = held.iter().position(|it| it == hop).unwrap() as u32;
            let bucket = Neighbours::bucket(hop.destination, hop.interface);
            assert_eq!(place / Neighbours::WAYS, bucket);
        }
        assert!(apply(&mut held, &all).is_empty(), "nothing moves");
        let changes = apply(&mut held, &all[1..]);
        assert_eq!(changes.values().copied().collect::<Vec<_>>(), [None]);
        assert_eq!(held.iter().filter(|it| it.is_usable()).count(), 99);
    }

    #[test]
    fn a_full_bucket_keeps_what_it_has() {
        let mut held = vec![NextHop::default(); Neighbours::ENTRIES as usize];
        let bucket = |hop: &NextHop| Neighbours::bucket(hop.destination, hop.interface);
        let many = (0..=255).flat_map(|last| {
            (1..=20).map(move |interface| NextHop { interface, ..neighbour(last) })
        });
        let crowd: Vec<_> = many.filter(|hop| bucket(hop) == 5).take(6).collect();
        assert_eq!(crowd.len(), 6);
        assert_eq!(apply(&mut held, &crowd).len(), Neighbours::WAYS as usize);
        let kept = held.clone();
        assert!(apply(&mut held, &crowd).is_empty());
        assert_eq!(held, kept);
    }

    #[test]
    fn what_changes_about_a_neighbour_makes_it_another() {
        let mut held = vec![NextHop::default(); Neighbours::ENTRIES as usize];
        apply(&mut held, &[neighbour(1)]);
        let larger = NextHop { mtu: 9000, ..neighbour(1) };
        apply(&mut held, &[larger]);
        let held: Vec<_> = held.into_iter().filter(NextHop::is_usable).collect();
        assert_eq!(held, [larger]);
    }
}
