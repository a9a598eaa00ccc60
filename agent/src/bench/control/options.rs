//! What `zonegate bench control` may be told.

use clap::Args;

use crate::bench::options::{Output, count};

/// How large the cluster is.
#[derive(Debug, Clone, Args)]
pub struct ControlOptions {
    /// Pods of the cluster, a hundred on each node, of which the measured one is one
    #[arg(long, default_value = "10000", value_parser = count, value_name = "COUNT")]
    pub pods: u32,
    /// `NetworkPolicy` objects
    #[arg(long, default_value = "1000", value_parser = count, value_name = "COUNT")]
    pub policies: u32,
    /// CIDR blocks in them
    #[arg(long, default_value = "100000", value_parser = count, value_name = "COUNT")]
    pub prefixes: u32,
    /// How often each change is made; the median is reported
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}
