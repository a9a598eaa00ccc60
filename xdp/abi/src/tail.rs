//! Tail calls: which slot of which program array holds which program.
//!
//! Every load of the programs gets arrays of its own, pinned with it: an array that nobody holds
//! is emptied by the kernel, and an empty slot drops packets.

pub const XDP_MAP: &str = crate::map_name!("tail_xdp");
pub const UPLINK_INGRESS_MISS4: u32 = 0;
pub const UPLINK_INGRESS_MISS6: u32 = 1;
pub const UPLINK_INGRESS_FIRST4: u32 = 2;
pub const UPLINK_INGRESS_FIRST6: u32 = 3;
/// The programs by slot.
pub const XDP_PROGRAMS: [&str; 4] = [
    "uplink_ingress_miss4",
    "uplink_ingress_miss6",
    "uplink_ingress_first4",
    "uplink_ingress_first6",
];

pub const TC_MAP: &str = crate::map_name!("tail_tc");
pub const WORKLOAD_INGRESS_MISS4: u32 = 0;
pub const WORKLOAD_INGRESS_MISS6: u32 = 1;
pub const WORKLOAD_EGRESS_MISS4: u32 = 2;
pub const WORKLOAD_EGRESS_MISS6: u32 = 3;
pub const UPLINK_EGRESS_MISS4: u32 = 4;
pub const UPLINK_EGRESS_MISS6: u32 = 5;
pub const UPLINK_HANDOVER_MISS4: u32 = 6;
pub const UPLINK_HANDOVER_MISS6: u32 = 7;
pub const WORKLOAD_INGRESS_FIRST4: u32 = 8;
pub const WORKLOAD_INGRESS_FIRST6: u32 = 9;
/// The programs by slot.
pub const TC_PROGRAMS: [&str; 10] = [
    "workload_ingress_miss4",
    "workload_ingress_miss6",
    "workload_egress_miss4",
    "workload_egress_miss6",
    "uplink_egress_miss4",
    "uplink_egress_miss6",
    "uplink_handover_miss4",
    "uplink_handover_miss6",
    "workload_ingress_first4",
    "workload_ingress_first6",
];

/// The mark of a packet that one of our tc hooks sent to another interface: the hook there has
/// nothing left to judge. Packets lose it when they leave the node's network namespace.
pub const JUDGED_MARK: u32 = 0x5a47_0001;

/// What XDP writes before a packet, as four bytes of metadata, that the NIC's tc hook has to send
/// on.
pub const HANDOVER: u32 = 0x5a47_0002;
