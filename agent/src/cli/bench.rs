//! `zonegate bench`: what packets cost on this machine.

use std::io;

use clap::Subcommand;

use super::error::CliError;
use crate::bench::{self, PathOptions};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measures the programs alone: ns per packet above an empty program (root; no traffic is
    /// made and no running agent disturbed)
    Path(PathOptions),
}

pub fn run(command: &BenchCommand) -> Result<(), CliError> {
    let BenchCommand::Path(options) = command;
    Ok(bench::path(options, &mut io::BufWriter::new(io::stdout().lock()))?)
}
