//! Where local workloads are plugged in.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The port of a local endpoint, indexed by endpoint id. Not sided: it follows the kernel's
/// links, not commits.
#[repr(C, align(16))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Port {
    /// The kernel's index of the host side; 0 while it is absent.
    pub interface: u32,
    /// MTU of the port in bytes.
    pub mtu: u16,
    /// The workload's own MAC address, for frames sent straight to its port; zero when unknown.
    pub mac: [u8; 6],
    pub padding: u32,
}

pub const PORTS_MAP: &str = crate::map_name!("ports");

const _: () = assert!(size_of::<Port>() == 16);
