//! Taking the datapath out of the kernel.

use std::{fs, io, path::Path};

use super::{error::LoadError, lock::Lock, pins::Pin, programs, socket};

/// Detaches every program that an agent of this directory attached and removes all it pinned.
///
/// Does nothing when there is nothing. Refuses while an agent runs.
pub fn teardown(bpffs: &Path) -> Result<(), LoadError> {
    if !bpffs.exists() {
        return Ok(());
    }
    let _lock = Lock::acquire(bpffs)?;
    let links = bpffs.join("links");
    for pin in Pin::list(&links)? {
        pin.remove(&links)?;
    }
    let sets = bpffs.join("sets");
    if sets.exists() {
        for number in programs::existing(&sets)? {
            socket::detach(&sets.join(number.to_string()));
        }
    }
    match fs::remove_dir_all(bpffs) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LoadError::Directory { path: bpffs.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
