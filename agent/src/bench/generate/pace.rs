//! When how many frames may go.

use std::time::{Duration, Instant};

/// How much there is to send until when, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub frames: Option<u64>,
    pub time: Option<Duration>,
    /// Per second.
    pub rate: Option<f64>,
}

/// Hands out frames as time goes by.
#[derive(Debug)]
pub struct Pace {
    amount: Amount,
    start: Instant,
    sent: u64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Send(u32),
    Wait(Duration),
    Done,
}

impl Pace {
    /// Goes on after `sent` frames since `start`.
    pub fn new(amount: Amount, start: Instant, sent: u64) -> Self {
        Self { amount, start, sent }
    }

    /// What to do now; frames count as sent as soon as they are handed out.
    pub fn next(&mut self, now: Instant) -> Step {
        let Amount { frames, time, rate } = self.amount;
        let elapsed = now.saturating_duration_since(self.start);
        let left = frames.map_or(u64::MAX, |frames| frames.saturating_sub(self.sent));
        if left == 0 || time.is_some_and(|time| elapsed >= time) {
            return Step::Done;
        }
        let mut due = left.min(self.chunk(elapsed));
        if let Some(rate) = rate {
            let allowed = (elapsed.as_secs_f64() * rate) as u64;
            let now = allowed.saturating_sub(self.sent);
            // Few large calls rather than many small ones: each sets up a pool of pages.
            let worth = ((rate * PERIOD.as_secs_f64()) as u64).clamp(1, left);
            if now < worth {
                let when = Duration::from_secs_f64((self.sent + worth) as f64 / rate);
                let wait = when.saturating_sub(elapsed).max(Duration::from_micros(50));
                let end = time.map_or(wait, |time| time.saturating_sub(elapsed));
                return Step::Wait(wait.min(end));
            }
            due = due.min(now);
        }
        self.sent += due;
        Step::Send(due as u32)
    }

    /// About a period's worth, as fast as it went so far.
    fn chunk(&self, elapsed: Duration) -> u64 {
        let periods = elapsed.as_secs_f64() / PERIOD.as_secs_f64();
        let so_far = if periods > 0.0 { (self.sent as f64 / periods) as u64 } else { 0 };
        so_far.clamp(LEAST_CHUNK, MOST_CHUNK)
    }
}

const PERIOD: Duration = Duration::from_millis(50);
const LEAST_CHUNK: u64 = 1 << 12;
const MOST_CHUNK: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames sent and time taken where sending takes `each` a frame.
    fn run(amount: Amount, each: Duration) -> (u64, Duration) {
        let start = Instant::now();
        let mut pace = Pace::new(amount, start, 0);
        let (mut now, mut sent) = (start, 0);
        loop {
            match pace.next(now) {
                Step::Send(frames) => {
                    sent += u64::from(frames);
                    now += each * frames;
                    if let Some(rate) = amount.rate {
                        let most = (now - start).as_secs_f64() * rate;
                        assert!(sent as f64 <= most + 1.0, "{sent} of {most}");
                    }
                }
                Step::Wait(time) => now += time,
                Step::Done => return (sent, now - start),
            }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_count_is_exact() {
        for frames in [1, 1000, 1_000_003] {
            let amount = Amount { frames: Some(frames), time: None, rate: None };
            assert_eq!(run(amount, Duration::from_nanos(300)).0, frames);
        }
    }

    #[test]
    fn time_ends_it_within_some_periods() {
        let amount = Amount { frames: None, time: Some(SECOND), rate: None };
        let (sent, took) = run(amount, Duration::from_nanos(250));
        assert!((3_900_000..4_400_000).contains(&sent), "{sent}");
        assert!(took < SECOND + 4 * PERIOD, "{took:?}");
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let start = Instant::now();
        let amount = Amount { frames: Some(1000), time: None, rate: Some(1000.0) };
        let mut pace = Pace::new(amount, start, 900);
        assert_eq!(pace.next(start + SECOND / 2), Step::Wait(SECOND * 9 / 20));
        assert_eq!(pace.next(start + SECOND), Step::Send(100));
        assert_eq!(pace.next(start + SECOND), Step::Done);
    }

    #[test]
    fn the_rate_is_kept_and_never_exceeded() {
        for rate in [1.0, 7.0, 1000.0, 123_456.0] {
            let amount = Amount { frames: None, time: Some(10 * SECOND), rate: Some(rate) };
            let sent = run(amount, Duration::from_nanos(300)).0 as f64;
            assert!((rate * 9.8 - 1.0..=rate * 10.0).contains(&sent), "{rate}: {sent}");
        }
        let amount = Amount { frames: Some(500), time: None, rate: Some(1000.0) };
        let (sent, took) = run(amount, Duration::from_nanos(300));
        assert_eq!(sent, 500);
        assert!((took.as_secs_f64() - 0.5).abs() < 0.06, "{took:?}");
    }
}
