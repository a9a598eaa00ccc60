//! The benchmark's programs: a prologue for each hook type, which restores the packet and goes on
//! in whatever program is measured, and programs to compare with: an empty one, and one of fixed
//! work.
//!
//! `BPF_PROG_TEST_RUN` hands a program its own output as the next input. The prologue makes every
//! packet a fresh one, of the next flow. An object of its own.
//! Beside them the packet generator, which sends what it writes, and what is at the ends of a wire.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod calibrate;
#[cfg(target_arch = "bpf")]
mod generate;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod restore;
#[cfg(target_arch = "bpf")]
mod wire;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("these are kernel programs: build the agent, whose build script compiles them");
}
