//! Next hops: where a frame goes when it does not go through the kernel.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One next hop; id 0 is "the kernel decides". Not sided: a neighbour's change is one store of
/// [`Self::destination`], whose zero disables the hop while the rest is written.
#[repr(C, align(8))]
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
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

/// Neighbours on the uplinks, where flows find what the kernel's routes lead to: buckets of
/// [`Neighbours::WAYS`] next hops by [`Neighbours::bucket`].
pub struct Neighbours;

impl Neighbours {
    pub const BUCKETS: u32 = 256;
    pub const WAYS: u32 = 4;
    pub const ENTRIES: u32 = Self::BUCKETS * Self::WAYS;
    /// The bit of a flow's next hop that makes the rest a place in this table.
    pub const ID: u32 = 1 << 23;

    /// Where a neighbour belongs, by its link address ([`NextHop::destination`]) and interface.
    #[inline(always)]
    pub const fn bucket(destination: [u8; 8], interface: u32) -> u32 {
        let [a, b, c, d, e, f, _, _] = destination;
        let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) ^ (interface as u64) << 48;
        (mac.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::BUCKETS.ilog2())) as u32
    }
}

pub const NEXT_HOPS_MAP: &str = crate::map_name!("next_hops");
pub const NEIGHBOURS_MAP: &str = crate::map_name!("neighbours");

const _: () = assert!(size_of::<NextHop>() == 32);
