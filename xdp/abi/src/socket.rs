//! What sockets of the node's own processes were connected to before they were translated.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the peers table (LRU hash, value [`Peer`]): a socket and the backend that it talks to.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PeerKey {
    /// The kernel's number of the socket, never used again.
    pub cookie: u64,
    /// As it lies in memory; IPv4 in the first word, the rest zero.
    pub address: [u32; 4],
    /// Network order.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`Self::V6`] for an IPv6 address, else 0.
    pub family: u8,
    pub padding: u32,
}

impl PeerKey {
    pub const V6: u8 = 1;
}

/// The service's address that the process knows, in the key's family.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Peer {
    /// As it lies in memory; IPv4 in the first word, the rest zero.
    pub address: [u32; 4],
    /// Network order.
    pub port: u16,
    pub padding: u16,
}

pub const PEERS_MAP: &str = crate::map_name!("peers");

const _: () = {
    assert!(size_of::<PeerKey>() == 32);
    assert!(size_of::<Peer>() == 20);
};
