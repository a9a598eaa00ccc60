//! What `zonegate bench wire` and `zonegate bench compare` may be told.

use std::path::PathBuf;

use clap::Args;

use super::router::Router;
use crate::bench::options::{Output, count};

/// Patience, and where results go.
#[derive(Debug, Clone, Args)]
pub struct WireOptions {
    /// Bytes of frames, checksum included
    #[arg(long, value_delimiter = ',', default_value = "64,512,1500", value_name = "LIST",
        value_parser = clap::value_parser!(u32).range(64..=1518))]
    pub sizes: Vec<u32>,
    /// Flows that frames are of in turn
    #[arg(long, value_delimiter = ',', default_value = "1,64,10000", value_name = "LIST",
        value_parser = count)]
    pub flows: Vec<u32>,
    #[command(flatten)]
    pub rounds: Rounds,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

#[derive(Debug, Clone, Args)]
pub struct CompareOptions {
    /// Routers to compare
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        default_value = "zonegate,redirect,tx,\
        kernel,nftables-10,nftables-1000,nftables-10000,iptables-10,iptables-1000,iptables-10000"
    )]
    pub routers: Vec<Router>,
    /// Flows that established frames are of in turn
    #[arg(long, default_value = "64", value_parser = count, value_name = "COUNT")]
    pub flows: u32,
    #[command(flatten)]
    pub rounds: Rounds,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Draws the figures, as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Rounds {
    /// Rounds, in which routers take turns; the median is reported
    #[arg(long, value_name = "COUNT", default_value = "5",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Frames of a round
    #[arg(long, value_parser = count, value_name = "COUNT", default_value = "200000")]
    pub frames: u32,
}
