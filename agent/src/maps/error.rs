//! Why a map cannot be used.

use std::{io, path::PathBuf};

/// A failed operation on a map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("cannot open the pinned map {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot create the map {name}: {source}")]
    Create { name: &'static str, source: io::Error },
    #[error("cannot map {name} into memory: {source}")]
    Mapping { name: &'static str, source: io::Error },
    #[error("cannot read {name}: {source}")]
    Read { name: &'static str, source: io::Error },
    #[error("cannot learn the kernel's clock: {0}")]
    Clock(io::Error),
}

/// One of libbpf's errors with all its causes.
pub(super) fn system(error: &libbpf_rs::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}
