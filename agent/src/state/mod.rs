//! The saved state: what lets a restarted agent know what it had.
//!
//! A snapshot, replaced by atomic rename: after a crash at any instant it holds either what was
//! saved last or what was saved before that. Beside it the changes since, one after the other;
//! the last may be torn, and then nobody was told that it was saved. A change that is older than
//! the snapshot is for the reader to recognise. What payloads mean is the store's affair.

mod envelope;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub use envelope::EnvelopeError;

/// What was saved last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub snapshot: Vec<u8>,
    /// Those that are whole, in their order.
    pub changes: Vec<Vec<u8>>,
}

/// Snapshot and changes in a directory of their own.
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

    /// What was saved last; `None` when nothing was ever saved.
    pub fn load(&self) -> Result<Option<Loaded>, LoadError> {
        let path = self.path();
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let snapshot = envelope::open(&bytes)
            .map(<[u8]>::to_vec)
            .map_err(|source| LoadError::Bad { path, source })?;
        let changes = read(&self.directory.join(CHANGES))?.unwrap_or_default();
        Ok(Some(Loaded { snapshot, changes: whole(&changes) }))
    }

    /// Replaces the snapshot; there are no changes since. When this returns, the new one survives
    /// a power failure.
    pub fn save(&self, payload: &[u8]) -> io::Result<()> {
        self.write_aside(payload)?;
        self.publish()?;
        match fs::remove_file(self.directory.join(CHANGES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Adds a change. When this returns, it survives a power failure.
    ///
    /// # Errors
    /// Then part of it may have been written, and no change can follow before a new snapshot.
    pub fn append(&self, payload: &[u8]) -> io::Result<()> {
        let path = self.directory.join(CHANGES);
        let new = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut record = envelope::header(payload).to_vec();
        record.extend_from_slice(payload);
        file.write_all(&record)?;
        file.sync_data()?;
        if new { sync_directory(&self.directory) } else { Ok(()) }
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

fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read { path: path.to_owned(), source }),
    }
}

/// The changes up to the first that is not whole.
fn whole(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut changes = Vec::new();
    while let Some((record, rest)) = envelope::split(bytes)
        && let Ok(payload) = envelope::open(record)
    {
        changes.push(payload.to_vec());
        bytes = rest;
    }
    changes
}

/// A rename is only on disk when its directory is.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

const NAME: &str = "state";
/// The snapshot being written; of no meaning to a reader.
const NEXT: &str = "state.next";
const BAD: &str = "state.bad";
/// What changed since the snapshot.
const CHANGES: &str = "state.changes";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state_file() -> (tempfile::TempDir, StateFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::open(directory.path().join("state-dir")).unwrap();
        (directory, file)
    }

    fn loaded(file: &StateFile) -> (Vec<u8>, Vec<Vec<u8>>) {
        let Loaded { snapshot, changes } = file.load().unwrap().unwrap();
        (snapshot, changes)
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let (_directory, file) = state_file();
        assert_eq!(file.load().unwrap(), None);
        for payload in [&b"first"[..], b"", b"a longer second one"] {
            file.save(payload).unwrap();
            assert_eq!(loaded(&file), (payload.to_vec(), vec![]));
            file.append(b"and then").unwrap();
            file.append(b"").unwrap();
            assert_eq!(loaded(&file), (payload.to_vec(), vec![b"and then".to_vec(), vec![]]));
        }
    }

    #[test]
    fn a_change_that_is_torn_is_none_nor_are_those_after_it() {
        let (_directory, file) = state_file();
        file.save(b"snapshot").unwrap();
        for change in [&b"one"[..], b"another", b"last"] {
            file.append(change).unwrap();
        }
        let path = file.directory.join(CHANGES);
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<usize> =
            [3, 3 + 7, 3 + 7 + 4].iter().zip(1..).map(|(length, n)| n * 52 + length).collect();
        assert_eq!(ends[2], bytes.len());
        for length in 0..=bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let expected = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(loaded(&file).1.len(), expected, "{length} bytes");
        }
        let mut bad = bytes;
        bad[60] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(loaded(&file).1.len(), 1, "the second is damaged");
    }

    #[test]
    fn file_and_directory_are_for_their_owner_only() {
        let (_directory, file) = state_file();
        file.save(b"secret").unwrap();
        file.append(b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let changes = file.directory.join(CHANGES);
        assert_eq!(
            (mode(&file.directory), mode(&file.path()), mode(&changes)),
            (0o700, 0o600, 0o600)
        );
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_snapshot() {
        let (_directory, file) = state_file();
        file.save(b"old").unwrap();
        file.write_aside(b"new and not yet published").unwrap();
        assert_eq!(loaded(&file).0, b"old");
        file.save(b"newer").unwrap();
        assert_eq!(loaded(&file).0, b"newer");
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_snapshot_whatever_was_written() {
        let (_directory, file) = state_file();
        file.save(b"old").unwrap();
        file.write_aside(b"new").unwrap();
        let whole = fs::read(file.directory.join(NEXT)).unwrap();
        for length in 0..=whole.len() {
            fs::write(file.directory.join(NEXT), &whole[..length]).unwrap();
            assert_eq!(loaded(&file).0, b"old", "{length} bytes");
        }
        file.publish().unwrap();
        assert_eq!(loaded(&file).0, b"new");
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
