//! One agent per directory.

use std::{
    fs::{self, File},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::error::LoadError;

/// Held by an agent for as long as it lives; the kernel releases it however the agent ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl Lock {
    /// Makes the directory if it is missing, and locks it.
    pub fn acquire(directory: &Path) -> Result<Self, LoadError> {
        let error = |source| LoadError::Directory { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(error)?;
        let file = File::open(directory).map_err(error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(LoadError::Locked(directory.to_owned())),
            Err((_, errno)) => Err(error(errno.into())),
        }
    }
}
