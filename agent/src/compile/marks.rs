//! What single addresses are, apart from their class.

use std::{collections::BTreeMap, net::IpAddr};

use abi::address::Leaf;

use super::ids::Ids;
use crate::model::World;

/// Flags and local endpoint of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub flags: u8,
    pub endpoint: u16,
}

impl Mark {
    pub(super) fn leaf(self, class: u32) -> Leaf {
        Leaf::new(class, self.endpoint, self.flags)
    }
}

/// Every address of which more is known than its class.
pub(super) type Marks = BTreeMap<IpAddr, Mark>;

pub(super) fn of(world: &World, node: &str, ids: &Ids) -> Marks {
    let mut marks = Marks::new();
    for frontend in world.services.values().flat_map(|service| &service.frontends) {
        marks.entry(frontend.address).or_default().flags = Leaf::FRONTEND | Leaf::SERVICE_ONLY;
    }
    for other in world.nodes.values() {
        let flag = if other.name == node { Leaf::THIS_NODE } else { 0 };
        for address in &other.addresses {
            taken(&mut marks, *address).flags |= flag;
        }
    }
    for workload in world.workloads.values() {
        let endpoint = if workload.node == node { ids.endpoint(&workload.name) } else { 0 };
        for address in &workload.addresses {
            let mark = taken(&mut marks, *address);
            mark.flags |= Leaf::WORKLOAD;
            if endpoint != 0 {
                mark.endpoint = endpoint;
            }
        }
    }
    marks.retain(|_, mark| *mark != Mark::default());
    marks
}

/// An address that somebody answers to, whether or not it is a frontend's too.
fn taken(marks: &mut Marks, address: IpAddr) -> &mut Mark {
    let mark = marks.entry(address).or_default();
    mark.flags &= !Leaf::SERVICE_ONLY;
    mark
}
