//! `zonegate bench generate`: a packet generator on XDP's live frames.
//!
//! The kernel takes pages from a pool, has a program fill them, and redirects them out of an
//! interface in batches (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18): no socket, no copy, no qdisc.
//! The sequence of frames follows from the options alone.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "frames are counted far below 2⁵², and neither they nor times are negative"
)]

mod error;
mod interface;
mod options;
mod pace;
mod plan;
mod replay;
mod report;
mod sender;
mod span;

use std::{
    io::Write,
    time::{Duration, Instant},
};

pub use error::GenerateError;
pub use options::GenerateOptions;
pub use pace::Amount;
pub use plan::{Frames, Shape};
pub use sender::{Load, Sender};
pub use span::{Addresses, Mac};

use self::{interface::Interface, report::GenerateReport};
use super::{BenchError, machine::Machine, statistics::Summary, store::need_root};

/// Sends and reports. Needs root, and an interface that was named.
pub fn run(options: &GenerateOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    let interface = Interface::named(&options.interface)?;
    if !options.allow_default_route && interface.has_default_route()? {
        return Err(GenerateError::DefaultRoute(interface.name).into());
    }
    let load = load(options, &interface)?;
    need_root()?;
    let flows = load.flows();
    let machine = Machine::this();
    let sender = Sender::open(load, options.threads, options.batch)?;
    let transmitted = interface.transmitted()?;
    let start = Instant::now();
    let mut pps = Vec::new();
    let mut frames = 0;
    for sample in 0..options.samples {
        let begin = Instant::now();
        let sent = sender.send(amount_until(options, sample), start)?.frames;
        if sent > 0 {
            frames += sent;
            pps.push(sent as f64 / begin.elapsed().as_secs_f64());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let transmitted = interface.transmitted()?.wrapping_sub(transmitted);
    let pps = Summary::of(&pps);
    GenerateReport { machine, interface: interface.name, flows, frames, transmitted, seconds, pps }
        .print(options.output, out)
}

fn load(options: &GenerateOptions, interface: &Interface) -> Result<Load, GenerateError> {
    if let Some(path) = &options.replay {
        return Ok(Load::Recorded(replay::read(path)?, interface.index));
    }
    let source_mac = options.source_mac.unwrap_or(interface.mac);
    Ok(Load::Frames(Frames::new(options, interface.index, source_mac)?))
}

/// What of all is to be sent by the end of a sample.
fn amount_until(options: &GenerateOptions, sample: u32) -> Amount {
    let part = |whole: f64| whole * f64::from(sample + 1) / f64::from(options.samples);
    Amount {
        frames: options.count.map(|count| part(count as f64).round() as u64),
        time: options.duration().map(|it| Duration::from_secs_f64(part(it.as_secs_f64()))),
        rate: options.rate.map(|rate| rate as f64),
    }
}
