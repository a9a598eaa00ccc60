//! The one record that every packet reads first.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The single element of the control map.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Control {
    /// The lowest bit names the side that packets read. 0 before the first commit: nothing is
    /// ours and everything passes.
    pub generation: u64,
    /// Key of the flow tables' hash; chosen once, when the maps are made.
    pub hash_key: [u64; 2],
    /// Buckets of the IPv4 flow table minus one; a power of two minus one.
    pub flow4_mask: u32,
    pub flow6_mask: u32,
    /// [`Self::PREFIXES6`].
    pub flags: u32,
    /// Idle times after which a flow may be replaced, and the time after which a hit flow is
    /// looked at again; in jiffies.
    pub timeouts: Timeouts,
    /// [`crate::ABI_VERSION`] of the agent that made the maps.
    pub abi_version: u32,
    /// What the last complete commit made visible.
    pub revision: u64,
    /// Which history of revisions that belongs to.
    pub lineage: [u64; 2],
    /// What the commit under way is doing: see [`Intent`].
    pub intent: u64,
    /// Where source translation takes its ports from.
    pub masquerade: PortRange,
    /// [`Midstream`].
    pub midstream: u32,
    /// The kernel's `HZ`.
    pub jiffies_per_second: u32,
    /// Of so many new TCP flows of services, the handshake of one is timed: a power of two; 0 is none.
    pub handshake_sample: u32,
    /// Part of every epoch sum: grows when the kernel's routes change, which flows may remember.
    pub routes: u32,
    /// Jiffies for which a confirmed flow may be idle and is still not replaced by an unconfirmed one.
    pub fresh: u32,
    pub padding: [u32; 2],
}

#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Timeouts {
    /// TCP until the flow is confirmed: [`crate::flow::seen::CONFIRMED`].
    pub tcp_new: u32,
    pub tcp_established: u32,
    /// TCP after FIN or RST.
    pub tcp_closing: u32,
    pub udp: u32,
    /// ICMP and the rest.
    pub other: u32,
    /// A flow hit after this long since it was last looked at is judged again, and its partner
    /// refreshed.
    pub refresh: u32,
}

/// Ports `first..first + count`, as numbers.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PortRange {
    pub first: u16,
    pub count: u16,
}

/// What becomes of a TCP packet to a service that is in the middle of a connection that no flow is
/// known of. Values of [`Control::midstream`].
pub struct Midstream;

impl Midstream {
    /// Answered with a reset.
    pub const RESET: u32 = 0;
    pub const DROP: u32 = 1;
    /// Left to the kernel, whose own rules may know the connection.
    pub const PASS: u32 = 2;
}

impl Control {
    /// The IPv6 prefix table is not empty.
    pub const PREFIXES6: u32 = 1;

    /// The side that packets read.
    #[inline(always)]
    pub const fn side(generation: u64) -> u32 {
        generation as u32 & 1
    }
}

/// Values of [`Control::intent`]. Whatever it says, the side that the generation names is whole.
pub struct Intent;

impl Intent {
    /// Both sides hold the same.
    pub const SETTLED: u64 = 0;
    /// The side that packets do not read is being written, before or after it was switched.
    pub const WRITING: u64 = 1;
}

pub const CONTROL_MAP: &str = crate::map_name!("control");

const _: () = assert!(size_of::<Control>() == 128);
