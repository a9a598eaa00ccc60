//! Threads that have the kernel send, each on a processor of its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use abi::generate::{LONGEST, Plan, Recorded};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use super::{
    GenerateError,
    pace::{Amount, Pace, Step},
    plan::Frames,
};
use crate::loader::{Generator, Source};

/// What is sent.
pub enum Load {
    Frames(Frames),
    /// Out of the interface with this index.
    Recorded(Vec<Recorded>, u32),
}

impl Load {
    /// 0 of a replay.
    pub fn flows(&self) -> u32 {
        match self {
            Self::Frames(frames) => frames.plan.flows,
            Self::Recorded(..) => 0,
        }
    }
}

/// The programs, ready to send.
pub struct Sender {
    generator: Generator,
    source: Source,
    /// What the programs fill.
    frame: Vec<u8>,
    processors: Vec<usize>,
    batch: u32,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// That were handed to the interface.
    pub frames: u64,
    /// Of the threads that sent.
    pub busy: Duration,
}

impl Sender {
    pub fn open(load: Load, threads: u32, batch: u32) -> Result<Self, GenerateError> {
        let processors = processors(threads)?;
        let count = CpuSet::count() as u32;
        let (generator, source, frame) = match load {
            Load::Frames(frames) => {
                let generator = Generator::load(count, 0)?;
                for (index, template) in (0..).zip(&frames.templates) {
                    generator.set_template(index, template);
                }
                generator.set_plan(&frames.plan);
                (generator, Source::Templates, frames.frame)
            }
            Load::Recorded(recorded, interface) => {
                let frames = recorded.len() as u32;
                let generator = Generator::load(count, frames)?;
                for (index, recorded) in (0..).zip(&recorded) {
                    generator.set_recorded(index, recorded);
                }
                generator.set_plan(&Plan {
                    interface,
                    recorded: frames,
                    longest: LONGEST as u32,
                    ..Plan::default()
                });
                (generator, Source::Recorded, vec![0; LONGEST])
            }
        };
        for (index, processor) in (0..).zip(&processors) {
            generator.set_position(*processor as u32, index, processors.len() as u64);
        }
        Ok(Self { generator, source, frame, processors, batch })
    }

    /// Goes on to send an amount that began at `start`, of which every processor has its part.
    pub fn send(&self, amount: Amount, start: Instant) -> Result<Sent, GenerateError> {
        let before = self.made();
        let threads = self.processors.len() as u64;
        let busy = thread::scope(|scope| {
            let begin = |index: usize, processor: usize| {
                let part =
                    |whole: u64| whole / threads + u64::from((index as u64) < whole % threads);
                let amount = Amount {
                    frames: amount.frames.map(part),
                    time: amount.time,
                    rate: amount.rate.map(|rate| rate / threads as f64),
                };
                scope.spawn(move || self.send_from(processor, amount, start))
            };
            let processors = self.processors.iter().copied().enumerate();
            let running: Vec<_> =
                processors.map(|(index, processor)| begin(index, processor)).collect();
            running.into_iter().try_fold(Duration::ZERO, |busy, thread| {
                let more =
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                Ok::<_, GenerateError>(busy + more)
            })
        })?;
        Ok(Sent { frames: self.made() - before, busy })
    }

    fn send_from(
        &self,
        processor: usize,
        amount: Amount,
        start: Instant,
    ) -> Result<Duration, GenerateError> {
        let mut only = CpuSet::new();
        only.set(processor)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
        let before = thread_time()?;
        let mut pace = Pace::new(amount, start, self.generator.made(processor as u32));
        loop {
            match pace.next(Instant::now()) {
                Step::Send(frames) => {
                    self.generator.send(self.source, &self.frame, frames, self.batch)?;
                }
                Step::Wait(time) => thread::sleep(time),
                Step::Done => return Ok(thread_time()?.saturating_sub(before)),
            }
        }
    }

    /// Where it runs.
    pub fn processors(&self) -> &[usize] {
        &self.processors
    }

    /// Frames that were handed to the interface so far.
    pub fn made(&self) -> u64 {
        self.processors.iter().map(|processor| self.generator.made(*processor as u32)).sum()
    }
}

fn thread_time() -> Result<Duration, GenerateError> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The last ones that this process may use: the first ones serve interrupts.
fn processors(wanted: u32) -> Result<Vec<usize>, GenerateError> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut all: Vec<usize> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).collect();
    let available = all.len();
    if available < wanted as usize {
        return Err(GenerateError::TooManyThreads { wanted, available });
    }
    Ok(all.split_off(available - wanted as usize))
}
