//! Zones that keep their own clients as far as their backends carry: docs/zones.md.
//!
//! All in integers, so that every node comes to the same.

use std::collections::BTreeMap;

/// A zone's part in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Zone {
    /// Weight of the clients; the sum of all zones' is below 2⁵⁰.
    pub clients: u64,
    /// Weight of the backends; the sum of all zones' is below 2⁴⁸.
    pub backends: u64,
}

/// Where the clients of `zone` go: the zones' parts of them, whose sum is the whole. `None` where
/// nothing is known of the zone's clients or there are no backends: then all backends are alike.
///
/// With a zone's share `c` of all clients and `b` of all backends, `k = min(c, f b)` of the clients
/// stay; the rest goes to the other zones in proportion to `f b - k`, what they have left.
pub(super) fn parts<'z>(
    zones: &BTreeMap<&'z str, Zone>,
    factor: u32,
    zone: &str,
) -> Option<BTreeMap<&'z str, u128>> {
    let total = |of: fn(&Zone) -> u64| zones.values().map(|it| u128::from(of(it))).sum::<u128>();
    let (clients, backends) = (total(|it| it.clients), total(|it| it.backends));
    if backends == 0 || zones.get(zone).is_none_or(|it| it.clients == 0) {
        return None;
    }
    // Shares times both totals are whole numbers; for products of two, 50 bits of them.
    let factor = u128::from(factor);
    let shift = (128 - (clients * backends * factor).leading_zeros()).saturating_sub(50);
    let asked = |it: &Zone| u128::from(it.clients) * backends * 1000;
    let room = |it: &Zone| u128::from(it.backends) * clients * factor;
    let kept = |it: &Zone| asked(it).min(room(it));
    let spare = |it: &Zone| (room(it) - kept(it)) >> shift;

    let own = zones.get(zone)?;
    let left = (asked(own) - kept(own)) >> shift;
    let others = || zones.iter().filter(|(name, _)| **name != zone);
    let all_spare: u128 = others().map(|(_, it)| spare(it)).sum();
    let (name, _) = zones.get_key_value(zone)?;
    if left == 0 || all_spare == 0 {
        return Some(BTreeMap::from([(*name, 1)]));
    }
    let mut parts: BTreeMap<&str, u128> =
        others().map(|(name, it)| (*name, left * spare(it))).collect();
    parts.insert(name, (kept(own) >> shift) * all_spare);
    parts.retain(|_, part| *part > 0);
    Some(parts)
}

/// Weights for the slots of backends, given as zone and weight, when zones have these parts: in
/// proportion within half a unit, of [`UNITS`] for each backend on average. None has less than 1.
pub(super) fn weights(
    backends: &[(&str, u32)],
    zones: &BTreeMap<&str, Zone>,
    parts: &BTreeMap<&str, u128>,
) -> Vec<Option<u32>> {
    let whole: u128 = parts.values().sum();
    let units =
        UNITS * backends.iter().filter(|(zone, _)| parts.contains_key(zone)).count() as u128;
    let weight = |(zone, weight): &(&str, u32)| {
        let part = *parts.get(zone)? * units;
        let all = u128::from(zones.get(zone)?.backends);
        // Half a unit is added in units of two.
        let twice = part / all * u128::from(*weight) * 2 / whole + 1;
        u32::try_from(twice / 2).ok().map(|units| units.max(1))
    };
    backends.iter().map(weight).collect()
}

