//! What `zonegate bench wire` and `zonegate bench compare` may be told.

use std::path::PathBuf;

use clap::Args;

use super::{router::Router, xdp_filter::XdpFilter};
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
    /// Routers to compare [default: zonegate,redirect,tx,drop,kernel, xdp-filter where it is installed,
    /// and nftables and iptables with 10, 1000 and 10000 services]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    routers: Vec<Router>,
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

impl CompareOptions {
    pub fn routers(&self) -> Vec<Router> {
        if !self.routers.is_empty() {
            return self.routers.clone();
        }
        let filter = XdpFilter::is_installed().then_some(Router::XdpFilter);
        let rules = [Router::Nftables, Router::Iptables];
        let plain = [Router::Zonegate, Router::Redirect, Router::Tx, Router::Drop, Router::Kernel];
        plain
            .into_iter()
            .chain(filter)
            .chain(rules.into_iter().flat_map(|rules| [10, 1000, 10_000].map(rules)))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Rounds {
    /// Rounds, in which routers take turns; the median is reported
    #[arg(long = "rounds", value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Frames of a round
    #[arg(long, value_parser = count, value_name = "COUNT")]
    frames: Option<u32>,
    /// Fewer and shorter rounds: seconds, for a rough idea
    #[arg(long)]
    quick: bool,
}

impl Rounds {
    pub fn rounds(self) -> u32 {
        self.count.unwrap_or(if self.quick { 3 } else { 5 })
    }

    pub fn frames(self) -> u32 {
        self.frames.unwrap_or(if self.quick { 20_000 } else { 200_000 })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rounds: Rounds,
    }

    #[test]
    fn quick_means_less_of_what_is_not_said() {
        let parse = |arguments: &[&str]| {
            let rounds = Cli::try_parse_from([&["wire"], arguments].concat()).unwrap().rounds;
            (rounds.rounds(), rounds.frames())
        };
        assert_eq!(parse(&[]), (5, 200_000));
        assert_eq!(parse(&["--quick"]), (3, 20_000));
        assert_eq!(parse(&["--quick", "--rounds", "7", "--frames", "1k"]), (7, 1024));
    }
}
