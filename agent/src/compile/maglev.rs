//! Maglev tables: which slot of a service belongs to which backend.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
//! section 3.4, with weights by skipped turns. Tables depend only on addresses, ports and
//! weights, so all nodes that prefer the same backends map a flow to the same one.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

/// The index in `backends` of each slot's owner, for a table of as many slots as its
/// [`Wish`] comes to.
pub(super) fn table(backends: &[(SocketAddr, u32)], size: u32) -> Vec<u32> {
    if backends.len() < 2 {
        return vec![0; backends.len()];
    }
    let size = size as u64;
    let mut turns: Vec<Turn> = backends
        .iter()
        .enumerate()
        .map(|(index, (address, weight))| Turn::new(index as u32, *address, *weight, size))
        .collect();
    // The order of turns must not depend on the order of the list.
    turns.sort_unstable_by_key(|turn| turn.address);
    let heaviest = turns.iter().map(|turn| turn.weight).max().unwrap_or(1);

    let mut slots = vec![FREE; size as usize];
    let mut free = slots.len();
    loop {
        for turn in &mut turns {
            turn.credit += turn.weight;
            if turn.credit < heaviest {
                continue;
            }
            turn.credit -= heaviest;
            turn.take(&mut slots);
            free -= 1;
            if free == 0 {
                return slots;
            }
        }
    }
}

const FREE: u32 = u32::MAX;

/// Slots per unit of weight, for shares within one per cent.
const SLOTS_PER_UNIT: u64 = 100;
/// Slots per backend and backend: what keeps the slots that change hands without need, when a
/// backend goes, below half of those that must (measured; without it nearly twice as many change
/// hands needlessly at 100 backends).
const SLOTS_PER_PAIR: u64 = 8;
/// What uneven weights may ask for, and what every backend gets however scarce slots are.
const MOST_PER_BACKEND: u64 = 1000;
const LEAST_PER_BACKEND: u64 = 8;
/// The most that a service asks for.
pub(super) const LARGEST: u32 = 131_072;

/// What the number of slots follows from: lists that wish alike get the same number.
///
/// The count of backends is rounded up to a power of two, so that one more or less seldom
/// changes the size, which would deal all slots anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wish {
    /// The sum of the weights over their common divisor, and how many they are; powers of two.
    units: u64,
    count: u64,
}

impl Wish {
    /// Of a list that is not empty.
    pub(super) fn of(weights: impl Iterator<Item = u32> + Clone) -> Self {
        let weights = weights.map(|weight| weight.max(1));
        let divisor = weights.clone().fold(0, gcd).max(1);
        let units: u64 = weights.clone().map(|weight| (weight / divisor) as u64).sum();
        let count = weights.count() as u64;
        Self { units: units.next_power_of_two(), count: count.next_power_of_two() }
    }

