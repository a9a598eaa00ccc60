//! What `zonegate bench zones` may be told.

use std::path::PathBuf;

use clap::Args;

use crate::bench::options::Output;

/// Where the results go.
#[derive(Debug, Clone, Args)]
pub struct ZonesOptions {
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Draws what a skew of clients does, as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
