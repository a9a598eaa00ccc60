//! Loading, pinning, attaching, adopting and removing the kernel programs.
//!
//! Below the pin directory (one agent each, see [`Kernel::open`]):
//!
//! - `maps/`: what packets read. Outlives agents; the next one adopts it after checking sizes and
//!   ABI version.
//! - `sets/<n>/`: the tail-call maps of one set of programs, and the links of those at sockets.
//!   Every agent loads its own programs around the maps that are there, and removes the sets of
//!   its predecessors when its own programs have replaced them everywhere.
//! - `links/<interface>-<hook>`: what is attached. Links are updated in place, never detached
//!   and attached again.
//!
//! aya does all of it; its types stay in this module.

mod adopt;
mod attach;
mod cgroup;
mod config;
mod error;
mod flow_buckets;
mod generator;
mod interface_pattern;
mod kernel;
mod layout;
mod lock;
mod log;
mod object;
mod pins;
mod port_range;
mod programs;
mod prologue;
mod rig;
mod socket;
mod teardown;
mod wire;

pub use attach::{Attacher, Role, takes_frames};
pub use config::{KernelConfig, Midstream, TableSizes};
pub use error::LoadError;
pub use generator::{Generator, Source};
pub use interface_pattern::InterfacePattern;
pub use kernel::{Kernel, KernelGuard, Loaded};
pub use log::{INTERVAL as LOG_INTERVAL, ProgramLog};
pub use object::bytes as object_bytes;
pub use port_range::Ports;
pub use programs::ProgramSet;
pub use prologue::{HookType, Prologue};
pub use rig::{Rig, TableRig};
pub use teardown::teardown;
pub use wire::{WireProgram, WirePrograms};
