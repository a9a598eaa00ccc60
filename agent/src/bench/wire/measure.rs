//! Rounds of frames through labs, and the processor's time for them.

use serde::Serialize;

use super::{
    WireError,
    lab::{GENERATOR, Lab, NODE},
    passage::{Counted, Passage, Tally},
    router::{BACKEND_PORT, CALLED, Router, SERVICE_PORT, backend, service, unwanted},
};
use crate::bench::{
    generate::{Addresses, Frames, Load, Mac, Shape},
    statistics::Summary,
};

/// What is sent through every lab.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub target: Target,
    /// That send, at the same time, each frames of its own flows.
    pub processors: u32,
    /// 0: every frame is of another flow.
    pub flows: u32,
    /// Of frames, in bytes, with the four of the checksum that a NIC appends.
    pub size: u32,
    /// Of a round.
    pub frames: u64,
    pub rounds: u32,
}

/// Where frames are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Services, or their backends where the router has no services. What arrives counts.
    Services,
    /// Addresses that nobody may reach. What the node drops counts, and nothing may arrive.
    Unwanted,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Thousands of frames that came through in a second of one processor's time.
    pub kpps: Summary,
    /// Of a processor's time, for each frame that came through: the median.
    pub ns_per_packet: f64,
    /// Per cent of the frames that did not come through: the median.
    pub loss: f64,
}

/// Sends through each of the labs in turn, round after round; figures are in the order of labs.
pub fn measure<'l>(
    labs: impl Iterator<Item = (&'l Lab, Traffic)>,
) -> Result<Vec<Figures>, WireError> {
    let mut runs = Vec::new();
    for (lab, traffic) in labs {
        let counted: Counted<'l> = match traffic.target {
            Target::Services => Box::new(|| Ok(lab.counted())),
            Target::Unwanted => Box::new(|| lab.dropped()),
        };
        let load = |interface| load(lab, traffic, interface);
        let passage = Passage::open(lab.generator(), traffic.processors, load, counted)?;
        runs.push(Run { lab, traffic, passage, tally: Tally::default() });
    }
    for run in &runs {
        // Flows are established, caches warm.
        run.passage.send(WARM_UP.max(2 * u64::from(run.traffic.flows)))?;
    }
    let rounds = runs.iter().map(|run| run.traffic.rounds).max().unwrap_or_default();
    for _ in 0..rounds {
        for run in &mut runs {
            run.round()?;
        }
    }
    Ok(runs.iter().map(|run| run.tally.figures()).collect())
}

const WARM_UP: u64 = 1000;

/// UDP of clients to the target.
fn load(lab: &Lab, traffic: Traffic, interface: u32) -> Result<Load, WireError> {
    let (first, count, port) = match (traffic.target, lab.router.services()) {
        (Target::Unwanted, _) => (unwanted(0), CALLED, BACKEND_PORT),
        (Target::Services, Some(services)) => (service(0), services.min(CALLED), SERVICE_PORT),
        (Target::Services, None) => (backend(0), CALLED, BACKEND_PORT),
    };
    let is_new = traffic.flows == 0;
    // New flows come from other clients than established ones.
    let client = std::net::Ipv4Addr::new(198, if is_new { 19 } else { 18 }, 0, 0);
    let flows = if is_new { NEW_FLOWS } else { traffic.flows };
    let shape = Shape {
        interface,
        macs: (Mac(GENERATOR), Mac(NODE)),
        source: Addresses { first: client.into(), count: 1 << 16 },
        destination: Addresses { first: first.into(), count },
        destination_port: port,
        flows,
        size: traffic.size - FCS,
    };
    Ok(Load::Frames(Frames::udp(&shape)?))
}

/// More than are ever sent.
const NEW_FLOWS: u32 = 1 << 30;
const FCS: u32 = 4;

struct Run<'a> {
    lab: &'a Lab,
    traffic: Traffic,
    passage: Passage<'a>,
    tally: Tally,
}

impl Run<'_> {
    fn round(&mut self) -> Result<(), WireError> {
        let arrived = self.lab.counted();
        let sent = self.passage.send(self.traffic.frames)?;
        let router = || self.lab.router.name();
        if sent.through == 0 {
            return Err(WireError::NothingCame { router: router() });
        }
        if self.traffic.target == Target::Unwanted
            && self.lab.router != Router::Drop
            && self.lab.counted() != arrived
        {
            return Err(WireError::Unwanted { router: router() });
        }
        self.tally.add(sent);
        Ok(())
    }
}
