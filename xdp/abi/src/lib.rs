//! The contract between the agent and the kernel programs: what every map holds.
//!
//! All tables that a commit changes exist twice (two *sides*). [`Control::generation`] names the
//! side that packets read; see [`table`] for how a side is addressed. Numbers are in host order
//! unless a type says otherwise; addresses and ports are network-order byte arrays.
#![cfg_attr(not(test), no_std)]

pub mod address;
pub mod affinity;
pub mod bench;
pub mod control;
pub mod flow;
pub mod frontend;
pub mod generate;
pub mod next_hop;
pub mod port;
pub mod reason;
pub mod record;
pub mod socket;
pub mod table;
pub mod tail;
pub mod wire;

/// The version as a literal. The programs' declarations of maps repeat it: attributes take no
/// macros.
#[doc(hidden)]
#[macro_export]
macro_rules! abi_version {
    () => {
        8
    };
}

/// A map's name, which carries the version: programs never meet tables of another layout.
#[macro_export]
macro_rules! map_name {
    ($name:literal) => {
        concat!("zg", $crate::abi_version!(), "_", $name)
    };
}

/// Changes with any layout in this crate; map names carry it and [`control::Control`] holds it.
pub const ABI_VERSION: u32 = abi_version!();
