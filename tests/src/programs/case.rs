//! A packet, where it goes through, and what is to become of it.

use abi::reason::{DropReason, PassReason};
use datapath::{Hook, Verdict};

use crate::packet::PacketBuilder;

/// One row of a table of packets.
#[derive(Debug, Clone)]
pub struct Case {
    pub(super) what: String,
    pub(super) hook: Hook,
    pub(super) interface: String,
    pub(super) frame: Vec<u8>,
    pub(super) verdict: Verdict,
    /// The packet that comes out, if it is another one.
    pub(super) out: Option<Vec<u8>>,
}

impl Case {
    /// A packet that comes in by the uplink.
    pub fn from_wire(what: impl Into<String>, packet: &PacketBuilder) -> Self {
        Self::of(what, Hook::UplinkIngress, UPLINK, packet)
    }

    /// A packet that leaves by the uplink.
    pub fn to_wire(what: impl Into<String>, packet: &PacketBuilder) -> Self {
        Self::of(what, Hook::UplinkEgress, UPLINK, packet)
    }

    /// A packet that a local workload sends.
    pub fn from(workload: &str, what: impl Into<String>, packet: &PacketBuilder) -> Self {
        Self::of(what, Hook::WorkloadIngress, &format!("zg-{workload}"), packet)
    }

    /// A packet that a local workload is about to get.
    pub fn to(workload: &str, what: impl Into<String>, packet: &PacketBuilder) -> Self {
        Self::of(what, Hook::WorkloadEgress, &format!("zg-{workload}"), packet)
    }

    /// The same packet at every hook.
    pub fn everywhere(what: impl Into<String>, packet: &PacketBuilder) -> [Self; 4] {
        let what = what.into();
        [
            Self::from_wire(format!("{what}, from the wire"), packet),
            Self::to_wire(format!("{what}, to the wire"), packet),
            Self::from("web", format!("{what}, from a workload"), packet),
            Self::to("web", format!("{what}, to a workload"), packet),
        ]
    }

    fn of(what: impl Into<String>, hook: Hook, interface: &str, packet: &PacketBuilder) -> Self {
        Self {
            what: what.into(),
            hook,
            interface: interface.to_owned(),
            frame: packet.build(),
            verdict: Verdict::Pass(PassReason::NotOurs),
            out: None,
        }
    }

    /// Goes on, as it came unless [`Self::becomes`] says otherwise.
    #[must_use]
    pub fn passes(mut self, reason: PassReason) -> Self {
        self.verdict = Verdict::Pass(reason);
        self
    }

    #[must_use]
    pub fn drops(mut self, reason: DropReason) -> Self {
        self.verdict = Verdict::Drop(reason);
        self
    }

    /// Leaves by the interface that it came in by.
    #[must_use]
    pub fn transmits(mut self, reason: PassReason) -> Self {
        self.verdict = Verdict::Transmit(reason);
        self
    }

    /// Leaves by another interface, by index.
    #[must_use]
    pub fn redirects(mut self, interface: u32, reason: PassReason) -> Self {
        self.verdict = Verdict::Redirect(interface, reason);
        self
    }

    /// Is left to the uplink's tc hook, which alone can send it on.
    #[must_use]
    pub fn hands_over(mut self, reason: PassReason) -> Self {
        self.verdict = Verdict::Handover(reason);
        self
    }

    /// Comes out as another packet.
    #[must_use]
    pub fn becomes(mut self, packet: &PacketBuilder) -> Self {
        self.out = Some(packet.build());
        self
    }
}

/// The interface of the uplink.
pub(super) const UPLINK: &str = "uplink0";
