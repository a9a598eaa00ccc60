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
    /// 0 or 1; [`FrontendKey::V6`] is added for an IPv6 address, and [`FrontendKey::TUNNELLED`].
    pub side: u8,
}

impl FrontendKey {
    /// Tells `::` followed by zeros from an IPv4 address.
    pub const V6: u8 = 0x80;
    /// The key of what comes through a tunnel: `address` is a backend's on this node, and port and
    /// protocol are the service's id, whose lowest 16 bits are the port. The value is the backend's
    /// id.
    pub const TUNNELLED: u8 = 0x40;

    #[must_use]
    pub const fn is_tunnelled(&self) -> bool {
        self.side & Self::TUNNELLED != 0
    }

    /// This backend address' key for packets that came through a tunnel to a service.
    #[inline(always)]
    #[must_use]
    pub const fn tunnelled(self, service: u32) -> Self {
        Self {
            address: self.address,
            port: (service as u16).to_be_bytes(),
            protocol: (service >> 16) as u8,
            side: self.side | Self::TUNNELLED,
        }
    }
}

pub const FRONTENDS_MAP: &str = crate::map_name!("frontends");

const _: () = assert!(size_of::<FrontendKey>() == 20);
