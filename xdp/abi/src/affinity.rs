//! Which backend a service remembers for a client: key and value of the affinity table.
//!
//! The table is not sided, and the programs alone write it. When it is full, the kernel gives up
//! what was not used for longest.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the affinity table (LRU hash).
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AffinityKey {
    /// The client's own address; IPv4 in the first four bytes, the rest zero.
    pub client: [u32; 4],
    /// [`crate::record::Service::affinity`], which no two address families share.
    pub service: u32,
}

/// Value of the affinity table.
///
/// Processors that open connections of one client at once may mix their values, each of which is
/// right by itself.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Affinity {
    /// Jiffies when the client's last connection was opened, all 64 bits: what is remembered may
    /// be older than 32 bits of them can tell.
    pub opened: u64,
    pub backend: u32,
    pub padding: u32,
}

/// Entries of the affinity table by default.
pub const AFFINITY_ENTRIES: u32 = 65_536;

pub const AFFINITY_MAP: &str = crate::map_name!("affinity");

const _: () = {
    assert!(size_of::<AffinityKey>() == 20);
    assert!(size_of::<Affinity>() == 16);
};
