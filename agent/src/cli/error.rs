//! Why a command failed, and the exit code that says so to scripts.

use std::{io, path::PathBuf, process::ExitCode};

use super::manifest::ManifestError;
use crate::{
    bench::BenchError, config::ConfigError, kube_proxy::ProgramError, runtime::RuntimeError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot reach the agent at {socket}: {reason}; is it running?")]
    Unreachable { socket: PathBuf, reason: String },
    /// The agent's own words.
    #[error("{}", .0.message())]
    Answer(Box<tonic::Status>),
    #[error("{}; `zonegate apply --prune` with all resources is a complete snapshot", .0.message())]
    NotReady(Box<tonic::Status>),
    #[error("the agent's answer is not understood: {0}")]
    Protocol(&'static str),
    #[error("nothing was applied: refused for {0} reason(s), listed above")]
    Refused(usize),
    #[error("--offers is for services")]
    OffersOfServices,
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "nothing was applied: the files hold Kubernetes objects, which are all that an owner has, \
         and {first} is not among them{}; give all objects together, or --prune to remove what is \
         missing, or another --owner", others(*.more)
    )]
    Incomplete { first: String, more: usize },
    #[error("no resource in the files given; nothing to do")]
    NothingToApply,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Agent(#[from] RuntimeError),
    #[error("nothing was removed: {0}")]
    StillNeeded(String),
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Files of `check` that cannot be used.
    #[error("{0}")]
    Objects(String),
    #[error(transparent)]
    Check(#[from] crate::check::CheckError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write the output: {0}")]
    Yaml(#[from] serde_norway::Error),
    #[error("cannot write the output: {0}")]
    Json(#[from] serde_json::Error),
}

fn others(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", nor {more} more") }
}

impl CliError {
    /// An answer's status; a connection that broke is an unreachable agent.
    pub fn from_status(status: tonic::Status, socket: &std::path::Path) -> Self {
        if status.code() == tonic::Code::Unavailable {
            Self::Unreachable { socket: socket.to_owned(), reason: status.message().to_owned() }
        } else {
            Self::Answer(Box::new(status))
        }
    }

    /// 1: refused or failed. 2: the command line or a file is wrong, nothing was sent (as clap's).
    /// 3: no agent answers.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } => ExitCode::from(3),
            Self::Manifest(_) | Self::NothingToApply | Self::Config(_) => ExitCode::from(2),
            Self::Bench(BenchError::Generate(error)) if error.is_usage() => ExitCode::from(2),
            // A reader that has seen enough, such as head.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}
