//! The contract between the agent and the kernel programs: what every map holds.
//!
//! All tables that a commit changes exist twice (two *sides*). [`Control::generation`] names the
//! side that packets read; see [`table`] for how a side is addressed. Numbers are in host order
//! unless a type says otherwise; addresses and ports are network-order byte arrays.
#![cfg_attr(not(test), no_std)]

pub mod address;
pub mod control;
pub mod flow;
pub mod frontend;
pub mod next_hop;
pub mod port;
pub mod reason;
pub mod record;
pub mod table;
pub mod tail;

/// Changes with any layout in this crate; map names carry it and [`control::Control`] holds it.
pub const ABI_VERSION: u32 = 1;
