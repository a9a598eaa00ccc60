//! Tail calls: which slot of which program array holds which slow path.
//!
//! Every load of the programs gets arrays of its own, pinned with it: an array that nobody holds
//! is emptied by the kernel, and an empty slot drops packets.

pub const XDP_MAP: &str = crate::map_name!("tail_xdp");
pub const XDP_SLOTS: u32 = 2;
pub const UPLINK_INGRESS_MISS4: u32 = 0;
pub const UPLINK_INGRESS_MISS6: u32 = 1;

pub const TC_MAP: &str = crate::map_name!("tail_tc");
pub const TC_SLOTS: u32 = 8;
pub const WORKLOAD_INGRESS_MISS4: u32 = 0;
pub const WORKLOAD_INGRESS_MISS6: u32 = 1;
pub const WORKLOAD_EGRESS_MISS4: u32 = 2;
pub const WORKLOAD_EGRESS_MISS6: u32 = 3;
pub const UPLINK_EGRESS_MISS4: u32 = 4;
pub const UPLINK_EGRESS_MISS6: u32 = 5;
pub const UPLINK_HANDOVER_MISS4: u32 = 6;
pub const UPLINK_HANDOVER_MISS6: u32 = 7;

/// The mark of a packet that one of our tc hooks sent to another interface: the hook there has
/// nothing left to judge. Packets lose it when they leave the node's network namespace.
pub const JUDGED_MARK: u32 = 0x5a47_0001;

/// What XDP writes before a packet, as four bytes of metadata, that the NIC's tc hook has to send
/// on.
pub const HANDOVER: u32 = 0x5a47_0002;
