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
    router::{BACKEND_PORT, CALLED, SERVICE_PORT, backend, service},
    softirq,
};
use crate::bench::{
    generate::{Addresses, Amount, Frames, Load, Mac, Sender, Shape},
    statistics::Summary,
};

/// What is sent through every lab.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// 0: every frame is of another flow.
    pub flows: u32,
    /// Of frames, in bytes, with the four of the checksum that a NIC appends.
    pub size: u32,
    pub frames: u64,
    pub rounds: u32,
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
pub fn measure(labs: &[&Lab], traffic: Traffic) -> Result<Vec<Figures>, WireError> {
    let mut runs = Vec::new();
    for lab in labs {
        let sender = lab.sender(|interface| load(lab, traffic, interface))?;
        runs.push(Run { lab, sender, kpps: Vec::new(), ns: Vec::new(), loss: Vec::new() });
    }
    for run in &runs {
        // Flows are established, caches warm.
        run.send(WARM_UP.max(2 * u64::from(traffic.flows)))?;
    }
    for _ in 0..traffic.rounds {
        for run in &mut runs {
            run.round(traffic.frames)?;
        }
    }
    Ok(runs.into_iter().map(Run::figures).collect())
}

const WARM_UP: u64 = 1000;

/// UDP of clients to services, or to their backends where the router has no services.
fn load(lab: &Lab, traffic: Traffic, interface: u32) -> Result<Load, WireError> {
    let (first, count, port) = match lab.router.services() {
        Some(services) => (service(0), services.min(CALLED), SERVICE_PORT),
        None => (backend(0), CALLED, BACKEND_PORT),
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
    sender: Sender,
    kpps: Vec<f64>,
    ns: Vec<f64>,
    loss: Vec<f64>,
}

impl Run<'_> {
    fn round(&mut self, frames: u64) -> Result<(), WireError> {
        let before = self.lab.counted();
        let time = self.send(frames)?;
        let counted = self.lab.counted() - before;
        if counted == 0 {
            return Err(WireError::NothingCame { router: self.lab.router.name() });
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
        let counted = self.lab.counted() + frames;
        let amount = Amount { frames: Some(until), time: None, rate: None };
        let before = self.softirq_time()?;
        let sent = self.lab.at_generator(|| Ok(self.sender.send(amount, Instant::now())?))?;
        let mut last = self.lab.counted();
        let mut quiet = 0;
        while last < counted && quiet < QUIET_TICKS {
            thread::sleep(TICK);
            let now = self.lab.counted();
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
        }
        Ok(sent.busy + self.softirq_time()?.saturating_sub(before))
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
