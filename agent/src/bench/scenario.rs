//! What is measured, and what the datapath's counters must say of it.

use abi::reason::{DropReason, PassReason};

use super::{
    frame::{ACK, Direction, Packet, SYN},
    world::{CLOSED4, REMOTE_SERVICE4, SERVICE4, SERVICE6, STRANGER4, WORKLOAD4, WORKLOAD6},
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
    pub scenarios: &'static [Scenario],
}

/// From outsiders to local workloads behind services, with policy in force; by IPv6; and to
/// backends elsewhere, which see the node, with the next hop known.
pub const GROUPS: &[Group] = &[
    Group {
        first: opening(SERVICE4),
        answer: Some(established("answer", Hook::WorkloadIngress, to_client(WORKLOAD4), false)),
        scenarios: &[
            Scenario {
                name: "not-ours",
                hook: Hook::UplinkIngress,
                packet: to_server(STRANGER4, ACK),
                counter: PassReason::NotOurs.name(),
                sent: false,
            },
            Scenario {
                name: "denied",
                hook: Hook::UplinkIngress,
                packet: to_server(CLOSED4, SYN),
                counter: DropReason::PolicyIngress.name(),
                sent: false,
            },
            established("established", Hook::UplinkIngress, to_server(SERVICE4, ACK), false),
            established("reply", Hook::UplinkEgress, to_client(WORKLOAD4), false),
            established("reply-judged", Hook::WorkloadIngress, to_client(WORKLOAD4), false),
        ],
    },
    Group {
        first: opening(SERVICE6),
        answer: Some(established("answer", Hook::WorkloadIngress, to_client(WORKLOAD6), false)),
        scenarios: &[established(
            "established-v6",
            Hook::UplinkIngress,
            to_server(SERVICE6, ACK),
            false,
        )],
    },
    Group {
        first: Scenario { sent: true, ..opening(REMOTE_SERVICE4) },
        answer: None,
        scenarios: &[established(
            "masqueraded",
            Hook::UplinkIngress,
            to_server(REMOTE_SERVICE4, ACK),
            true,
        )],
    },
];

/// Every packet opens a flow in a table that is full, and replaces two entries.
pub const NEW: Scenario = opening(SERVICE4);
/// Every packet opens a flow in a table that was empty before the round.
pub const NEW_FRESH: Scenario = Scenario { name: "new-fresh", ..NEW };

/// The names in the order in which they are reported.
pub fn order() -> impl Iterator<Item = &'static str> {
    let grouped = GROUPS.iter().flat_map(|group| group.scenarios).map(|scenario| scenario.name);
    grouped.chain([NEW.name, NEW_FRESH.name])
}

const fn opening(server: std::net::SocketAddr) -> Scenario {
    Scenario {
        name: "new",
        hook: Hook::UplinkIngress,
        packet: to_server(server, SYN),
        counter: PassReason::NewFlow.name(),
        sent: false,
    }
}

const fn established(name: &'static str, hook: Hook, packet: Packet, sent: bool) -> Scenario {
    Scenario { name, hook, packet, counter: PassReason::Established.name(), sent }
}

const fn to_server(server: std::net::SocketAddr, flags: u8) -> Packet {
    Packet { direction: Direction::ToServer, server, flags }
}

const fn to_client(server: std::net::SocketAddr) -> Packet {
    Packet { direction: Direction::ToClient, server, flags: ACK }
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
