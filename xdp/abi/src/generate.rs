//! The contract of the packet generator's programs: which frames they write.
//!
//! No part of the datapath: these maps exist only while `zonegate bench generate` runs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words of headers in a [`Template`]: those of Ethernet, IPv6 and TCP fit.
pub const HEADER_WORDS: usize = 10;
/// Templates of a protocol, one for each size in turn.
pub const SIZES: u32 = 12;
/// Templates of a [`Plan`]: those of its first protocol come first.
pub const TEMPLATES: u32 = 2 * SIZES;
/// Longest frame, without the checksum that a NIC appends. It fits a page with what the kernel
/// keeps beside it.
pub const LONGEST: usize = 2040;
/// Shortest frame: an Ethernet header.
pub const SHORTEST: usize = 14;

/// What a frame of one protocol and size has in common with others.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Template {
    /// The headers, as they lie in the frame. Addresses' last four bytes, ports, the sequence number
    /// and checksums are written by the program.
    pub headers: [u64; HEADER_WORDS],
    /// The sum of the 16-bit words that the transport checksum covers, without what the program
    /// writes: pseudo-header, constant fields and payload.
    pub transport_sum: u32,
    /// The same of IPv4's header.
    pub network_sum: u32,
    /// Of the frame, in bytes.
    pub length: u32,
    /// [`shape`].
    pub shape: u32,
    pub padding: [u64; 4],
}

/// Values of [`Template::shape`].
pub mod shape {
    pub const V4_UDP: u32 = 0;
    pub const V4_TCP: u32 = 1;
    pub const V6_UDP: u32 = 2;
    pub const V6_TCP: u32 = 3;
}

/// Numbers from `first` on; `count` is not 0.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Span {
    pub first: u32,
    pub count: u32,
}

/// What frames are made: the single element of its map.
///
/// Frame `n` is of flow `(n mod flows) · stride mod flows`. A flow's number is written with the
/// digits destination, destination port, source port, source (the lowest first): each is a number
/// below the span's count, the last one without bound.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Plan {
    /// Addresses are the lowest 32 bits, as numbers.
    pub destination: Span,
    pub destination_port: Span,
    pub source_port: Span,
    pub source: Span,
    pub flows: u32,
    /// Has no factor in common with `flows`.
    pub stride: u32,
    /// 1 or 2; flows are of these in turn.
    pub protocols: u32,
    /// Not 0: TCP's sequence number differs from flow to flow.
    pub vary_sequence: u32,
    /// Where frames go out, an index.
    pub interface: u32,
    /// Of a replay.
    pub recorded: u32,
    /// Bytes of the frames that programs are handed.
    pub longest: u32,
    pub padding: u32,
}

/// How far a processor has got.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Position {
    /// Number of the next frame.
    pub next: u64,
    /// From one frame of this processor to its next; 0 where none are made.
    pub step: u64,
    /// Frames that were handed to the interface.
    pub made: u64,
    pub padding: [u64; 5],
}

/// A frame to send as it is.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Recorded {
    /// In bytes, of [`SHORTEST`] to [`LONGEST`].
    pub length: u32,
    pub padding: u32,
    pub bytes: [u8; LONGEST],
}

pub const PLAN_MAP: &str = "zg1_gen_plan";
pub const TEMPLATES_MAP: &str = "zg1_gen_template";
pub const POSITIONS_MAP: &str = "zg1_gen_position";
pub const RECORDED_MAP: &str = "zg1_gen_recorded";

const _: () = assert!(size_of::<Template>() == 128 && size_of::<Position>() == 64);
const _: () = assert!(size_of::<Plan>() == 64 && size_of::<Recorded>() == 2048);
