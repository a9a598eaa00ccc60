//! One-block records and packed words of the sided tables.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::table::Block;

/// A local workload. The table's index is the endpoint id in [`crate::address::Leaf`]; id 0 is
/// nobody, and its epoch is the node's own, which is part of every flow's sum: it moves when a
/// backend stops serving and when local addresses change.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Endpoint {
    /// Grows with every change of what this endpoint may do; starts at 1.
    pub epoch: u32,
    /// First word of its ingress row in the rows table, or [`ROW_ALLOW`].
    pub ingress_row: u32,
    pub egress_row: u32,
    /// The rows for what NetworkPolicy never blocks and ClusterNetworkPolicy may: its own node,
    /// and itself through a service.
    pub ingress_exempt_row: u32,
    pub egress_exempt_row: u32,
    pub padding0: u32,
    pub padding: [u64; 5],
}

/// Record 0 of the endpoints table: this node.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Node {
    /// As [`Endpoint::epoch`].
    pub epoch: u32,
    pub padding0: u32,
    /// What backends see instead of clients, by family: IPv4 in the first four bytes. Zero where
    /// the node has no address.
    pub masquerade4: [u8; 16],
    pub masquerade6: [u8; 16],
    pub padding: [u64; 3],
}

/// A row that allows everything: the direction is not isolated.
pub const ROW_ALLOW: u32 = u32::MAX;

/// Words of a port bitmap.
pub const PAGE_WORDS: u32 = 1024;
/// The page that holds no port, and needs no bitmap.
pub const PAGE_NONE: u16 = 0;
/// The page that holds every port, and needs no bitmap.
pub const PAGE_ALL: u16 = 1;
/// Page `n` from here on begins at word `(n - PAGE_FIRST) * PAGE_WORDS` of the pages table.
pub const PAGE_FIRST: u16 = 2;

/// The port set that allows nothing.
pub const PORT_SET_NONE: u16 = 0;
/// The port set that allows everything.
pub const PORT_SET_ALL: u16 = 1;

/// A port set: one page per protocol, and whether what has no ports passes. One word.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortSet(pub u64);

impl PortSet {
    pub const fn new(tcp: u16, udp: u16, sctp: u16, others: bool) -> Self {
        Self(tcp as u64 | (udp as u64) << 16 | (sctp as u64) << 32 | (others as u64) << 48)
    }

    #[inline(always)]
    pub const fn tcp(self) -> u16 {
        self.0 as u16
    }

    #[inline(always)]
    pub const fn udp(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    pub const fn sctp(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Whether ICMP and protocols other than TCP, UDP and SCTP pass.
    #[inline(always)]
    pub const fn others(self) -> bool {
        self.0 >> 48 & 1 != 0
    }
}

/// What becomes of a new connection of one audience of a service. One word.
#[repr(transparent)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Range(pub u64);

impl Range {
    /// Answered with a TCP reset or ICMP port unreachable.
    pub const REJECT: Self = Self(0);
    /// Dropped without an answer.
    pub const DROP: Self = Self(1 << 63);
    const SNAT: u64 = 1 << 62;
    const LOCAL: u64 = 1 << 61;

    /// `size ≥ 1` slots from slot `start` on; `size` below 2²⁴.
    pub const fn slots(start: u32, size: u32) -> Self {
        Self(start as u64 | (size as u64) << 32)
    }

    /// The same slots, for clients that backends must not see.
    #[must_use]
    pub const fn with_snat(self) -> Self {
        Self(self.0 | Self::SNAT)
    }

    /// The same slots, of a list whose backends are marked [`Backend::LOCAL`] rather than
    /// [`Backend::CLUSTER`].
    #[must_use]
    pub const fn of_local(self) -> Self {
        Self(self.0 | Self::LOCAL)
    }

    /// How the backends that have these slots are marked.
    #[inline(always)]
    pub const fn mark(self) -> u16 {
        if self.0 & Self::LOCAL != 0 { Backend::LOCAL } else { Backend::CLUSTER }
    }

    /// Whether the source must be rewritten to an address of this node.
    #[inline(always)]
    pub const fn snat(self) -> bool {
        self.0 & Self::SNAT != 0
    }

    #[inline(always)]
    pub const fn start(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub const fn size(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }
}

/// Sorted, disjoint ranges of addresses in the intervals table. One word.
///
/// A range is four words: the first address' upper and lower 64 bits, then the last one's, as
/// numbers. An IPv4 address is a number below 2³².
#[repr(transparent)]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Intervals(pub u64);

/// Words of one range.
pub const INTERVAL_WORDS: u32 = 4;

impl Intervals {
    /// More than this many are never looked through.
    pub const MAX: u32 = (1 << 17) - 1;

    /// `count` ranges, at most [`Self::MAX`], from range `start` of the table on.
    pub const fn new(start: u32, count: u32) -> Self {
        Self(start as u64 | (count as u64) << 32)
    }

    #[inline(always)]
    pub const fn start(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub const fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// One kind of frontend of a service; id 0 is none.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Service {
    /// For clients with an address of some workload, or inside `pod_prefixes`.
    pub pods: Range,
    /// For this node's own processes.
    pub node: Range,
    /// For everybody else.
    pub outside: Range,
    /// [`Self::GUARDED`] and [`Self::TUNNEL`].
    pub flags: u64,
    /// Of a guarded service, who may use it.
    pub sources: Intervals,
    /// Where pods have their addresses, known or not.
    pub pod_prefixes: Intervals,
    /// Under which number clients' backends are remembered; 0: they are not. The same for all
    /// kinds of frontends of a service.
    pub affinity: u32,
    /// Seconds from a client's last new connection until its backend is forgotten.
    pub affinity_timeout: u32,
    pub padding: u64,
}

impl Service {
    /// Clients outside `sources` are dropped, whoever they are.
    pub const GUARDED: u64 = 1;
    /// What outsiders send to backends elsewhere goes there through a tunnel.
    pub const TUNNEL: u64 = 2;
}

/// A real server; id 0 is none. Ids are not reused while a flow may name them.
#[repr(C, align(64))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Backend {
    /// IPv4 in the first four bytes.
    pub address: [u8; 16],
    /// Network order.
    pub port: [u8; 2],
    /// [`Self::SERVING`], [`Self::CLUSTER`], [`Self::LOCAL`].
    pub flags: u16,
    /// Index in the next-hop table; 0 leaves the way to the kernel.
    pub next_hop: u32,
    /// The [`Service::affinity`] of the service whose backend this is.
    pub affinity: u32,
    /// The record of its service that comes first: whose backend it is, for an agent that has
    /// nothing but the tables to tell.
    pub service: u32,
    pub padding: [u64; 4],
}

impl Backend {
    /// Live flows may stay. Absent: those of UDP are cut.
    pub const SERVING: u16 = 1;
    /// Has slots in the service's list of the cluster. Said only where clients' backends are
    /// remembered, as is [`Self::LOCAL`].
    pub const CLUSTER: u16 = 2;
    /// Has slots in the list of this node, where that is another one.
    pub const LOCAL: u16 = 4;
}

/// Sizes are part of the contract.
const _: () = {
    assert!(size_of::<Block>() == 64);
    assert!(size_of::<Endpoint>() == 64);
    assert!(size_of::<Node>() == 64);
    assert!(size_of::<Service>() == 64);
    assert!(size_of::<Backend>() == 64);
};
