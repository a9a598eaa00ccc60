//! Service addresses: key and value of the frontend table.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of the frontend table (hash). The value is a `u64`: the service id in the lower half.
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
pub struct FrontendKey {
    /// IPv4 in the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Network order.
    pub port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// 0 or 1; [`FrontendKey::V6`] is added for an IPv6 address.
    pub side: u8,
}

impl FrontendKey {
    /// Tells `::` followed by zeros from an IPv4 address.
    pub const V6: u8 = 0x80;
}

pub const FRONTENDS_MAP: &str = crate::map_name!("frontends");

const _: () = assert!(size_of::<FrontendKey>() == 20);
