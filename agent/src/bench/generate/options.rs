//! What `zonegate bench generate` may be told.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::span::{Addresses, Mac, Ports};
use crate::bench::options::{Output, count};

/// Which frames go where, how fast, and for how long.
#[derive(Debug, Clone, Args)]
pub struct GenerateOptions {
    /// Where frames go out; none is chosen by itself
    #[arg(short, long, value_name = "NAME")]
    pub interface: String,
    /// Sends out of an interface that a default route uses
    #[arg(long)]
    pub allow_default_route: bool,
    /// Link address that frames are for
    #[arg(long, value_name = "MAC", required_unless_present = "replay")]
    pub destination_mac: Option<Mac>,
    /// Link address that frames come from [default: the interface's]
    #[arg(long, value_name = "MAC")]
    pub source_mac: Option<Mac>,
    /// An address, a prefix, or the first and the last with a dash between
    #[arg(long, value_name = "ADDRESSES", default_value = "198.18.0.1")]
    pub source: Addresses,
    #[arg(long, value_name = "ADDRESSES", default_value = "198.19.0.1")]
    pub destination: Addresses,
    /// A port, or the first and the last with a dash between
    #[arg(long, value_name = "PORTS", default_value = "1024-65535")]
    pub source_port: Ports,
    #[arg(long, value_name = "PORTS", default_value = "9")]
    pub destination_port: Ports,
    #[arg(long, value_enum, default_value = "plain")]
    pub profile: Profile,
    #[arg(long, value_enum, default_value = "udp")]
    pub protocol: TransportProtocol,
    /// Flows that frames are of in turn; k and M are powers of two [default: 1; of a SYN flood, all
    /// that addresses and ports make]
    #[arg(long, value_parser = count, value_name = "COUNT")]
    pub flows: Option<u32>,
    /// Bytes of a frame, without the four of the checksum that a NIC appends
    #[arg(long, value_name = "BYTES", default_value = "60",
        value_parser = clap::value_parser!(u32).range(14..=2040))]
    pub size: u32,
    /// Sends the frames of a capture (pcap, Ethernet) in turn instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "protocol", "flows", "size",
        "source", "destination", "source_port", "destination_port", "destination_mac",
        "source_mac"])]
    pub replay: Option<PathBuf>,
    /// Frames; then it ends
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Seconds; then it ends [default: 5, or no limit with --count]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Frames per second, at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Frames that the kernel hands to the interface at once
    #[arg(long, value_name = "COUNT", default_value = "64",
        value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch: u32,
    /// Processors that send
    #[arg(long, value_name = "COUNT", default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: u32,
    /// Samples of the rate; the median is reported
    #[arg(long, value_name = "COUNT", default_value = "5",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub samples: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Frames of one protocol and size; of TCP, acknowledgements
    Plain,
    /// TCP SYN segments, each of another flow than the one before, in no order
    SynFlood,
    /// UDP and TCP in turn, in frames of 60, 590 and 1514 bytes, 7 to 4 to 1
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TransportProtocol {
    Udp,
    Tcp,
}

impl GenerateOptions {
    /// How long it may take.
    pub fn duration(&self) -> Option<Duration> {
        self.duration.or_else(|| self.count.is_none().then_some(DEFAULT_DURATION))
    }
}

const DEFAULT_DURATION: Duration = Duration::from_secs(5);

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it is no time at all".to_owned()) } else { Ok(duration) }
}
