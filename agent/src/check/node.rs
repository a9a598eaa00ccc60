//! One node of the cluster, simulated.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use abi::{
    reason::DropReason,
    record::{Backend, Endpoint, Range},
    table::Table,
};
use datapath::{Hook, Shape, Verdict};

use super::{Reach, frames::Traffic};
use crate::{
    compile::{self, Compiler, Direction},
    image::Image,
    model::World,
    refusal::Refusal,
    simulate::{self, Frame, Query, SimulatedTables},
};

/// The index of every uplink.
const UPLINK: u32 = 1;

/// A node's tables, as the compiler fills them.
pub struct Node {
    image: Image,
    tables: SimulatedTables,
    /// Endpoint ids of local workloads.
    endpoints: BTreeMap<String, u16>,
}

/// What a node's services have for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// The destination is no frontend on this node.
    Nothing,
    Drop(DropReason),
    Reject,
    Backends {
        backends: Vec<SocketAddr>,
        /// Backends see an address of this node.
        snat: bool,
    },
}

/// A connection as it looks when it passes a node.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub traffic: Traffic,
    /// The node has translated it.
    pub is_translated: bool,
}

/// A hook of a node that judges a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub node: String,
    pub at: At,
}

/// Where a packet shows up on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    Uplink,
    /// From a workload.
    From(String),
    /// To a workload.
    To(String),
}

impl At {
    pub const fn hook(&self) -> Hook {
        match self {
            Self::Uplink => Hook::UplinkIngress,
            Self::From(_) => Hook::WorkloadIngress,
            Self::To(_) => Hook::WorkloadEgress,
        }
    }

    /// The workload whose port it is.
    pub fn workload(&self) -> Option<&str> {
        match self {
            Self::Uplink => None,
            Self::From(workload) | Self::To(workload) => Some(workload),
        }
    }
}

impl Node {
    pub fn new(name: &str, world: &World) -> Result<Self, Vec<Refusal>> {
        let mut compiler = Compiler::new(name.to_owned(), compile::Limits::default());
        let image = compiler.compile(world)?;
        let ports = image.ports.iter();
        let endpoints = ports.map(|(id, port)| (port.workload.clone(), *id)).collect();
        let tables = SimulatedTables::new(&image);
        Ok(Self { image, tables, endpoints })
    }

    /// Forgets every flow: the next packet is a first one.
    pub fn forget_flows(&self) {
        self.tables.forget_flows();
    }

    /// What a local workload's rows grant to a peer; `None` for other workloads.
    pub fn granted(&self, workload: &str, direction: Direction, peer: IpAddr) -> Option<Reach> {
        let endpoint: Endpoint =
            self.image.record(Table::Endpoints, u32::from(*self.endpoints.get(workload)?));
        let row = match direction {
            Direction::Ingress => endpoint.ingress_row,
            Direction::Egress => endpoint.egress_row,
        };
        Some(Reach::of_row(&self.image, row, self.tables.class(peer)?))
    }

    /// What the node's services have for a client.
    pub fn offer(&self, source: IpAddr, destination: IpAddr, traffic: Traffic) -> Offered {
        match simulate::offer(&self.tables, query(source, destination, traffic)) {
            Err(reason) => Offered::Drop(reason),
            Ok(None) => Offered::Nothing,
            Ok(Some(offer)) => match offer.range {
                Range::REJECT => Offered::Reject,
                Range::DROP => Offered::Drop(DropReason::NoEndpoint),
                range => Offered::Backends {
                    backends: self.backends(range, destination.is_ipv4()),
                    snat: range.snat(),
                },
            },
        }
    }

    /// What policy says of a connection that passes the node.
    pub fn pass(&self, passage: Passage) -> Result<(), DropReason> {
        let Passage { source, destination, traffic, is_translated } = passage;
        let shape = if is_translated { Shape::Translated } else { Shape::Direct };
        simulate::judge(&self.tables, query(source, destination, traffic), shape)
    }

    /// The backends of some slots, sorted.
    fn backends(&self, range: Range, is_ipv4: bool) -> Vec<SocketAddr> {
        let slots = range.start()..range.start() + range.size();
        let id = |slot: u32| {
            (self.image.word(Table::Slots, slot as usize / 2) >> (slot % 2 * 32)) as u32
        };
        let ids: BTreeSet<u32> = slots.map(id).collect();
        let address = |id| {
            let Backend { address, port, .. } = self.image.record(Table::Backends, id);
            let ip = match address {
                [a, b, c, d, ..] if is_ipv4 => IpAddr::from([a, b, c, d]),
                address => IpAddr::from(address),
            };
            SocketAddr::new(ip, u16::from_be_bytes(port))
        };
        let sorted: BTreeSet<SocketAddr> = ids.into_iter().map(address).collect();
        sorted.into_iter().collect()
    }

    /// What the programs say of a packet at one of their hooks.
    pub fn judge(&self, at: &At, packet: &Frame) -> Verdict {
        let interface = at.workload().map_or(UPLINK, |workload| {
            let endpoint = self.endpoints.get(workload).copied().unwrap_or_default();
            SimulatedTables::interface(endpoint)
        });
        simulate::send(&self.tables, at.hook(), interface, &mut packet.clone())
    }
}

fn query(source: IpAddr, destination: IpAddr, traffic: Traffic) -> Query {
    let (protocol, port) = traffic.numbers(destination);
    Query { source, destination: SocketAddr::new(destination, port), protocol }
}
