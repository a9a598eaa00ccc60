//! Why there are no figures.

use std::{io, path::PathBuf};

use super::{ClusterError, GenerateError, WireError};
use crate::{dataplane::CommitError, loader::LoadError, refusal::Refusal};

/// A benchmark that failed, or that did not measure what it says.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("loading programs needs root")]
    NotRoot,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the benchmark's own world was refused: {}", .0.first().map_or("", |it| &it.reason))]
    Refused(Vec<Refusal>),
    #[error(
        "{scenario} with {flows} flows: the counter {counter} moved by {found}, not {expected}"
    )]
    Counter { scenario: &'static str, flows: u32, counter: &'static str, expected: u64, found: u64 },
    #[error(
        "{wanted} flows do not fit: of {opened} opened at once, {kept} were kept; \
         give the table more buckets (--table-buckets)"
    )]
    TooFewFlows { wanted: u32, opened: u32, kept: u32 },
    #[error(
        "{flows} flows want at least as many buckets, and there are {buckets} (--table-buckets)"
    )]
    TableTooSmall { flows: u32, buckets: u32 },
    #[error("cannot stay on one processor or read its clock: {0}")]
    System(#[from] nix::errno::Errno),
    #[error("cannot draw the plot: {0}")]
    Plot(#[from] plotters::drawing::DrawingAreaErrorKind<io::Error>),
    #[error("{}: {source}", path.display())]
    RatiosFile { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Ratios { path: PathBuf, source: toml::de::Error },
    #[error("cannot write ratios: {0}")]
    Blessing(#[from] toml::ser::Error),
    #[error(
        "{rows} rows are not what {} says; where they are meant to be, on an idle machine: \
         hack/bench --bless",
        file.display()
    )]
    Beyond { rows: usize, file: PathBuf },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write the output: {0}")]
    Json(#[from] serde_json::Error),
}
