//! The Unix socket that the agent answers on.
//!
//! Who may connect is who may open the file, so the file has its mode from its first instant on,
//! and stands in a directory in which nobody else can put another in its place.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::sys::{
    socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
    stat::{Mode, fchmod},
};

/// Why the agent does not listen.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("{0} has no directory")]
    NoDirectory(PathBuf),
    #[error("cannot create {path}: {source}")]
    Directory { path: PathBuf, source: io::Error },
    #[error(
        "{path} has mode {mode:04o}: its group or everybody may write there, and could put \
         another socket in the place of the agent's. Choose another directory, or chmod go-w"
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("another agent answers on {0}")]
    Taken(PathBuf),
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    #[error("cannot listen on {path}: {source}")]
    Listen { path: PathBuf, source: io::Error },
}

/// Listens on `path`; only the file's owner may connect. A socket on which nobody answers is
/// replaced.
pub fn listen_on(path: &Path) -> Result<UnixListener, SocketError> {
    prepare_directory(path)?;
    remove_stale(path)?;
    listener(path).map_err(|source| SocketError::Listen { path: path.to_owned(), source })
}

fn prepare_directory(path: &Path) -> Result<(), SocketError> {
    let directory = path.parent().ok_or_else(|| SocketError::NoDirectory(path.to_owned()))?;
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let failed = |source| SocketError::Directory { path: directory.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mode = fs::metadata(directory).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
        return Err(SocketError::Writable { path: directory.to_owned(), mode });
    }
    Ok(())
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Listen { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The kernel gives the file the mode that the socket has when it is bound (`unix_bind` in
/// `net/unix/af_unix.c`), so there is no instant at which others could connect.
fn listener(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(UnixListener::from(socket))
}

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn directory(mode: u32) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        directory
    }

    #[test]
    fn a_new_socket_and_its_new_directory_are_for_their_owner_only() {
        let directory = directory(0o755);
        let path = directory.path().join("run/zonegate.sock");
        let _listener = listen_on(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    }

    #[test]
    fn a_directory_where_others_may_write_is_refused_unless_sticky() {
        for (mode, refused) in [
            (0o700, false),
            (0o755, false),
            (0o775, true),
            (0o757, true),
            (0o777, true),
            (0o1777, false),
        ] {
            let directory = directory(mode);
            let answer = listen_on(&directory.path().join("zonegate.sock"));
            assert_eq!(
                matches!(answer, Err(SocketError::Writable { .. })),
                refused,
                "mode {mode:o}: {answer:?}"
            );
        }
    }

    #[test]
    fn a_socket_is_replaced_only_when_nobody_answers() {
        let directory = directory(0o700);
        let path = directory.path().join("zonegate.sock");
        let first = listen_on(&path).unwrap();
        assert!(matches!(listen_on(&path), Err(SocketError::Taken(_))));
        drop(first);
        assert!(path.exists(), "a killed agent leaves its socket behind");
        let _second = listen_on(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = directory(0o700);
        let path = directory.path().join("zonegate.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(listen_on(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error() {
        let directory = directory(0o700);
        let path = directory.path().join("x".repeat(200));
        assert!(matches!(listen_on(&path), Err(SocketError::Listen { .. })));
    }
}
