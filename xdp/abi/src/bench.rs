//! The contract of the benchmark's prologue program: which frame it restores, and for which flow.
//!
//! No part of the datapath: these maps exist only while `zonegate bench` runs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of the frames in bytes: headers of IPv6 and TCP fit.
pub const FRAME: usize = 78;
/// Words of a frame.
pub const FRAME_WORDS: usize = 10;
/// Bits of a flow's number that choose its client's port; the others choose the address.
pub const PORT_BITS: u32 = 14;
/// The first client port.
pub const FIRST_PORT: u16 = 0x8000;
/// Servers; a flow's number modulo this one chooses among them.
pub const SERVERS: u32 = 64;

/// Where word `index` of a frame lies: the first at the beginning, the others so that each field
/// that is read at once was written at once, which is what a processor forwards without delay.
pub const fn word_offset(index: usize) -> usize {
    if index == 0 { 0 } else { 6 + 8 * (index - 1) }
}

/// The single element of the setup map.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Setup {
    /// The frame, word by word; see [`word_offset`].
    pub frame: [u64; FRAME_WORDS],
    /// Position in the list of flows, or the next flow's number; the program moves it on.
    pub next: u64,
    /// Length of the list of flows. 0: every packet is the first of a new flow.
    pub flows: u32,
    /// [`shape`].
    pub shape: u32,
    /// The lowest 32 bits of the first client's address, as a number.
    pub client: u32,
    /// The same of the first server.
    pub server: u32,
    /// Clients lie two to the power of this apart.
    pub spread: u32,
    pub reserved: u32,
    pub padding: [u64; 2],
}

/// Values of [`Setup::shape`]: where in the frame client and server are.
pub mod shape {
    pub const V4_TO_SERVER: u32 = 0;
    pub const V4_TO_CLIENT: u32 = 1;
    pub const V6_TO_SERVER: u32 = 2;
    pub const V6_TO_CLIENT: u32 = 3;
}

pub const SETUP_MAP: &str = "zg1_bench_setup";
/// Flow numbers in the order in which packets come, one in each 64-bit element.
pub const FLOWS_MAP: &str = "zg1_bench_flows";
pub const TAIL_XDP_MAP: &str = "zg1_bench_xdp";
pub const TAIL_TC_MAP: &str = "zg1_bench_tc";

const _: () = assert!(size_of::<Setup>() == 128);
const _: () = assert!(word_offset(FRAME_WORDS - 1) + 8 == FRAME);
