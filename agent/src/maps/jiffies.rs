//! The kernel's tick counter, which flows are stamped with.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use libbpf_rs::libbpf_sys;
use nix::time::{ClockId, clock_getres};

use super::error::MapError;

/// A program of two instructions that returns the jiffies.
///
/// Only the kernel knows them: they start at an arbitrary value, wrap, and stand still while
/// the machine sleeps. Run by `BPF_PROG_TEST_RUN`, the probe returns the lower 32 bits, which is
/// what flow entries hold; one call takes some microseconds.
pub struct Jiffies {
    probe: OwnedFd,
    hz: u32,
}

impl Jiffies {
    pub fn new() -> Result<Self, MapError> {
        // The resolution of the coarse clocks is one tick (`TICK_NSEC`, kernel/time/posix-timers.c).
        let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
            .map_err(|errno| MapError::Clock(errno.into()))?;
        let tick = u64::try_from(tick.tv_nsec()).ok().filter(|tick| *tick > 0);
        let tick = tick.ok_or_else(|| MapError::Clock(io::ErrorKind::InvalidData.into()))?;
        let hz = (1_000_000_000 + tick / 2) / tick;
        Ok(Self { probe: load_probe().map_err(MapError::Clock)?, hz: hz as u32 })
    }

    /// Ticks per second.
    pub fn hz(&self) -> u32 {
        self.hz
    }

    /// The ticks of a duration, at most half of what 32 bits hold.
    pub fn ticks(&self, duration: Duration) -> u32 {
        let ticks = duration.as_millis() * u128::from(self.hz) / 1000;
        u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX / 2)
    }

    pub fn duration(&self, ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(self.hz))
    }

    /// The lower 32 bits of the kernel's jiffies now.
    pub fn now(&self) -> io::Result<u32> {
        // An Ethernet header is the least that a test run takes.
        let packet = [0u8; 14];
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
            data_in: packet.as_ptr().cast(),
            data_size_in: packet.len() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: the program is live and `options` points to a packet of the length it says.
        let result =
            unsafe { libbpf_sys::bpf_prog_test_run_opts(self.probe.as_raw_fd(), &raw mut options) };
        if result == 0 { Ok(options.retval) } else { Err(io::Error::from_raw_os_error(-result)) }
    }
}

fn load_probe() -> io::Result<OwnedFd> {
    let instruction = |code: u32, imm: u32| {
        let mut instruction = libbpf_sys::bpf_insn { code: code as u8, ..Default::default() };
        instruction.imm = imm.cast_signed();
        instruction
    };
    let program = [
        instruction(libbpf_sys::BPF_JMP | libbpf_sys::BPF_CALL, libbpf_sys::BPF_FUNC_jiffies64),
        instruction(libbpf_sys::BPF_JMP | libbpf_sys::BPF_EXIT, 0),
    ];
    // SAFETY: `program` and the strings outlive the call; no options are given.
    let result = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER,
            c"zg_jiffies".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            std::ptr::null_mut(),
        )
    };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: a file descriptor that the call above made and nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}
