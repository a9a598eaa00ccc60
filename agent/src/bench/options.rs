//! What `zonegate bench path` may be told.

use std::{num::ParseIntError, path::PathBuf};

use clap::{Args, ValueEnum};

use super::bystanders::Bystanders;

/// Scenarios, sizes and patience.
#[derive(Debug, Clone, Args)]
pub struct PathOptions {
    /// Flows that packets are of, comma-separated; k and M are powers of two [default:
    /// 1,1k,16k,64k,256k,1M, as far as the table has room]
    #[arg(long, value_delimiter = ',', value_parser = count, value_name = "LIST")]
    flows: Vec<u32>,
    /// Buckets of four entries in each flow table; a power of two [default: twice as many as
    /// there are flows, and at least 64k]
    #[arg(long, value_parser = buckets, value_name = "COUNT")]
    pub table_buckets: Option<u32>,
    #[command(flatten)]
    pub bystanders: Bystanders,
    /// Rounds; the median is reported
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    rounds: Option<u32>,
    /// Packets of a round
    #[arg(long, value_parser = count, value_name = "COUNT")]
    packets: Option<u32>,
    /// Fewer and shorter rounds: seconds, for a rough idea
    #[arg(long)]
    quick: bool,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Draws the figures, as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    Json,
}

impl PathOptions {
    /// Many short rounds over the usual tables.
    pub fn short(rounds: u32) -> Self {
        Self {
            flows: Vec::new(),
            table_buckets: None,
            bystanders: Bystanders::NONE,
            rounds: Some(rounds),
            packets: Some(256 * K),
            quick: false,
            output: Output::Table,
            svg: None,
        }
    }

    /// The flow counts, ascending.
    pub fn flows(&self) -> Vec<u32> {
        let mut flows = self.flows.clone();
        if flows.is_empty() {
            flows.extend(DEFAULT_FLOWS);
            flows.retain(|flows| self.table_buckets.is_none_or(|buckets| *flows <= buckets));
        }
        flows.sort_unstable();
        flows.dedup();
        flows
    }

    /// Buckets of the table that so many flows are in: a third of it at most.
    pub fn buckets(&self, flows: u32) -> u32 {
        self.table_buckets.unwrap_or_else(|| (2 * flows).next_power_of_two().max(USUAL_BUCKETS))
    }

    /// Whether nothing was said of what is to be measured.
    pub fn is_everything(&self) -> bool {
        self.flows.is_empty() && self.table_buckets.is_none() && self.bystanders == Bystanders::NONE
    }

    /// Rounds of so many flows.
    pub fn rounds(&self, flows: u32) -> u32 {
        let large = flows > MOST_USUAL;
        self.rounds.unwrap_or(match (self.quick, large) {
            (false, false) => 9,
            (false, true) => 5,
            (true, false) => 3,
            (true, true) => 1,
        })
    }

    pub fn packets(&self) -> u32 {
        self.packets.unwrap_or(if self.quick { 1 << 18 } else { 1 << 20 })
    }
}

const K: u32 = 1 << 10;
const M: u32 = 1 << 20;
const DEFAULT_FLOWS: [u32; 6] = [1, K, 16 * K, MOST_USUAL, 256 * K, M];
/// More take long to open.
const MOST_USUAL: u32 = 64 * K;
const USUAL_BUCKETS: u32 = 64 * K;
/// What is asked for has to be numbered with the bits that clients have.
const MOST: u32 = 1 << 24;

/// Why a number is none that makes sense here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    #[error("not a number, with k or M perhaps: {0}")]
    Syntax(#[from] ParseIntError),
    #[error("it is not between 1 and 16M")]
    OutOfRange,
    #[error("it is not a power of two")]
    NotPowerOfTwo,
}

/// A number of at least 1, with `k` or `M` for 2¹⁰ or 2²⁰.
pub(super) fn count(text: &str) -> Result<u32, CountError> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], K),
        Some(b'm' | b'M') => (&text[..text.len() - 1], M),
        _ => (text, 1),
    };
    let number = digits.parse::<u32>()?.checked_mul(unit);
    number.filter(|number| (1..=MOST).contains(number)).ok_or(CountError::OutOfRange)
}

fn buckets(text: &str) -> Result<u32, CountError> {
    let buckets = count(text)?;
    if buckets.is_power_of_two() { Ok(buckets) } else { Err(CountError::NotPowerOfTwo) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: PathOptions,
    }

    fn parse(arguments: &[&str]) -> Result<PathOptions, clap::Error> {
        Cli::try_parse_from([&["bench"], arguments].concat()).map(|cli| cli.options)
    }

    #[test]
    fn counts_have_units_and_bounds() {
        for (text, expected) in [("1", 1), ("64k", 65_536), ("1M", 1 << 20), ("1000", 1000)] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "-1", "1.5k", "0", "17M", "99999k", "1kk", "ein"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!(buckets("3k"), Err(CountError::NotPowerOfTwo));
    }

    #[test]
    fn large_counts_are_measured_where_the_table_has_room() {
        let flows = |arguments: &[&str]| parse(arguments).unwrap().flows();
        assert_eq!(flows(&[]), [1, 1024, 16_384, 65_536, 1 << 18, M]);
        assert_eq!(flows(&["--table-buckets", "16k"]), [1, 1024, 16_384]);
        assert_eq!(flows(&["--table-buckets", "512k"]).last(), Some(&(1 << 18)));
        assert_eq!(flows(&["--flows", "64k,1,1"]), [1, 65_536]);
    }

    #[test]
    fn the_table_is_as_large_as_flows_need() {
        let buckets = |arguments: &[&str], flows| parse(arguments).unwrap().buckets(flows);
        assert_eq!([1, 65_537, M].map(|flows| buckets(&[], flows)), [65_536, 1 << 18, 2 * M]);
        assert_eq!(buckets(&["--table-buckets", "1k"], 1), 1024);
    }

    #[test]
    fn what_is_said_is_all_that_is_measured() {
        let everything = |arguments: &[&str]| parse(arguments).unwrap().is_everything();
        assert!(everything(&[]) && everything(&["--quick", "-o", "json"]));
        for said in ["--flows=1", "--services=1", "--pods=1", "--policies=2", "--prefixes=2"] {
            assert!(!everything(&[said]), "{said}");
        }
    }

    #[test]
    fn quick_means_less_of_what_is_not_said() {
        let options = parse(&["--quick", "--rounds", "5"]).unwrap();
        assert_eq!((options.rounds(M), options.packets()), (5, 1 << 18));
        assert_eq!(parse(&[]).unwrap().rounds(1), 9);
        assert!(parse(&["--rounds", "0"]).is_err() && parse(&["-o", "yaml"]).is_err());
    }
}
