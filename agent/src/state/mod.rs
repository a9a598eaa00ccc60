//! The state snapshot: what lets a restarted agent know what it had.
//!
//! One file, replaced by atomic rename: after a crash at any instant it holds either what was
//! saved last or what was saved before that. What the payload means is the store's affair.

mod envelope;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub use envelope::EnvelopeError;

/// The snapshot in a directory of its own.
#[derive(Debug, Clone)]
pub struct StateFile {
    directory: PathBuf,
}

/// Why there is no snapshot although there is a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a snapshot: {source}")]
    Bad { path: PathBuf, source: EnvelopeError },
}

impl StateFile {
    /// Makes sure that the directory exists; a new one is for its owner only.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory })
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// The payload saved last; `None` when nothing was ever saved.
    pub fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(bytes) => envelope::open(&bytes)
                .map(|payload| Some(payload.to_vec()))
                .map_err(|source| LoadError::Bad { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LoadError::Read { path, source }),
        }
    }

    /// Replaces the snapshot. When this returns, the new one survives a power failure.
    pub fn save(&self, payload: &[u8]) -> io::Result<()> {
        self.write_aside(payload)?;
        self.publish()
    }

    /// Keeps a bad snapshot for whoever wants to know what happened, out of the way of the next;
    /// says where it is now.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let bad = self.directory.join(BAD);
        fs::rename(self.path(), &bad)?;
        sync_directory(&self.directory)?;
        Ok(bad)
    }

    fn write_aside(&self, payload: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.directory.join(NEXT))?;
        file.write_all(&envelope::header(payload))?;
        file.write_all(payload)?;
        file.sync_all()
    }

    fn publish(&self) -> io::Result<()> {
        fs::rename(self.directory.join(NEXT), self.path())?;
        sync_directory(&self.directory)
    }
}

/// A rename is only on disk when its directory is.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

const NAME: &str = "state";
/// The snapshot being written; of no meaning to a reader.
const NEXT: &str = "state.next";
const BAD: &str = "state.bad";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state_file() -> (tempfile::TempDir, StateFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::open(directory.path().join("state-dir")).unwrap();
        (directory, file)
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let (_directory, file) = state_file();
        assert_eq!(file.load().unwrap(), None);
        for payload in [&b"first"[..], b"", b"a longer second one"] {
            file.save(payload).unwrap();
            assert_eq!(file.load().unwrap().as_deref(), Some(payload));
        }
    }

    #[test]
    fn file_and_directory_are_for_their_owner_only() {
        let (_directory, file) = state_file();
        file.save(b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.directory), mode(&file.path())), (0o700, 0o600));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_snapshot() {
        let (_directory, file) = state_file();
        file.save(b"old").unwrap();
        file.write_aside(b"new and not yet published").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some(&b"old"[..]));
        file.save(b"newer").unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some(&b"newer"[..]));
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_snapshot_whatever_was_written() {
        let (_directory, file) = state_file();
        file.save(b"old").unwrap();
        file.write_aside(b"new").unwrap();
        let whole = fs::read(file.directory.join(NEXT)).unwrap();
        for length in 0..=whole.len() {
            fs::write(file.directory.join(NEXT), &whole[..length]).unwrap();
            assert_eq!(file.load().unwrap().as_deref(), Some(&b"old"[..]), "{length} bytes");
        }
        file.publish().unwrap();
        assert_eq!(file.load().unwrap().as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn a_crash_before_the_first_rename_leaves_nothing_to_load() {
        let (_directory, file) = state_file();
        file.write_aside(b"first").unwrap();
        assert_eq!(file.load().unwrap(), None);
    }

    #[test]
    fn a_bad_snapshot_is_kept_aside_and_then_absent() {
        let (_directory, file) = state_file();
        file.save(b"payload").unwrap();
        fs::write(file.path(), b"rubbish").unwrap();
        assert!(matches!(file.load(), Err(LoadError::Bad { .. })));
        let bad = file.set_aside().unwrap();
        assert_eq!(fs::read(bad).unwrap(), b"rubbish");
        assert_eq!(file.load().unwrap(), None);
    }
}
