//! Frames through something that forwards, and the processor's time for those that came through.
#![expect(clippy::cast_precision_loss, reason = "frames are counted far below 2⁵²")]

use std::{
    io, thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;

use super::{WireError, measure::Figures, namespace::Namespace, softirq};
use crate::bench::{
    generate::{Amount, Load, Sender},
    statistics::Summary,
};

/// A sender into a wire, and the count of what comes out.
pub struct Passage<'a> {
    generator: &'a Namespace,
    sender: Sender,
    counted: Counted<'a>,
}

/// Frames that have come through so far.
pub type Counted<'a> = Box<dyn Fn() -> Result<u64, WireError> + 'a>;

impl<'a> Passage<'a> {
    /// Sends out of `gen0` of the generator's namespace, from so many processors. The load is told that
    /// interface's index.
    pub fn open(
        generator: &'a Namespace,
        processors: u32,
        load: impl FnOnce(u32) -> Result<Load, WireError> + Send,
        counted: Counted<'a>,
    ) -> Result<Self, WireError> {
        let sender = generator.run(|| {
            let interface = if_nametoindex("gen0").map_err(io::Error::from)?;
            Ok(Sender::open(load(interface)?, processors, BATCH)?)
        })?;
        Ok(Self { generator, sender, counted })
    }

    /// Sends frames, and waits until no more come through.
    pub fn send(&self, frames: u64) -> Result<Sent, WireError> {
        let until = self.sender.made() + frames;
        let begin = (self.counted)()?;
        let counted = begin + frames;
        let amount = Amount { frames: Some(until), time: None, rate: None };
        let before = self.softirq_time()?;
        let sender = &self.sender;
        let sent = self.generator.run(|| Ok(sender.send(amount, Instant::now())?))?;
        let mut last = (self.counted)()?;
        let mut quiet = 0;
        while last < counted && quiet < QUIET_TICKS {
            thread::sleep(TICK);
            let now = (self.counted)()?;
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
        }
        let time = sent.busy + self.softirq_time()?.saturating_sub(before);
        Ok(Sent { frames, through: last - begin, time })
    }

    fn softirq_time(&self) -> Result<Duration, WireError> {
        self.sender.processors().iter().map(|processor| softirq::time(*processor)).sum()
    }
}

const BATCH: u32 = 64;
const TICK: Duration = Duration::from_millis(2);
/// A busy machine may leave `ksoftirqd` waiting for long.
const QUIET_TICKS: u32 = 250;

/// What became of frames.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub frames: u64,
    pub through: u64,
    /// The processor's, for them: the sender's thread's, in which packets are mostly forwarded, and what
    /// no such thread is charged.
    pub time: Duration,
}

/// Rounds of frames.
#[derive(Debug, Default)]
pub struct Tally {
    kpps: Vec<f64>,
    ns: Vec<f64>,
    loss: Vec<f64>,
}

impl Tally {
    /// Takes down a round of which something came through.
    pub fn add(&mut self, sent: Sent) {
        let ns = sent.time.as_secs_f64() * 1e9 / sent.through as f64;
        self.ns.push(ns);
        self.kpps.push(1e6 / ns);
        let came = sent.through as f64 / sent.frames as f64;
        self.loss.push((1.0 - came).max(0.0) * 100.0);
    }

    pub fn figures(&self) -> Figures {
        Figures {
            kpps: Summary::of(&self.kpps),
            ns_per_packet: Summary::of(&self.ns).median,
            loss: Summary::hundredths(&self.loss).median,
        }
    }
}
