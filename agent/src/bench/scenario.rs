//! What is measured, and what the datapath's counters must say of it.

use std::net::SocketAddr;

use abi::reason::{DropReason, PassReason};

use super::{
    frame::{ACK, Clients, Direction, Packet, SYN},
    world::{
        CLOSED4, CLUSTER_SERVICE4, FAR_CLIENTS, OUTSIDERS4, OUTSIDERS6, PODS4, REMOTE_SERVICE4,
        REMOTE4, SERVICE4, SERVICE6, STRANGER4, WORKLOAD4, WORKLOAD6,
    },
};
use crate::loader::HookType;

/// One kind of packet at one hook.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub hook: Hook,
    pub packet: Packet,
    /// Moves once for every packet; no other counter moves, except "forwarded" with `sent`.
    pub counter: &'static str,
    /// Leaves by the programs, without the kernel's help.
    pub sent: bool,
}

/// A program that is attached somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    UplinkIngress,
    UplinkEgress,
    WorkloadIngress,
}

impl Hook {
    pub const fn kind(self) -> HookType {
        match self {
            Self::UplinkIngress => HookType::Xdp,
            Self::UplinkEgress | Self::WorkloadIngress => HookType::Tc,
        }
    }

    pub const fn program(self) -> &'static str {
        match self {
            Self::UplinkIngress => "uplink_ingress",
            Self::UplinkEgress => "uplink_egress",
            Self::WorkloadIngress => "workload_ingress",
        }
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UplinkIngress => "uplink ingress (XDP)",
            Self::UplinkEgress => "uplink egress (tc)",
            Self::WorkloadIngress => "workload ingress (tc)",
        }
    }
}

/// Scenarios that share the flows of one table.
#[derive(Debug)]
pub struct Group {
    /// Opens the flows.
    pub first: Scenario,
    /// Answers them, unless answers go to ports that the node has drawn.
    pub answer: Option<Scenario>,
    /// There cannot be more flows.
    pub most: u32,
    pub scenarios: &'static [Scenario],
}

/// From outsiders to local workloads behind services, with policy in force; by IPv6; to backends
/// elsewhere, which see the node; and from pods to such backends, which see the pod. Next hops are
/// known.
pub const GROUPS: &[Group] = &[
    Group {
        first: opening(OUTSIDERS4, SERVICE4),
        answer: Some(established(
            "answer",
            Hook::WorkloadIngress,
            to_client(OUTSIDERS4, WORKLOAD4),
            false,
        )),
        most: u32::MAX,
        scenarios: &[
            Scenario {
                name: "not-ours",
                hook: Hook::UplinkIngress,
                packet: to_server(OUTSIDERS4, STRANGER4, ACK),
                counter: PassReason::NotOurs.name(),
                sent: false,
            },
            DENIED,
            established(
                "established",
                Hook::UplinkIngress,
                to_server(OUTSIDERS4, SERVICE4, ACK),
                false,
            ),
            established("reply", Hook::UplinkEgress, to_client(OUTSIDERS4, WORKLOAD4), false),
            established(
                "reply-judged",
                Hook::WorkloadIngress,
                to_client(OUTSIDERS4, WORKLOAD4),
                false,
            ),
        ],
    },
    Group {
        first: opening(OUTSIDERS6, SERVICE6),
        answer: Some(established(
            "answer",
            Hook::WorkloadIngress,
            to_client(OUTSIDERS6, WORKLOAD6),
            false,
        )),
        most: u32::MAX,
        scenarios: &[established(
            "established-v6",
            Hook::UplinkIngress,
            to_server(OUTSIDERS6, SERVICE6, ACK),
            false,
        )],
    },
    Group {
        first: Scenario { sent: true, ..opening(OUTSIDERS4, REMOTE_SERVICE4) },
        answer: None,
        most: MOST_MASQUERADED,
        scenarios: &[established(
            "masqueraded",
            Hook::UplinkIngress,
            to_server(OUTSIDERS4, REMOTE_SERVICE4, ACK),
            true,
        )],
    },
    Group {
        first: Scenario { sent: true, ..opening(PODS4, CLUSTER_SERVICE4) },
        answer: Some(REPLY_XDP),
        most: u32::MAX,
        scenarios: &[
            established(
                "relayed",
                Hook::UplinkIngress,
                to_server(PODS4, CLUSTER_SERVICE4, ACK),
                true,
            ),
            REPLY_XDP,
        ],
    },
];

const REPLY_XDP: Scenario =
    established("reply-xdp", Hook::UplinkIngress, to_client(PODS4, REMOTE4), true);
/// A node has some thousands of ports for each backend.
const MOST_MASQUERADED: u32 = 1 << 16;

const DENIED: Scenario = Scenario {
    name: "denied",
    hook: Hook::UplinkIngress,
    packet: to_server(OUTSIDERS4, CLOSED4, SYN),
    counter: DropReason::PolicyIngress.name(),
    sent: false,
};
/// From prefixes of policies all over the tables.
pub const DENIED_FAR: Scenario =
    Scenario { name: "denied-far", packet: to_server(FAR_CLIENTS, CLOSED4, SYN), ..DENIED };
/// Every packet opens a flow in a table that is full, and replaces two entries.
pub const NEW: Scenario = opening(OUTSIDERS4, SERVICE4);
/// Every packet opens a flow in a table that was empty before the round.
pub const NEW_FRESH: Scenario = Scenario { name: "new-fresh", ..NEW };

/// The names in the order in which they are reported.
pub fn order() -> impl Iterator<Item = &'static str> {
    let grouped = GROUPS.iter().flat_map(|group| group.scenarios).map(|scenario| scenario.name);
    grouped.chain([NEW.name, NEW_FRESH.name, DENIED_FAR.name])
}

const fn opening(clients: Clients, server: SocketAddr) -> Scenario {
    Scenario {
        name: "new",
        hook: Hook::UplinkIngress,
        packet: to_server(clients, server, SYN),
        counter: PassReason::NewFlow.name(),
        sent: false,
    }
}

const fn established(name: &'static str, hook: Hook, packet: Packet, sent: bool) -> Scenario {
    Scenario { name, hook, packet, counter: PassReason::Established.name(), sent }
}

const fn to_server(clients: Clients, server: SocketAddr, flags: u8) -> Packet {
    Packet { direction: Direction::ToServer, clients, server, flags }
}

const fn to_client(clients: Clients, server: SocketAddr) -> Packet {
    Packet { direction: Direction::ToClient, clients, server, flags: ACK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = order().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
