//! Next hops: where a frame goes when it does not go through the kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One next hop; id 0 is "the kernel decides". Not sided: a neighbour's change is one store of
/// [`Self::destination`], whose zero disables the hop while the rest is written.
#[repr(C, align(8))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct NextHop {
    /// Bytes 0–5: destination MAC; byte 6: 1 when usable; byte 7: 1 when the interface takes what
    /// XDP redirects from others (`ndo_xdp_xmit`).
    pub destination: [u8; 8],
    /// Bytes 0–5: source MAC.
    pub source: [u8; 8],
    pub interface: u32,
    /// Largest IP packet, in bytes, that may be sent this way.
    pub mtu: u32,
    pub padding: u64,
}

impl NextHop {
    #[inline(always)]
    pub const fn is_usable(&self) -> bool {
        let [.., usable, _] = self.destination;
        usable == 1
    }

    /// Whether XDP at another interface may send frames this way.
    #[inline(always)]
    pub const fn takes_frames(&self) -> bool {
        let [.., takes_frames] = self.destination;
        takes_frames == 1
    }
}

pub const NEXT_HOPS_MAP: &str = crate::map_name!("next_hops");

const _: () = assert!(size_of::<NextHop>() == 32);
