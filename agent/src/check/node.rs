//! One node of the cluster, simulated.

use std::{collections::BTreeMap, net::IpAddr};

use datapath::{Hook, Verdict};

use abi::{record::Endpoint, table::Table};

use super::Reach;
use crate::{
    compile::{self, Compiler, Direction},
    image::Image,
    model::World,
    refusal::Refusal,
    simulate::{self, Frame, SimulatedTables},
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

    /// What the programs say of a packet at one of their hooks.
    pub fn judge(&self, at: &At, packet: &Frame) -> Verdict {
        let interface = at.workload().map_or(UPLINK, |workload| {
            let endpoint = self.endpoints.get(workload).copied().unwrap_or_default();
            SimulatedTables::interface(endpoint)
        });
        simulate::send(&self.tables, at.hook(), interface, &mut packet.clone())
    }
}
