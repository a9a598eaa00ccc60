//! How long handshakes took: times in a histogram.
//!
//! Buckets are those of `HdrHistogram` with eight to a power of two, so that a quantile is right
//! to one part in sixteen; only those that hold something take room, since there is a histogram for
//! every service and pair of zones.

use std::{collections::BTreeMap, time::Duration};

/// Times of handshakes, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handshakes {
    count: u64,
    /// Of all times.
    sum: u64,
    buckets: BTreeMap<u16, u64>,
}

impl Handshakes {
    pub fn record(&mut self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        *self.buckets.entry(bucket(time)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The mean; nothing if there are no times.
    pub fn mean(&self) -> Option<Duration> {
        Some(Duration::from_micros(self.sum.checked_div(self.count)?))
    }

    /// What so many percent of the times, from 0 to 100, do not exceed.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        found.map(|(bucket, _)| Duration::from_micros(middle(*bucket)))
    }

    /// Upper bounds of buckets, exclusive and ascending, and how many times are in each.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.buckets.iter().map(|(bucket, count)| {
            (Duration::from_micros(lowest(*bucket) + width(*bucket)), *count)
        })
    }
}

/// Buckets to a power of two, as one.
const STEP: u32 = 3;
const STEPS: u64 = 1 << STEP;

fn bucket(time: u64) -> u16 {
    let scale = time.max(1).ilog2().saturating_sub(STEP);
    (u64::from(scale) * STEPS + (time >> scale)) as u16
}

fn scale(bucket: u16) -> u64 {
    (u64::from(bucket) / STEPS).saturating_sub(1)
}

fn lowest(bucket: u16) -> u64 {
    (u64::from(bucket) - scale(bucket) * STEPS) << scale(bucket)
}

fn width(bucket: u16) -> u64 {
    1 << scale(bucket)
}

fn middle(bucket: u16) -> u64 {
    lowest(bucket) + width(bucket) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut end = 0;
        for number in 0..=bucket(1 << 40) {
            assert_eq!(lowest(number), end, "bucket {number} begins where the last one ends");
            end += width(number);
            for time in [lowest(number), middle(number), end - 1] {
                assert_eq!(bucket(time), number, "{time}");
            }
            assert!(width(number) == 1 || width(number) * STEPS <= lowest(number), "{number}");
        }
    }

    #[test]
    fn figures_are_those_of_the_times() {
        let mut all = Handshakes::default();
        assert_eq!((all.count(), all.mean(), all.percentile(50)), (0, None, None));
        // 1 to 1000 in two parts, as of two nodes.
        let mut odd = Handshakes::default();
        for time in 1..=1000 {
            let part = if time % 2 == 0 { &mut all } else { &mut odd };
            part.record(Duration::from_micros(time));
        }
        all.add(&odd);
        assert_eq!((all.count(), all.mean()), (1000, Some(Duration::from_micros(500))));
        for (percent, exact) in [(0, 1), (1, 10), (50, 500), (90, 900), (99, 990), (100, 1000)] {
            let found = all.percentile(percent).unwrap().as_micros().cast_signed();
            assert!((found - exact).abs() <= exact / 16, "{percent}: {found}, not {exact}");
        }
        let (bounds, counts): (Vec<Duration>, Vec<u64>) = all.buckets().unzip();
        assert!(bounds.is_sorted() && bounds.len() < 64);
        assert_eq!(counts.iter().sum::<u64>(), 1000);
    }
}
