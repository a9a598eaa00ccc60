//! A pin directory for one load of the programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{names, netns::BPFFS};

/// A path below the BPF file system that nobody else uses; what is there when this is dropped is
/// removed.
#[derive(Debug)]
pub struct Pins(PathBuf);

impl Pins {
    /// Makes nothing yet: the loader does.
    pub fn new() -> Self {
        Self(Path::new(BPFFS).join(names::unique()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Pins {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // The load may have failed before it made anything.
        let _ = fs::remove_dir_all(&self.0);
    }
}
