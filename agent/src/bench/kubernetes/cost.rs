//! What a proxy takes of processors and memory.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::lab::Lab;

/// Time of processors since a moment.
pub struct Busy {
    begun: Instant,
    before: Duration,
}

impl Busy {
    pub fn from_now(lab: &Lab) -> Self {
        Self { begun: Instant::now(), before: lab.process().time() }
    }

    pub fn time(&self, lab: &Lab) -> Duration {
        lab.process().time().saturating_sub(self.before)
    }

    /// Per cent of one processor.
    pub fn percent(&self, lab: &Lab) -> f64 {
        let share = self.time(lab).as_secs_f64() / self.begun.elapsed().as_secs_f64();
        (share * 10_000.0).round() / 100.0
    }
}

/// From its start to its rest.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Start {
    /// Until the first packet through a service came.
    pub sync_s: f64,
    /// Of processors, until then.
    pub cpu_s: f64,
}

impl Start {
    pub fn of(lab: &Lab, sync: Duration) -> Self {
        let hundredths = |it: Duration| (it.as_secs_f64() * 100.0).round() / 100.0;
        Self { sync_s: hundredths(sync), cpu_s: hundredths(lab.process().time()) }
    }
}

/// Bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Of the process: what is neither its program's file nor mapped from the kernel, all of it, and the
    /// most that all was.
    pub own: u64,
    pub resident: u64,
    pub peak: u64,
    /// Of the kernel for it: tables and rules; `null` where that is not counted.
    pub kernel: Option<u64>,
}

impl Memory {
    pub fn of(lab: &Lab) -> Self {
        let process = lab.process();
        Self {
            own: process.own(),
            resident: process.resident(),
            peak: process.peak(),
            kernel: lab.kernel_bytes(),
        }
    }

    /// In MiB.
    pub fn cells(&self) -> [String; 4] {
        let mib = |bytes: u64| (bytes >> 20).to_string();
        let kernel = self.kernel.map_or_else(|| "-".to_owned(), mib);
        [mib(self.own), mib(self.resident), mib(self.peak), kernel]
    }
}
