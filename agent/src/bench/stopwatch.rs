//! One processor, and the time that this thread has spent on it.

use std::time::Duration;

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// Keeps this thread on the last processor that it may use: the first ones serve interrupts.
pub fn pin() -> Result<usize, Errno> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu) == Ok(true));
    let cpu = last.ok_or(Errno::EINVAL)?;
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(this, &only)?;
    Ok(cpu)
}

/// The time that `work` takes of the processor: waiting, and others' turns, are not counted.
pub fn time<E: From<Errno>>(work: impl FnOnce() -> Result<(), E>) -> Result<Duration, E> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let start = now()?;
    work()?;
    Ok(now()?.saturating_sub(start))
}

/// Nanoseconds for each of `packets` that `whole` took more than `base`.
pub fn net(whole: Duration, base: Duration, packets: u32) -> f64 {
    (whole.as_secs_f64() - base.as_secs_f64()) * 1e9 / f64::from(packets.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_may_be_negative() {
        let milliseconds = Duration::from_millis;
        assert!((net(milliseconds(60), milliseconds(20), 1_000_000) - 40.0).abs() < 1e-6);
        assert!((net(milliseconds(19), milliseconds(20), 1_000_000) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn waiting_takes_no_time() {
        let work = || {
            std::thread::sleep(Duration::from_millis(30));
            Ok::<(), Errno>(())
        };
        assert!(time(work).unwrap() < Duration::from_millis(20));
    }
}
