//! One set of programs that stands in for the nodes of clusters, one node at a time.

use std::{collections::BTreeMap, sync::MutexGuard};

use datapath::Verdict;
use zonegate::{check::At, image::Image, simulate::Frame};

use super::{case::UPLINK, kernel::Programs, verdict::told};

/// The programs with the tables of some node, and no flows. One exists at a time.
pub struct StandIn {
    programs: MutexGuard<'static, Programs>,
    /// By workload.
    interfaces: BTreeMap<String, u32>,
}

impl StandIn {
    pub fn acquire() -> Self {
        Self { programs: Programs::acquire(), interfaces: BTreeMap::new() }
    }

    /// Becomes the node whose compiled tables these are.
    pub fn become_node(&mut self, image: &Image) {
        self.programs.forget().expect("emptying the maps");
        self.interfaces.clear();
        for (endpoint, port) in &image.ports {
            let interface = self.programs.spare_interface(*endpoint);
            self.programs.plug(*endpoint, interface);
            self.interfaces.insert(port.workload.clone(), interface);
        }
        self.programs.commit(image).expect("committing");
    }

    /// Sends a packet through one hook of the node.
    pub fn judge(&self, at: &At, packet: &Frame) -> Verdict {
        let interface = match at.workload() {
            None => self.programs.interface(UPLINK),
            Some(workload) => *self.interfaces.get(workload).unwrap_or_else(|| {
                panic!("no {workload:?} in {:?}", self.interfaces);
            }),
        };
        let run = self.programs.run(at.hook(), interface, 0, &packet.0);
        let (run, counted) = run.unwrap_or_else(|error| panic!("{at:?}: {error:#}"));
        told(at.hook(), run.action, &counted)
            .unwrap_or_else(|| panic!("{at:?}: action {} with {counted:?}", run.action))
    }

    /// The next packet is a first one.
    pub fn forget_flows(&self) {
        self.programs.forget_flows();
    }
}
