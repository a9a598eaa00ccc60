//! Rounds of frames through labs, and the processor's time for them.
#![expect(clippy::cast_precision_loss, reason = "frames are counted far below 2⁵²")]

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    WireError,
    lab::{GENERATOR, Lab, NODE},
    router::{BACKEND_PORT, CALLED, Router, SERVICE_PORT, backend, service, unwanted},
    softirq,
};
use crate::bench::{
    generate::{Addresses, Amount, Frames, Load, Mac, Sender, Shape},
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
        let sender = lab.sender(traffic.processors, |interface| load(lab, traffic, interface))?;
        runs.push(Run { lab, traffic, sender, kpps: Vec::new(), ns: Vec::new(), loss: Vec::new() });
    }
    for run in &runs {
        // Flows are established, caches warm.
        run.send(WARM_UP.max(2 * u64::from(run.traffic.flows)))?;
    }
    let rounds = runs.iter().map(|run| run.traffic.rounds).max().unwrap_or_default();
    for _ in 0..rounds {
        for run in &mut runs {
            run.round()?;
        }
    }
    Ok(runs.into_iter().map(Run::figures).collect())
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
    sender: Sender,
    kpps: Vec<f64>,
    ns: Vec<f64>,
    loss: Vec<f64>,
}

impl Run<'_> {
    fn round(&mut self) -> Result<(), WireError> {
        let frames = self.traffic.frames;
        let (before, arrived) = (self.counted()?, self.lab.counted());
        let time = self.send(frames)?;
        let counted = self.counted()? - before;
        let router = || self.lab.router.name();
        if counted == 0 {
            return Err(WireError::NothingCame { router: router() });
        }
        if self.traffic.target == Target::Unwanted
            && self.lab.router != Router::Drop
            && self.lab.counted() != arrived
        {
            return Err(WireError::Unwanted { router: router() });
        }
        let ns = time.as_secs_f64() * 1e9 / counted as f64;
        self.ns.push(ns);
        self.kpps.push(1e6 / ns);
        self.loss.push((1.0 - counted as f64 / frames as f64).max(0.0) * 100.0);
        Ok(())
    }

    /// Sends frames, and waits until no more come through. Gives the processor's time for them: the
    /// sender's thread's, in which packets are mostly forwarded, and what no such thread is charged.
    fn send(&self, frames: u64) -> Result<Duration, WireError> {
        let until = self.sender.made() + frames;
        let counted = self.counted()? + frames;
        let amount = Amount { frames: Some(until), time: None, rate: None };
        let before = self.softirq_time()?;
        let sent = self.lab.at_generator(|| Ok(self.sender.send(amount, Instant::now())?))?;
        let mut last = self.counted()?;
        let mut quiet = 0;
        while last < counted && quiet < QUIET_TICKS {
            thread::sleep(TICK);
            let now = self.counted()?;
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
        }
        Ok(sent.busy + self.softirq_time()?.saturating_sub(before))
    }

    fn counted(&self) -> Result<u64, WireError> {
        match self.traffic.target {
            Target::Services => Ok(self.lab.counted()),
            Target::Unwanted => self.lab.dropped(),
        }
    }

    fn softirq_time(&self) -> Result<Duration, WireError> {
        self.sender.processors().iter().map(|processor| softirq::time(*processor)).sum()
    }

    fn figures(self) -> Figures {
        let median = |figures: &[f64]| Summary::of(figures).median;
        Figures {
            kpps: Summary::of(&self.kpps),
            ns_per_packet: median(&self.ns),
            loss: Summary::hundredths(&self.loss).median,
        }
    }
}

const TICK: Duration = Duration::from_millis(2);
/// A busy machine may leave `ksoftirqd` waiting for long.
const QUIET_TICKS: u32 = 250;