    /// The number of slots, a prime above `largest` at most as far as the next one is, or 1 for a
    /// single backend. A smaller `largest` costs services with many backends evenness first.
    pub(super) fn slots(self, largest: u32) -> u32 {
        let Self { units, count } = self;
        if count < 2 {
            return 1;
        }
        let wish = (units * SLOTS_PER_UNIT)
            .min(count * MOST_PER_BACKEND)
            .max(count * count * SLOTS_PER_PAIR)
            .min(largest as u64)
            .max(count * LEAST_PER_BACKEND);
        next_prime(wish) as u32
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Wishes are small: there is a prime below the double of any number.
fn next_prime(from: u64) -> u64 {
    let is_prime = |n: &u64| {
        (2..*n).take_while(|divisor| divisor * divisor <= *n).all(|it| !n.is_multiple_of(it))
    };
    (from..=2 * from).find(is_prime).unwrap_or(from)
}

/// A backend's place in its permutation of the slots.
struct Turn {
    index: u32,
    address: SocketAddr,
    weight: u64,
    /// Weight not yet turned into slots; a turn costs the heaviest weight.
    credit: u64,
    next: u64,
    skip: u64,
    size: u64,
}

impl Turn {
    fn new(index: u32, address: SocketAddr, weight: u32, size: u64) -> Self {
        let mut hash = Sha256::new();
        match address.ip() {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        hash.update(address.port().to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        let (words, _) = bytes.as_chunks();
        let [offset, skip, ..] = [words[0], words[1]].map(u64::from_le_bytes);
        Self {
            index,
            address,
            weight: weight.max(1) as u64,
            credit: 0,
            next: offset % size,
            skip: skip % (size - 1) + 1,
            size,
        }
    }

    fn take(&mut self, slots: &mut [u32]) {
        while slots[self.next as usize] != FREE {
            self.next = (self.next + self.skip) % self.size;
        }
        slots[self.next as usize] = self.index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(count: u8, weight: impl Fn(u8) -> u32) -> Vec<(SocketAddr, u32)> {
        (0..count).map(|n| (SocketAddr::from(([10, 0, 0, n], 80)), weight(n))).collect()
    }

    fn size(backends: &[(SocketAddr, u32)], largest: u32) -> u32 {
        Wish::of(backends.iter().map(|(_, weight)| *weight)).slots(largest)
    }

    fn deal(backends: &[(SocketAddr, u32)]) -> Vec<u32> {
        table(backends, size(backends, LARGEST))
    }

    fn owners(backends: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
        deal(backends).into_iter().map(|index| backends[index as usize].0).collect()
    }

    #[test]
    fn sizes() {
        let rows = [
            (1, 7, LARGEST, 1),
            (2, 7, LARGEST, 211),
            (3, 1, LARGEST, 401),
            (64, 1, LARGEST, 32_771),
            (65, 1, LARGEST, 131_101),
            (128, 1, LARGEST, 131_101),
            (200, 1, LARGEST, 131_101),
            (128, 1, 4096, 4099),
            (128, 1, 64, 1031),
            (2, 1, 64, 67),
        ];
        for (count, weight, largest, slots) in rows {
            let backends = backends(count, |_| weight);
            assert_eq!(size(&backends, largest), slots, "{count} of {weight} within {largest}");
            assert_eq!(table(&backends, slots).len(), slots as usize);
        }
    }

    #[test]
    fn shares_are_within_two_per_cent_of_weights() {
        for weight in [|_| 1, |n| 1 + n as u32 % 3] {
            let backends = backends(100, weight);
            let table = deal(&backends);
            let total: u32 = backends.iter().map(|(_, weight)| weight).sum();
            for (index, (address, weight)) in backends.iter().enumerate() {
                let slots = table.iter().filter(|owner| **owner == index as u32).count() as u64;
                // Compared in units of 1 / (100 * total): within two hundredths of the share.
                let fair = table.len() as u64 * u64::from(*weight);
                let error = (slots * u64::from(total)).abs_diff(fair) * 100;
                assert!(error < 2 * fair, "{address}: {slots} slots for weight {weight}");
            }
        }
    }

    #[test]
    fn removing_a_backend_moves_little_else() {
        let all = backends(100, |_| 1);
        let before = owners(&all);
        for gone in (0..all.len()).step_by(9) {
            let mut rest = all.clone();
            let (removed, _) = rest.remove(gone);
            let after = owners(&rest);
            let minimal = before.iter().filter(|owner| **owner == removed).count();
            let moved = before.iter().zip(&after).filter(|(one, other)| one != other).count();
            assert!(2 * moved <= 3 * minimal, "{removed}: {moved} moved for {minimal}");
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let mut list = backends(20, |n| 1 + n as u32 % 4);
        let before = owners(&list);
        list.reverse();
        assert_eq!(owners(&list), before);
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        let list = backends(3, |_| 1);
        let first: String = deal(&list)[..24].iter().map(u32::to_string).collect();
        assert_eq!(first, "011112202200100221110110");
    }
}
