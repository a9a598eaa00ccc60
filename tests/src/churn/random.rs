//! Choices, the same ones for a seed.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

pub(super) struct Random(StdRng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// One of what there is, of which there is something.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    pub(super) fn pick_any<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.choose(&mut self.0).cloned()
    }

    /// Up to `most` of what there is, in any order.
    pub(super) fn some<T: Clone>(&mut self, from: &[T], most: usize) -> Vec<T> {
        let amount = self.below(most as u32 + 1) as usize;
        from.choose_multiple(&mut self.0, amount).cloned().collect()
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end)
    }

    /// True in so many of 100 cases.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.random_ratio(percent, 100)
    }

    pub(super) fn weighted<'n>(&mut self, of: &[(&'n str, u32)]) -> &'n str {
        let sum = of.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(sum);
        let chosen = of.iter().find(|(_, weight)| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        chosen.map_or("", |(name, _)| name)
    }

    pub(super) fn labels(&mut self) -> Value {
        let mut labels = Map::new();
        for (key, values) in LABELS {
            if self.percent(60) {
                labels.insert(key.to_owned(), json!(self.pick(&values)));
            }
        }
        labels.into()
    }

    /// A selector of labels (`metav1.LabelSelector`).
    pub(super) fn selector(&mut self) -> Value {
        let (key, values) = self.pick(&LABELS);
        let value = self.pick(&values);
        match self.below(6) {
            0 => json!({}),
            1 | 2 => json!({ "matchLabels": { key: value } }),
            3 => {
                let (other, others) = self.pick(&LABELS);
                json!({ "matchLabels": { key: value, other: self.pick(&others) } })
            }
            4 => {
                let operator = self.pick(&["In", "NotIn"]);
                let values = [value, self.pick(&values)];
                json!({ "matchExpressions": [
                    { "key": key, "operator": operator, "values": values },
                ]})
            }
            _ => {
                let operator = self.pick(&["Exists", "DoesNotExist"]);
                json!({ "matchExpressions": [{ "key": key, "operator": operator }] })
            }
        }
    }

    /// A block of addresses, and parts that are left out of it.
    pub(super) fn block(&mut self) -> Value {
        let (cidr, parts) = self.pick(&BLOCKS);
        let except = self.some(parts, 2);
        if except.is_empty() {
            json!({ "cidr": cidr })
        } else {
            json!({ "cidr": cidr, "except": except })
        }
    }

    /// A block alone.
    pub(super) fn network(&mut self) -> &'static str {
        self.pick(&BLOCKS).0
    }
}

pub(super) const LABELS: [(&str, [&str; 3]); 3] = [
    ("app", ["web", "shop", "db"]),
    ("track", ["stable", "canary", "next"]),
    ("team", ["blue", "red", "green"]),
];

/// What pods, nodes and others have, and what they have in part.
const BLOCKS: [(&str, &[&str]); 8] = [
    ("0.0.0.0/0", &["10.0.0.0/8", "192.168.50.0/24"]),
    ("10.0.0.0/8", &["10.1.0.0/24", "10.2.1.0/28", "10.2.2.4/30"]),
    ("10.2.1.0/28", &["10.2.1.2/31", "10.2.1.8/32"]),
    ("10.1.0.0/24", &["10.1.0.16/28"]),
    ("198.51.100.0/24", &["198.51.100.128/25"]),
    ("::/0", &["fd00::/16"]),
    ("fd00:2::/32", &["fd00:2:1::/64", "fd00:2:2::4/126"]),
    ("fd00:2:1::/64", &["fd00:2:1::8/125"]),
];
