//! Maglev tables: which slot of a service belongs to which backend.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
//! section 3.4, with weights by skipped turns. Tables depend only on addresses, ports and
//! weights, so all nodes that prefer the same backends map a flow to the same one.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

/// The index in `backends` of each slot's owner, for a table of [`Need::size`] slots.
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

/// What the number of slots of a list of backends follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    /// What evenness asks for.
    wish: u64,
    /// What it cannot do with less than.
    least: u64,
}

/// Slots per unit of weight, for shares within one per cent.
const SLOTS_PER_UNIT: u64 = 100;
/// Slots per backend and backend: what keeps the slots that change hands without need, when a
/// backend goes, below half of those that must (measured; without it nearly twice as many change
/// hands needlessly at 100 backends).
const SLOTS_PER_PAIR: u64 = 8;
/// What uneven weights may ask for, and what every backend gets however scarce slots are.
const MOST_PER_BACKEND: u64 = 1000;
const LEAST_PER_BACKEND: u64 = 8;
/// Slots per backend where shares follow zones: four for each of the units that they are in.
const SPILLED_PER_BACKEND: u64 = 256;
/// The most that a service asks for.
pub(super) const LARGEST: u32 = 131_072;

impl Need {
    /// For weights that stay as they are. The count of backends is rounded up to a power of two, so
    /// that one more or less seldom changes the size, which would deal all slots anew.
    pub(super) fn of_weights(backends: &[(SocketAddr, u32)]) -> Self {
        let weights = || backends.iter().map(|(_, weight)| (*weight).max(1));
        let divisor = weights().fold(0, gcd);
        let units: u64 = weights().map(|weight| (weight / divisor) as u64).sum();
        Self::new(backends.len(), backends.len(), |count| {
            (units.next_power_of_two() * SLOTS_PER_UNIT).min(count * MOST_PER_BACKEND)
        })
    }

    /// For weights that follow the zones of a service with `ready` backends, of which `used` have
    /// any. Another size would deal all slots anew, so it depends neither on the weights nor, but
    /// for a single one, on how many have any: all of that changes with every node.
    pub(super) fn of_zones(ready: usize, used: usize) -> Self {
        Self::new(ready, used, |count| count * SPILLED_PER_BACKEND)
    }

    fn new(backends: usize, used: usize, wish: impl Fn(u64) -> u64) -> Self {
        if used < 2 {
            return Self { wish: used as u64, least: used as u64 };
        }
        let count = (backends as u64).next_power_of_two();
        Self {
            wish: wish(count).max(count * count * SLOTS_PER_PAIR),
            least: count * LEAST_PER_BACKEND,
        }
    }

    /// The number of slots, a prime above `largest` at most as far as the next one is, or 1 for a
    /// single backend. A smaller `largest` costs services with many backends evenness first.
    pub(super) fn size(self, largest: u32) -> u32 {
        if self.wish < 2 {
            return self.wish as u32;
        }
        next_prime(self.wish.min(largest as u64).max(self.least)) as u32
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

    fn deal(backends: &[(SocketAddr, u32)]) -> Vec<u32> {
        table(backends, Need::of_weights(backends).size(LARGEST))
    }

    fn owners(backends: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
        deal(backends).into_iter().map(|index| backends[index as usize].0).collect()
    }

    #[test]
    fn sizes() {
        let rows = [
            (0, 7, LARGEST, 0),
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
            let size = Need::of_weights(&backends).size(largest);
            assert_eq!(size, slots, "{count} of {weight} within {largest}");
            assert_eq!(table(&backends, slots).len(), slots as usize);
        }
    }

    #[test]
    fn sizes_where_shares_follow_zones() {
        let rows = [
            (0, 0, LARGEST, 0),
            (10, 1, LARGEST, 1),
            (2, 2, LARGEST, 521),
            (9, 2, LARGEST, 4099),
            (16, 16, LARGEST, 4099),
            (64, 3, LARGEST, 32_771),
            (200, 200, LARGEST, 131_101),
            (16, 16, 512, 521),
            (16, 2, 1, 131),
        ];
        for (ready, used, largest, slots) in rows {
            let size = Need::of_zones(ready, used).size(largest);
            assert_eq!(size, slots, "{used} of {ready} within {largest}");
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
