//! Programs of the cluster, in their namespaces, and the directories that they work in.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::ClusterError;

/// A program that ends with this, or with the benchmark.
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Starts a command; what it says is kept in the directory.
    pub fn start(mut command: Command, name: &str, directory: &Path) -> Result<Self, ClusterError> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // SAFETY: between fork and exec only a system call is made.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        Ok(Self { child: command.spawn()?, name: name.to_owned(), log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes sure that it runs.
    pub fn check(&mut self) -> Result<(), ClusterError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(_) => Err(ClusterError::Ended { name: self.name.clone(), said: self.said() }),
        }
    }

    /// The end of what it has said.
    pub fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2048)..]).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that is gone with this, or with the next benchmark.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn create(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "a directory is left");
        }
    }
}
