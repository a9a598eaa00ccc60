//! What `zonegate bench path` may be told.

use std::num::ParseIntError;

use clap::{Args, ValueEnum};

/// Scenarios, sizes and patience.
#[derive(Debug, Clone, Args)]
pub struct PathOptions {
    /// Flows that packets are of, comma-separated; k and M are powers of two [default:
    /// 1,1k,16k,64k, and 256k and 1M where the table has room]
    #[arg(long, value_delimiter = ',', value_parser = count, value_name = "LIST")]
    flows: Vec<u32>,
    /// Buckets of four entries in each flow table; a power of two
    #[arg(long, default_value = "64k", value_parser = buckets, value_name = "COUNT")]
    pub table_buckets: u32,
    /// CIDR prefixes in the policy's peers
    #[arg(long, default_value = "1", value_parser = count, value_name = "COUNT")]
    pub prefixes: u32,
    /// Services that nobody calls, with 20 endpoints each
    #[arg(long, default_value = "0", value_name = "COUNT")]
    pub services: u32,
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
            table_buckets: 64 * K,
            prefixes: 1,
            services: 0,
            rounds: Some(rounds),
            packets: Some(256 * K),
            quick: false,
            output: Output::Table,
        }
    }

    /// The flow counts, ascending.
    pub fn flows(&self) -> Vec<u32> {
        let mut flows = self.flows.clone();
        if flows.is_empty() {
            flows.extend(DEFAULT_FLOWS);
            flows.extend(LARGE_FLOWS);
            flows.retain(|flows| *flows <= self.table_buckets);
        }
        flows.sort_unstable();
        flows.dedup();
        flows
    }

    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 })
    }

    pub fn packets(&self) -> u32 {
        self.packets.unwrap_or(if self.quick { 1 << 18 } else { 1 << 20 })
    }
}

const K: u32 = 1 << 10;
const M: u32 = 1 << 20;
const DEFAULT_FLOWS: [u32; 4] = [1, K, 16 * K, 64 * K];
const LARGE_FLOWS: [u32; 2] = [256 * K, M];
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
        assert_eq!(flows(&[]), [1, 1024, 16_384, 65_536]);
        assert_eq!(flows(&["--table-buckets", "16k"]), [1, 1024, 16_384]);
        assert_eq!(flows(&["--table-buckets", "1M"]).last(), Some(&M));
        assert_eq!(flows(&["--flows", "64k,1,1"]), [1, 65_536]);
    }

    #[test]
    fn quick_means_less_of_what_is_not_said() {
        let options = parse(&["--quick", "--rounds", "5"]).unwrap();
        assert_eq!((options.rounds(), options.packets()), (5, 1 << 18));
        assert_eq!(parse(&[]).unwrap().rounds(), 9);
        assert!(parse(&["--rounds", "0"]).is_err() && parse(&["-o", "yaml"]).is_err());
    }
}
