//! Sets of (protocol, port), as rules describe and combine them.

use crate::model::{PortMatch, Protocol};

/// Inclusive ranges of ports: sorted, disjoint, not adjacent.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Intervals(Vec<(u16, u16)>);

impl Intervals {
    fn all() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    fn union(&self, other: &Self) -> Self {
        let mut all = [self.0.as_slice(), &other.0].concat();
        all.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(0);
        for &(first, last) in &self.0 {
            if let Some(start) = from
                && start < first
            {
                gaps.push((start, first - 1));
            }
            from = last.checked_add(1);
        }
        gaps.extend(from.map(|start| (start, u16::MAX)));
        Self(gaps)
    }

    fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_all(&self) -> bool {
        self.0 == [(0, u16::MAX)]
    }

    pub(super) fn as_slice(&self) -> &[(u16, u16)] {
        &self.0
    }
}

/// What of a peer's traffic is meant: ports of each protocol, and whether everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ports {
    /// TCP, UDP, SCTP.
    protocols: [Intervals; 3],
    /// ICMP and protocols without ports.
    others: bool,
}

impl Ports {
    pub(super) fn none() -> Self {
        Self::default()
    }

    pub(super) fn all() -> Self {
        Self { protocols: std::array::from_fn(|_| Intervals::all()), others: true }
    }

    /// Of a rule: without `ports` everything, port 0 and other protocols included.
    pub(super) fn of_rule(ports: Option<&[PortMatch]>) -> Self {
        let Some(ports) = ports else { return Self::all() };
        let of = |protocol: Protocol| {
            let ranges = ports.iter().filter(|line| line.protocol == protocol);
            let ranges = ranges.map(|line| (line.range.first(), line.range.last())).collect();
            Intervals::default().union(&Intervals(ranges))
        };
        Self { protocols: [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(of), others: false }
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        self.combine(other, Intervals::union, self.others || other.others)
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, Intervals::intersection, self.others && other.others)
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        let minus = |one: &Intervals, other: &Intervals| one.intersection(&other.complement());
        self.combine(other, minus, self.others && !other.others)
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn protocols(&self) -> &[Intervals; 3] {
        &self.protocols
    }

    pub(super) fn others(&self) -> bool {
        self.others
    }

    fn combine(
        &self,
        other: &Self,
        with: impl Fn(&Intervals, &Intervals) -> Intervals,
        others: bool,
    ) -> Self {
        let protocols =
            std::array::from_fn(|index| with(&self.protocols[index], &other.protocols[index]));
        Self { protocols, others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_combine_at_the_edges() {
        let of = |ranges: &[(u16, u16)]| Intervals(ranges.to_vec());
        let rows = [
            (of(&[]), of(&[(0, 65535)])),
            (of(&[(0, 0)]), of(&[(1, 65535)])),
            (of(&[(65535, 65535)]), of(&[(0, 65534)])),
            (of(&[(1, 79), (81, 65534)]), of(&[(0, 0), (80, 80), (65535, 65535)])),
        ];
        for (set, complement) in rows {
            assert_eq!(set.complement(), complement);
            assert_eq!(complement.complement(), set);
            assert!(set.union(&complement).is_all());
            assert!(set.intersection(&complement).is_none());
        }
    }
}
