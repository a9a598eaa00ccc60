//! Connected UDP sockets of the node's own processes whose backend does not serve any more.
//!
//! Their datagrams pass no program, so nothing else would lead them to another backend. A call
//! fails with `ECONNABORTED`, and the process connects anew. TCP tells its ends itself.

use std::io;

use super::sock_diag::SocketDiagnosis;
use crate::maps::{Connected, MapError, Peers};

pub(super) struct StaleSockets {
    diagnosis: SocketDiagnosis,
    /// That the kernel cannot do it was said.
    refused: bool,
}

impl StaleSockets {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { diagnosis: SocketDiagnosis::open()?, refused: false })
    }

    /// Ends those of this network namespace, which is the one that services are reached from.
    pub(super) fn end(&mut self, peers: &Peers) {
        if self.refused {
            return;
        }
        match self.try_end(peers) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "ended UDP sockets whose backend is gone"),
            Err(error) => match error {
                Failure::Kernel(error) if is_unsupported(&error) => {
                    self.refused = true;
                    tracing::warn!(
                        "the kernel lacks CONFIG_INET_DIAG_DESTROY or CONFIG_INET_UDP_DIAG: connected \
                         UDP sockets of the node's own processes stay at backends that are gone"
                    );
                }
                error => {
                    tracing::error!(%error, "UDP sockets whose backend is gone are not all ended");
                }
            },
        }
    }

    fn try_end(&self, peers: &Peers) -> Result<usize, Failure> {
        let sockets = self.diagnosis.connected()?;
        let connected: Vec<Connected> =
            sockets.iter().map(|socket| (socket.cookie(), socket.peer())).collect();
        let mut ended = 0;
        for index in peers.lost(&connected)? {
            match self.diagnosis.destroy(&sockets[index]) {
                Ok(()) => ended += 1,
                // Its process was faster.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ended)
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("sock_diag: {0}")]
    Kernel(#[from] io::Error),
    #[error(transparent)]
    Map(#[from] MapError),
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOENT))
}
