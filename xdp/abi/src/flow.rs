//! Flow-table entries: buckets of four, each entry a run of 64-bit words.
//!
//! | word (v4) | (v6) | content |
//! |---|---|---|
//! | 0 | 0 | tag: state (2 bits, lowest), generation (14), hash (48) |
//! | 1 | 1–4 | key: source then destination address |
//! | 2 | 5 | key: source port, destination port, protocol, zeros, as bytes in that order |
//! | 3 | 6–9 | source then destination address after translation |
//! | 4 | 10 | source and destination port after translation (2+2 bytes), checksum delta of the addresses (16 bits), of the ports (16 bits) |
//! | 5 | 11 | last look in jiffies (lowest 32 bits), next hop (24), seen TCP flags and state (8) |
//! | 6 | 12 | epoch sum (lowest 32 bits), source endpoint (16), destination endpoint (16), both after translation |
//! | 7 | 13 | backend (lowest 32 bits), service (24), kind (8) |
//!
//! Packets and bytes are beside it, in a bucket of the statistics map with the same index.
//! Addresses and ports lie in words as bytes in network order, whatever the host's order is.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries in a bucket.
pub const WAYS: usize = 4;
/// Words of an IPv4 entry and of an IPv6 entry.
pub const WORDS4: usize = 8;
pub const WORDS6: usize = 16;

/// The tag's fields.
pub mod tag {
    pub const STATE: u64 = 0b11;
    pub const FREE: u64 = 0;
    /// Being written; not to be read.
    pub const CLAIMED: u64 = 1;
    pub const LIVE: u64 = 2;
    pub const GENERATION_SHIFT: u32 = 2;
    pub const GENERATION: u64 = 0x3fff << GENERATION_SHIFT;
    pub const HASH: u64 = !0 << 16;
}

/// Bits of an entry's kind.
pub mod kind {
    /// The entry is for replies; its partner is the direction that opened the flow.
    pub const REPLY: u8 = 1;
    /// The destination (of replies: the source) is rewritten.
    pub const DNAT: u8 = 2;
    /// The source (of replies: the destination) is one of this node's own addresses: the kernel
    /// routes no such packet, so both directions are translated where they come in.
    pub const SNAT: u8 = 4;
    /// A workload reaches itself: like [`SNAT`], and packets go back to where they came from.
    pub const HAIRPIN: u8 = 8;
    /// Packets go to the backend as they are, inside another IP header, and answers do not come back
    /// by this node. The entry says what they become there.
    pub const TUNNEL: u8 = 16;
}

/// Bits of an entry's state byte: what this direction has shown.
pub mod seen {
    pub const FIN: u8 = 1;
    pub const RST: u8 = 2;
    /// The other direction has answered.
    pub const ANSWERED: u8 = 4;
}

/// A bucket of the statistics maps.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FlowStats(pub [Traffic; WAYS]);

#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Traffic {
    pub packets: u64,
    /// Of IP packets: link headers are not counted.
    pub bytes: u64,
}

/// One bucket as it lies in the map.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Bucket<const WORDS: usize>(pub [[u64; WORDS]; WAYS]);

pub const FLOWS4_MAP: &str = crate::map_name!("flows4");
pub const FLOWS6_MAP: &str = crate::map_name!("flows6");
pub const STATS4_MAP: &str = crate::map_name!("stats4");
pub const STATS6_MAP: &str = crate::map_name!("stats6");

const _: () = {
    assert!(size_of::<Bucket<WORDS4>>() == 256);
    assert!(size_of::<Bucket<WORDS6>>() == 512);
    assert!(size_of::<FlowStats>() == 64);
};
