//! What the store asks of the tables, whether they are in the kernel or in memory.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{draft::Compiled, handshakes::Handshakes, image::Image};

/// Identifies what a commit makes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Which history the revision belongs to; random, chosen when the history began.
    pub lineage: u128,
    /// Grows by one with each commit.
    pub revision: u64,
}

/// Why the tables could not be brought to an image. They still hold what they held.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("{table} needs {needed} entries and has room for {capacity}")]
    Capacity { table: &'static str, needed: usize, capacity: usize },
    #[error("cannot write {table}: {source}")]
    Write { table: &'static str, source: std::io::Error },
}

/// One direction of a live flow, as listed to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Source and destination after translation; as above when not translated.
    pub translated_source: SocketAddr,
    pub translated_destination: SocketAddr,
    pub reply: bool,
    pub service: u32,
    pub backend: u32,
    pub idle: Duration,
    pub packets: u64,
    pub bytes: u64,
    /// Of replies: how long a TCP connection's SYN-ACK took to come after its SYN, if that was timed.
    pub handshake: Option<Duration>,
}

/// Who talks to which backend of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// The service's number in the tables.
    pub service: u32,
    pub client: IpAddr,
    pub backend: SocketAddr,
}

/// What was carried, to a backend and back from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    pub packets: u64,
    pub bytes: u64,
    pub reply_packets: u64,
    pub reply_bytes: u64,
    pub handshakes: Handshakes,
}

impl Counts {
    /// Counts packets of one direction.
    pub fn add(&mut self, reply: bool, packets: u64, bytes: u64) {
        let (all_packets, all_bytes) = match reply {
            true => (&mut self.reply_packets, &mut self.reply_bytes),
            false => (&mut self.packets, &mut self.bytes),
        };
        *all_packets += packets;
        *all_bytes += bytes;
    }

    /// Counts both directions, and handshakes.
    pub fn add_all(&mut self, other: &Self) {
        self.add(false, other.packets, other.bytes);
        self.add(true, other.reply_packets, other.reply_bytes);
        self.handshakes.add(&other.handshakes);
    }
}

/// One counter of the datapath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// As in `abi::reason`, for example `policy_ingress`.
    pub name: &'static str,
    /// Whether packets counted here were dropped.
    pub drop: bool,
    pub packets: u64,
}

/// How full a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    pub table: &'static str,
    pub used: u64,
    pub capacity: u64,
}

/// An attached program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Of `cgroup`, the cgroup's path.
    pub interface: String,
    /// `xdp-native`, `xdp-generic`, `tcx-ingress`, `tcx-egress`, `clsact-ingress`, `clsact-egress`,
    /// `cgroup`.
    pub hook: &'static str,
}

/// Tables that packets read.
pub trait Dataplane: Send {
    /// Makes packets see an image, whole or not at all; when it returns, they do. The instant is
    /// the one at which they began to.
    fn commit(&mut self, compiled: Compiled<'_>, stamp: Stamp) -> Result<Instant, CommitError>;

    /// What the tables hold and since which commit; `None` before the first.
    fn held(&self) -> Option<(Image, Stamp)>;

    /// Up to `limit` live flows.
    fn flows(&self, limit: usize) -> Vec<Flow>;

    /// What services carried since it was last taken; nothing where no packets flow.
    fn take_carried(&self) -> HashMap<Conversation, Counts> {
        HashMap::new()
    }

    fn counters(&self) -> Vec<Counter>;

    fn fill(&self) -> Vec<Fill>;

    fn attachments(&self) -> Vec<Attachment>;
}
