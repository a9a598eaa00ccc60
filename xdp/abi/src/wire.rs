//! The contract of the programs at the ends of the benchmarks' wires.
//!
//! No part of the datapath: these maps exist only while `zonegate bench` runs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a processor has counted.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Counted {
    pub frames: u64,
    pub padding: [u64; 7],
}

/// Holds one `NextHop`.
pub const HOP_MAP: &str = "zg1_wire_hop";
pub const COUNTED_MAP: &str = "zg1_wire_counted";

const _: () = assert!(size_of::<Counted>() == 64);
