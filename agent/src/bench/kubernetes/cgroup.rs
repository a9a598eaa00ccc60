//! What the kernel keeps for a program: its maps, its rules.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::bench::wire::{WireError, orphans};

/// A cgroup of its own for a program and what that starts; gone with this.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// None where the machine counts no memory by cgroup.
    pub fn create(name: &str) -> Option<Self> {
        if parent() == Path::new(UNIFIED) {
            // Where it is not allowed, there are no counts below.
            let _ = fs::write(parent().join("cgroup.subtree_control"), "+memory");
        }
        let path = parent().join(name);
        fs::create_dir(&path).ok()?;
        let cgroup = Self(path);
        cgroup.kernel_bytes().is_some().then_some(cgroup)
    }

    /// Takes a process in; what it has so far stays where it was charged.
    pub fn adopt(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }

    /// Memory of the kernel that is charged to it.
    pub fn kernel_bytes(&self) -> Option<u64> {
        if let Ok(text) = fs::read_to_string(self.0.join("memory.kmem.usage_in_bytes")) {
            return text.trim().parse().ok();
        }
        kernel(&fs::read_to_string(self.0.join("memory.stat")).ok()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(%error, cgroup = %self.0.display(), "a cgroup is left");
        }
    }
}

/// Removes those of benchmarks that no longer run.
pub fn sweep() -> Result<(), WireError> {
    for name in orphans(parent())? {
        fs::remove_dir(parent().join(name))?;
    }
    Ok(())
}

/// Of version 2, or of the controller of memory.
fn parent() -> &'static Path {
    let is_unified = Path::new(UNIFIED).join("cgroup.controllers").exists();
    Path::new(if is_unified { UNIFIED } else { "/sys/fs/cgroup/memory" })
}

const UNIFIED: &str = "/sys/fs/cgroup";

/// Of version 2's `memory.stat`.
fn kernel(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("kernel ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_part_is_not_that_of_its_stacks() {
        let text = "anon 4096\nfile 0\nkernel 81920\nkernel_stack 16384\n";
        assert_eq!(kernel(text), Some(81920));
        assert_eq!(kernel("anon 1\nkernel_stack 2\n"), None);
    }
}
