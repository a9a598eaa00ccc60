//! One open port, at all addresses of the node.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use super::answer::State;

/// Whoever connects may take this long to ask and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of a port at a time; more wait.
const CONNECTIONS: usize = 64;
/// Not accepting, as when no file descriptors are left, is not tried again for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers at a port until it is dropped.
pub(super) struct Listener(AbortHandle);

impl Listener {
    pub(super) fn open(port: u16, state: watch::Receiver<State>) -> io::Result<Self> {
        let listener = listen(port)?;
        Ok(Self(tokio::spawn(accept(listener, port, state)).abort_handle()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// For both families, or for IPv4 alone where the kernel has no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    let (socket, address) = match TcpSocket::new_v6() {
        Ok(socket) => {
            setsockopt(&socket, Ipv6V6Only, &false)?;
            (socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        }
        Err(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(CONNECTIONS as u32)
}

async fn accept(listener: TcpListener, port: u16, state: watch::Receiver<State>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let state = state.clone();
        tokio::spawn(async move {
            // Who does not read the answer does without.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, port, state)).await;
            drop(permit);
        });
    }
}

/// One answer to a connection, so that nobody holds one for nothing.
async fn answer(
    stream: TcpStream,
    port: u16,
    state: watch::Receiver<State>,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |_| {
        let answer = state.borrow().answer(port);
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}
