//! Sided tables: arrays of 64-byte blocks in which the two sides alternate.
//!
//! Block `b` of side `s` is the array element `2 * b + s`, so a side needs no base address and
//! every block is one cache line. A table is seen either as words (`word w` is word `w % 8` of
//! block `w / 8`) or as records of one block each ([`crate::record`]).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words in a [`Block`].
pub const BLOCK_WORDS: usize = 8;

/// One cache line of a sided table.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Block(pub [u64; BLOCK_WORDS]);

/// The sided array tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Table {
    /// Words: [`crate::address::Leaf`]. The first [`crate::address::LEVEL1`] are indexed by an
    /// IPv4 address' upper 16 bits; chunks of 256 follow.
    Addresses4,
    /// Words of four 16-bit port-set ids, class 0 in the lowest bits. A row begins at the word
    /// that an endpoint names and holds one id per class.
    Rows,
    /// Words: [`crate::record::PortSet`].
    PortSets,
    /// Bitmaps of 65,536 ports, [`crate::record::PAGE_WORDS`] words each. Bit `p % 64` of word
    /// `p / 64` is port `p`.
    Pages,
    /// Records: [`crate::record::Endpoint`].
    Endpoints,
    /// Records: [`crate::record::Service`].
    Services,
    /// Records: [`crate::record::Backend`].
    Backends,
    /// Words of two 32-bit backend ids, even slot in the lower half.
    Slots,
    /// Ranges of addresses, four words each; see [`crate::record::Intervals`].
    Intervals,
}

impl Table {
    pub const ALL: [Self; 9] = [
        Self::Addresses4,
        Self::Rows,
        Self::PortSets,
        Self::Pages,
        Self::Endpoints,
        Self::Services,
        Self::Backends,
        Self::Slots,
        Self::Intervals,
    ];

    /// The map's name, as in bpffs and `bpftool map`.
    pub const fn map_name(self) -> &'static str {
        match self {
            Self::Addresses4 => crate::map_name!("addr4"),
            Self::Rows => crate::map_name!("rows"),
            Self::PortSets => crate::map_name!("portsets"),
            Self::Pages => crate::map_name!("pages"),
            Self::Endpoints => crate::map_name!("endpoints"),
            Self::Services => crate::map_name!("services"),
            Self::Backends => crate::map_name!("backends"),
            Self::Slots => crate::map_name!("slots"),
            Self::Intervals => crate::map_name!("intervals"),
        }
    }

    /// Default capacity in blocks of one side.
    pub const fn default_blocks(self) -> u32 {
        match self {
            Self::Addresses4 => (crate::address::LEVEL1 as u32 + 4096 * 256) / 8,
            Self::Rows => 128 * 1024,
            Self::PortSets => 512,
            Self::Pages => 510 * 128,
            Self::Endpoints => 4096,
            Self::Services => 16_384,
            Self::Backends => 65_536,
            Self::Slots => 32 * 1024,
            Self::Intervals => 8 * 1024,
        }
    }
}

/// The array element that holds a block of one side.
#[inline(always)]
pub const fn element(block: u32, side: u32) -> u32 {
    (block << 1) | (side & 1)
}
