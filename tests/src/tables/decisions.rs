//! What the datapath says over the tables of an image.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use abi::record::Range;
use datapath::Shape;
use zonegate::{
    image::Image,
    simulate::{self, Query, SimulatedTables},
};

use super::services::turns;

/// The datapath of a node, without a kernel.
pub struct Datapath<'i> {
    image: &'i Image,
    tables: SimulatedTables,
}

impl<'i> Datapath<'i> {
    pub fn new(image: &'i Image) -> Self {
        Self { image, tables: SimulatedTables::new(image) }
    }

    /// What a client gets of a service, whatever slots it is dealt.
    pub fn offer(&self, source: IpAddr, destination: SocketAddr, protocol: u8) -> String {
        let query = Query { source, destination, protocol };
        match simulate::offer(&self.tables, query) {
            Err(reason) => format!("dropped, {}", reason.name()),
            Ok(None) => "no service".to_owned(),
            Ok(Some(offer)) => match offer.range {
                Range::REJECT => "refused".to_owned(),
                Range::DROP => "dropped".to_owned(),
                range => {
                    let backends: BTreeSet<SocketAddr> = turns(self.image, range).collect();
                    format!("{backends:?}, translated {}", range.snat())
                }
            },
        }
    }

    /// Whether the policies of those ends that are local let a connection through.
    pub fn allows(&self, source: IpAddr, destination: SocketAddr, protocol: u8) -> bool {
        let query = Query { source, destination, protocol };
        simulate::judge(&self.tables, query, Shape::Direct).is_ok()
    }

    /// Whether a workload has its port here.
    pub fn is_local(&self, workload: &str) -> bool {
        self.image.ports.values().any(|port| port.workload == workload)
    }
}