/// Of 64, half a unit is less than one per cent.
const UNITS: u128 = 64;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::{super::maglev, *};

    fn zones(all: &[(&'static str, u64, u64)]) -> BTreeMap<&'static str, Zone> {
        let zone = |(name, clients, backends): &(&'static str, u64, u64)| {
            (*name, Zone { clients: *clients, backends: *backends })
        };
        all.iter().map(zone).collect()
    }

    /// What `zone` sends to each zone, in thousandths.
    fn sent(all: &[(&'static str, u64, u64)], factor: u32, zone: &str) -> Option<String> {
        let parts = parts(&zones(all), factor, zone)?;
        let whole: u128 = parts.values().sum();
        let text =
            |(name, part): (&&str, &u128)| format!("{name} {}", (part * 1000 + whole / 2) / whole);
        Some(parts.iter().map(text).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn zones_keep_what_they_can_carry() {
        let even = [("a", 10, 3), ("b", 10, 3), ("c", 10, 3)];
        let skewed = [("a", 60, 2), ("b", 30, 4), ("c", 10, 4)];
        for (all, factor, zone, expected) in [
            (&even[..], 1000, "a", Some("a 1000")),
            // a: 0.6 of the clients, 0.2 of the backends; it keeps 0.24 and b has 0.18 left of
            // 0.48, c 0.38.
            (&skewed, 1200, "a", Some("a 400, b 193, c 407")),
            (&skewed, 1200, "b", Some("b 1000")),
            (&skewed, 1000, "a", Some("a 333, b 167, c 500")),
            (&skewed, 3000, "a", Some("a 1000")),
            (&[("a", 1, 0), ("b", 1, 1)], 1200, "a", Some("b 1000")),
            (&[("a", 1, 0), ("b", 1, 0)], 1200, "a", None),
            (&even, 1200, "d", None),
            (&[("a", 0, 1), ("b", 1, 1)], 1200, "a", None),
        ] {
            assert_eq!(sent(all, factor, zone).as_deref(), expected, "{all:?} {factor} {zone}");
        }
    }

    /// In floating point, from the clients' side: what arrives in each zone.
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "the weights are small")]
    fn no_zone_gets_more_than_it_carries_and_none_sends_away_what_it_can_keep() {
        let mut random = StdRng::seed_from_u64(7);
        let names = ["a", "b", "c", "d", "e"];
        for _ in 0..2000 {
            let count = random.random_range(1..=names.len());
            let all: Vec<_> = names[..count]
                .iter()
                .map(|name| (*name, random.random_range(0..5000), random.random_range(0..40)))
                .collect();
            let factor = random.random_range(1000..3000);
            let zones = zones(&all);
            let clients: u64 = all.iter().map(|(_, clients, _)| clients).sum();
            let backends: u64 = all.iter().map(|(_, _, backends)| backends).sum();
            let mut arrived: BTreeMap<&str, f64> = BTreeMap::new();
            for (zone, mine, here) in &all {
                let Some(parts) = parts(&zones, factor, zone) else { continue };
                let whole = parts.values().sum::<u128>() as f64;
                let share = *mine as f64 / clients as f64;
                let room = *here as f64 / backends as f64 * f64::from(factor) / 1000.0;
                let kept = parts.get(zone).map_or(0.0, |part| *part as f64 / whole) * share;
                assert!((kept - share.min(room)).abs() < 1e-9, "{all:?} {factor} {zone}: {kept}");
                for (to, part) in parts {
                    *arrived.entry(to).or_default() += share * (part as f64 / whole);
                }
            }
            for (zone, _, here) in &all {
                let room = *here as f64 / backends.max(1) as f64 * f64::from(factor) / 1000.0;
                let load = arrived.get(zone).copied().unwrap_or(0.0);
                assert!(load < room + 1e-9, "{all:?} {factor} {zone}: {load} of {room}");
            }
        }
    }

    #[test]
    fn weights_follow_parts_and_the_backends_own_weights() {
        let zones = zones(&[("a", 60, 3), ("b", 40, 2)]);
        let backends = [("a", 1), ("a", 2), ("b", 1), ("b", 1), ("c", 1)];
        let parts = BTreeMap::from([("a", 3), ("b", 1)]);
        let weights = weights(&backends, &zones, &parts);
        // 256 units: 192 for a, 64 for b.
        assert_eq!(weights, [Some(64), Some(128), Some(32), Some(32), None]);
    }

    /// Slots of ten backends, two in `a` and four in each other zone, for clients in `a`.
    fn slots(clients_in_a: u64, size: u32) -> Vec<u32> {
        let zones = zones(&[("a", clients_in_a, 2), ("b", 30, 4), ("c", 10, 4)]);
        let parts = parts(&zones, 1200, "a").unwrap();
        let backends: Vec<_> =
            "aabbbbcccc".char_indices().map(|(at, _)| (&"aabbbbcccc"[at..=at], 1)).collect();
        let addresses = (0..10_u8).map(|n| SocketAddr::from(([10, 0, 0, n], 80)));
        let weights = weights(&backends, &zones, &parts).into_iter().map(Option::unwrap);
        maglev::table(&addresses.zip(weights).collect::<Vec<_>>(), size)
    }

    #[test]
    fn a_small_change_of_shares_moves_few_slots() {
        let size = 10_007;
        let (before, after) = (slots(60, size), slots(62, size));
        let count = |slots: &[u32], owner: u32| slots.iter().filter(|it| **it == owner).count();
        let shifted: usize =
            (0..10).map(|it| count(&after, it).saturating_sub(count(&before, it))).sum();
        let moved = before.iter().zip(&after).filter(|(one, other)| one != other).count();
        assert!(shifted > 0 && moved <= 3 * shifted, "{moved} moved for {shifted} of {size}");
        let in_a = count(&before, 0) + count(&before, 1);
        assert!(in_a.abs_diff(size as usize * 4 / 10) < 100, "{in_a} of {size} in the own zone");
    }
}
