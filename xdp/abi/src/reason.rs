//! Why a packet was dropped or passed: numbered, append-only, never reused.
//!
//! Each has a counter in the per-CPU counters map, at its number.

/// Declares reasons with their numbers, texts and reverse lookup in one list.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The counter's name: lower case with underscores.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

/// Slots of the counters map.
pub const COUNTERS: u32 = 128;

pub const COUNTERS_MAP: &str = crate::map_name!("counters");

reasons! {
    /// Why a packet went on; numbers 0–63.
    PassReason {
        /// Neither end is ours.
        NotOurs = 0 "not_ours",
        /// Neither IPv4 nor IPv6.
        NotIp = 1 "not_ip",
        /// Neighbour discovery, or another local control message.
        LocalControl = 2 "local_control",
        /// Of an established flow.
        Established = 3 "established",
        /// First of a flow that policy allows.
        NewFlow = 4 "new_flow",
        /// Sent by a hook that had judged it already.
        AlreadyJudged = 5 "already_judged",
        /// Reached no commit yet: the tables are empty.
        NotReady = 6 "not_ready",
        /// An ICMP error about a known flow.
        Related = 7 "related",
        /// Of the above, sent on without the kernel's help (counted in addition).
        Forwarded = 8 "forwarded",
        /// Answered by us for a service without backends.
        Rejected = 9 "rejected",
        /// A later fragment whose first was let through, or between ends that may exchange anything.
        Fragment = 10 "fragment",
        /// Answered by us: the hop limit is used up, or the packet is too large for its way.
        Answered = 11 "answered",
        /// To a service, in the middle of a connection that is not known: the kernel's rules may
        /// know it.
        Midstream = 12 "midstream_passed",
        /// A socket of the node's own was sent from a service to a backend.
        Socket = 13 "socket",
        /// The same, but there was no room to remember it: the process sees the backend's address.
        SocketForgotten = 14 "socket_forgotten",
    }
}

reasons! {
    /// Why a packet was dropped; numbers 64–127.
    DropReason {
        TruncatedEthernet = 64 "truncated_ethernet",
        TruncatedIp = 65 "truncated_ip",
        TruncatedTransport = 66 "truncated_transport",
        /// IHL below 5, a wrong version, or a total length beyond the frame or below the header.
        MalformedIp = 67 "malformed_ip",
        /// More than two VLAN tags.
        TooManyVlanTags = 68 "too_many_vlan_tags",
        /// An IPv6 extension-header chain longer than the walk.
        ExtensionChain = 69 "extension_chain",
        /// A later fragment whose first was not seen or not let through, or an ICMP error in fragments.
        Fragment = 70 "fragment_denied",
        /// Loopback, multicast or unspecified source, or loopback destination.
        Martian = 71 "martian",
        /// A local workload's or this node's own address as source from outside.
        SpoofedSource = 72 "spoofed_source",
        /// A workload's port sent with an address that is not its own.
        ForeignSource = 73 "foreign_source",
        PolicyEgress = 74 "policy_egress",
        PolicyIngress = 75 "policy_ingress",
        /// A service address, but no frontend with that port and protocol.
        NoFrontend = 76 "no_frontend",
        /// The service's answer to this client is to drop.
        NoEndpoint = 77 "no_endpoint",
        /// No slot for a new flow.
        FlowTableFull = 78 "flow_table_full",
        /// The chosen backend's record is missing or unusable.
        BackendMissing = 79 "backend_missing",
        /// A router advertisement from a workload (CVE-2020-10749).
        RouterAdvertisement = 80 "router_advertisement",
        /// A map or tail-call target is missing.
        MissingProgram = 81 "missing_program",
        MissingMap = 82 "missing_map",
        /// An ICMP error about no flow that is known.
        UnrelatedIcmpError = 83 "unrelated_icmp_error",
        /// A packet could not be rewritten in place.
        Rewrite = 84 "rewrite",
        /// A reject answer could not be built, or would answer an answer.
        Reject = 85 "reject",
        /// The reverse tuple already belongs to another flow.
        FlowConflict = 86 "flow_conflict",
        /// To a workload's port with an address that is not the workload's.
        ForeignDestination = 87 "foreign_destination",
        /// The flow's entry was replaced while the packet was being handled.
        FlowRace = 88 "flow_race",
        /// The load-balancer address is not for clients with this source.
        SourceRange = 89 "source_range",
        /// Every port tried for source translation is taken.
        MasqueradePorts = 90 "masquerade_ports",
        /// The node has no address of the family for source translation.
        MasqueradeAddress = 91 "masquerade_address",
        /// No route to where a source-translated packet goes.
        NoRoute = 92 "no_route",
        /// Source-translated, with its hop limit used up or too large for its way, and its sender is
        /// not to be told.
        Undeliverable = 93 "undeliverable",
        /// To a service, in the middle of a connection that is not known.
        Midstream = 94 "midstream_denied",
        /// The driver has no room for what XDP tells the tc hook.
        Handover = 95 "handover",
        /// A fragment of SCTP to be translated to another port: the checksum is of the whole.
        SctpFragment = 96 "sctp_fragment",
        /// Came through a tunnel, and is for no backend here.
        Tunnelled = 106 "tunnelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_halves_and_names_are_unique() {
        assert!(PassReason::ALL.iter().all(|reason| (*reason as u32) < 64));
        assert!(DropReason::ALL.iter().all(|reason| (64..COUNTERS).contains(&(*reason as u32))));
        let mut names: Vec<_> = PassReason::ALL
            .iter()
            .map(|reason| reason.name())
            .chain(DropReason::ALL.iter().map(|reason| reason.name()))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
