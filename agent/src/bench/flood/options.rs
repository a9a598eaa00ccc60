//! What `zonegate bench flood` may be told.

use clap::Args;

use crate::bench::options::{Output, count};

/// How many connections, and how many SYNs.
#[derive(Debug, Clone, Args)]
pub struct FloodOptions {
    /// Connections that are there before, and have to be there afterwards; each takes two open files
    #[arg(long, default_value = "8000", value_parser = count, value_name = "COUNT")]
    pub established: u32,
    /// SYNs of the flood, each of another flow [default: 2000000]
    #[arg(long, value_parser = count, value_name = "COUNT")]
    syns: Option<u32>,
    /// SYNs per second, at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// A tenth of the SYNs: seconds, for a rough idea
    #[arg(long)]
    quick: bool,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

impl FloodOptions {
    pub fn syns(&self) -> u32 {
        self.syns.unwrap_or(if self.quick { 200_000 } else { 2_000_000 })
    }
}
