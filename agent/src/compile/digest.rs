//! Fingerprints of what verdicts depend on, small enough to be kept with the ids.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    ranges::{Family, SetRanges, number},
    sets::Selection,
    tiers::Direction,
};
use crate::model::{Policy, Rule};

/// Equal fingerprints mean equal content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest([u64; 4]);

impl Digest {
    /// Of an endpoint that no rule restricts, whatever policies select it.
    pub(super) const UNRESTRICTED: Self = Self([0; 4]);
}

/// Of all profiles: everything that their verdicts are computed from.
pub(super) fn profiles(selection: &Selection<'_>) -> Vec<Digest> {
    let sets: Vec<Digest> = selection.ranges.iter().map(set).collect();
    selection
        .profiles
        .iter()
        .map(|profile| {
            let mut writer = Writer::default();
            for policy in profile {
                writer.policy(policy, |name| selection.set(name).map(|index| sets[index as usize]));
            }
            writer.finish()
        })
        .collect()
}

/// Of which address is whose.
pub(super) fn addresses(owners: &BTreeSet<(IpAddr, u16)>) -> Digest {
    let mut writer = Writer::default();
    for (address, endpoint) in owners {
        writer.number(Family::of(*address) as u128);
        writer.number(number(*address));
        writer.number(*endpoint as u128);
    }
    writer.finish()
}

fn set(ranges: &SetRanges) -> Digest {
    let mut writer = Writer::default();
    for family in Family::ALL {
        let ranges = ranges.family(family).as_slice();
        writer.number(ranges.len() as u128);
        for (first, last) in ranges {
            writer.number(*first);
            writer.number(*last);
        }
    }
    writer.finish()
}

/// Writes numbers of one width, each list after its length, so that no two contents look alike.
#[derive(Default)]
struct Writer(Sha256);

impl Writer {
    fn number(&mut self, number: u128) {
        self.0.update(number.to_le_bytes());
    }

    fn policy(&mut self, policy: &Policy, set: impl Fn(&str) -> Option<Digest>) {
        self.number(policy.tier as u128);
        for direction in Direction::ALL {
            let rules = direction.rules(policy);
            self.number(rules.map_or(0, |rules| 1 + rules.len() as u128));
            for rule in rules.into_iter().flatten() {
                self.rule(rule, &set);
            }
        }
    }

    fn rule(&mut self, rule: &Rule, set: impl Fn(&str) -> Option<Digest>) {
        self.number(rule.action as u128);
        self.number(rule.peers.as_ref().map_or(0, |peers| 1 + peers.len() as u128));
        for peer in rule.peers.iter().flatten() {
            for word in set(peer).unwrap_or_default().0 {
                self.number(word as u128);
            }
        }
        self.number(rule.ports.as_ref().map_or(0, |ports| 1 + ports.len() as u128));
        for line in rule.ports.iter().flatten() {
            self.number(line.protocol.number() as u128);
            self.number(line.range.first() as u128);
            self.number(line.range.last() as u128);
        }
    }

    fn finish(self) -> Digest {
        let bytes: [u8; 32] = self.0.finalize().into();
        let (words, _) = bytes.as_chunks();
        Digest(std::array::from_fn(|index| u64::from_le_bytes(words[index])))
    }
}
