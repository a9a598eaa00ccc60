//! Why a cluster could not be measured.

use std::{io, path::PathBuf};

use crate::{apiserver::ClientError, bench::wire::WireError};

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("{} has no {missing}: hack/kubernetes-binaries proxy builds them", directory.display())]
    Binaries { directory: PathBuf, missing: String },
    #[error("{name} has ended; the last it said:\n{said}")]
    Ended { name: String, said: String },
    #[error("no apiserver after {seconds} s: {reason}; the last it said:\n{said}")]
    NoApiserver { seconds: u64, reason: String, said: String },
    #[error("{what} is not followed after {seconds} s; the last that {name} said:\n{said}")]
    NotFollowed { what: String, seconds: u64, name: String, said: String },
    #[error("{object} cannot be written: {source}")]
    Write { object: String, source: Box<kube::Error> },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("cannot build the cluster: {0}")]
    Io(#[from] io::Error),
}
