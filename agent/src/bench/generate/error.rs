//! Why no frames are made.

use std::{io, path::PathBuf};

use nix::errno::Errno;

use crate::loader::LoadError;

#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("there is no interface {0} here")]
    NoInterface(String),
    #[error(
        "a default route leaves by {0}: what is sent there may reach others; \
         --allow-default-route does so all the same"
    )]
    DefaultRoute(String),
    #[error("source and destination are of two families")]
    TwoFamilies,
    #[error("addresses and ports make {possible} flows, not {flows}")]
    TooManyFlows { flows: u32, possible: u64 },
    #[error("the headers take {least} bytes, and a frame is to have {size}")]
    TooShort { size: u32, least: u32 },
    #[error("there are {available} processors, not {wanted}")]
    TooManyThreads { wanted: u32, available: usize },
    #[error("cannot replay {path}: {reason}")]
    Capture { path: PathBuf, reason: String },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot stay on one processor: {0}")]
    Processor(#[from] Errno),
    #[error("cannot read what the kernel says of interfaces: {0}")]
    System(#[from] io::Error),
}

impl GenerateError {
    /// Whether the command line or a file is wrong.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoInterface(_)
                | Self::DefaultRoute(_)
                | Self::TwoFamilies
                | Self::TooManyFlows { .. }
                | Self::TooShort { .. }
                | Self::TooManyThreads { .. }
                | Self::Capture { .. }
        )
    }
}
