//! What an address is: the leaves of the address tables.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words of the first level of the IPv4 table, indexed by the upper 16 bits.
pub const LEVEL1: usize = 65_536;
/// Words of a chunk: the second level is indexed by the third byte, the third by the fourth.
pub const CHUNK: usize = 256;

const CHUNK_FLAG: u64 = 1 << 63;
const ENDPOINT_SHIFT: u32 = 24;
const FLAGS_SHIFT: u32 = 40;

/// Everything a packet needs to know of an address, in one word. Zero is "nothing is known":
/// class 0, no endpoint, no flags.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaf(pub u64);

impl Leaf {
    /// A service has a frontend at this address.
    pub const FRONTEND: u8 = 1;
    /// An address of this node's own stack.
    pub const THIS_NODE: u8 = 2;
    /// A service address only: what no frontend takes is dropped.
    pub const SERVICE_ONLY: u8 = 4;
    /// An address of some workload of the cluster, wherever it runs.
    pub const WORKLOAD: u8 = 8;
    /// An address of another node of the cluster.
    pub const OTHER_NODE: u8 = 16;
    /// Largest class.
    pub const MAX_CLASS: u32 = (1 << ENDPOINT_SHIFT) - 1;

    /// `class` is at most [`Self::MAX_CLASS`]; `endpoint` is a local endpoint's id, or 0.
    pub const fn new(class: u32, endpoint: u16, flags: u8) -> Self {
        Self(
            (class & Self::MAX_CLASS) as u64
                | (endpoint as u64) << ENDPOINT_SHIFT
                | (flags as u64) << FLAGS_SHIFT,
        )
    }

    /// The entry of an upper level that points to chunk number `chunk`, whose first word is
    /// `LEVEL1 + chunk * CHUNK`.
    pub const fn chunk(chunk: u32) -> Self {
        Self(CHUNK_FLAG | chunk as u64)
    }

    /// The chunk this entry points to, or `None` for a leaf.
    #[inline(always)]
    pub const fn as_chunk(self) -> Option<u32> {
        if self.0 & CHUNK_FLAG == 0 { None } else { Some(self.0 as u32) }
    }

    #[inline(always)]
    pub const fn class(self) -> u32 {
        self.0 as u32 & Self::MAX_CLASS
    }

    #[inline(always)]
    pub const fn endpoint(self) -> u16 {
        (self.0 >> ENDPOINT_SHIFT) as u16
    }

    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        (self.0 >> FLAGS_SHIFT) as u8 & flag != 0
    }
}

/// Key of the exact IPv6 table (hash, value [`Leaf`]).
#[repr(C)]
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Address6Key {
    pub address: [u8; 16],
    pub side: u32,
}

/// Key of the IPv6 prefix table (LPM trie, value [`Leaf`]): `prefix_len` counts the eight bits
/// of `side` too.
#[repr(C)]
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Prefix6Key {
    pub prefix_len: u32,
    pub side: u8,
    pub address: [u8; 16],
    pub padding: [u8; 7],
}

impl Prefix6Key {
    pub const SIDE_BITS: u32 = 8;
}

pub const ADDRESSES6_MAP: &str = crate::map_name!("addr6");
pub const PREFIXES6_MAP: &str = crate::map_name!("prefix6");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_gives_back_what_it_was_made_of() {
        let leaf = Leaf::new(Leaf::MAX_CLASS, u16::MAX, Leaf::FRONTEND | Leaf::WORKLOAD);
        assert_eq!(
            (leaf.class(), leaf.endpoint(), leaf.as_chunk()),
            (Leaf::MAX_CLASS, u16::MAX, None)
        );
        assert!(leaf.has(Leaf::FRONTEND) && leaf.has(Leaf::WORKLOAD) && !leaf.has(Leaf::THIS_NODE));
        assert_eq!(Leaf::chunk(u32::MAX).as_chunk(), Some(u32::MAX));
        assert_eq!(Leaf::default().as_chunk(), None);
    }
}
