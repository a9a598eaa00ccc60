//! Why a wire could not be measured.

use std::io;

use crate::{bench::generate::GenerateError, loader::LoadError};

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{command} failed: {reason}")]
    Command { command: String, reason: String },
    #[error("nothing came through {router}")]
    NothingCame { router: String },
    #[error("{router} lets through what it is to drop")]
    Unwanted { router: String },
    #[error("{wanted} open files are not allowed (ulimit -n)")]
    OpenFiles { wanted: u64 },
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot build the wire: {0}")]
    Io(#[from] io::Error),
}
