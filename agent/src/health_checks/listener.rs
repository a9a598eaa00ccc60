//! One open port.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    task::AbortHandle,
};

/// Whoever connects may take this long to ask and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of a port at a time; more wait.
const CONNECTIONS: usize = 64;
/// Not accepting, as when no file descriptors are left, is not tried again for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers at a port until it is dropped.
pub(super) struct Listener(AbortHandle);

impl Listener {
    /// `answer` is given the path that is asked for.
    pub(super) fn open(
        address: SocketAddr,
        answer: impl Fn(&str) -> Response<String> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = listen(address)?;
        Ok(Self(tokio::spawn(accept(listener, Arc::new(answer))).abort_handle()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All addresses of the node, of both families.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

type Answer = dyn Fn(&str) -> Response<String> + Send + Sync;

/// [`everywhere`] is IPv4 alone where the kernel has no IPv6.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let (socket, address) = match (address, TcpSocket::new_v6()) {
        (SocketAddr::V6(_), Ok(socket)) => {
            setsockopt(&socket, Ipv6V6Only, &false)?;
            (socket, address)
        }
        (SocketAddr::V6(it), Err(_)) if it.ip().is_unspecified() => {
            (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, it.port()).into())
        }
        (SocketAddr::V6(_), Err(error)) => return Err(error),
        (SocketAddr::V4(_), _) => (TcpSocket::new_v4()?, address),
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(CONNECTIONS as u32)
}

async fn accept(listener: TcpListener, answer: Arc<Answer>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            // Who does not read the answer does without.
            let _ = tokio::time::timeout(PATIENCE, serve(stream, &*answer)).await;
            drop(permit);
        });
    }
}

/// One answer to a connection, so that nobody holds one for nothing.
async fn serve(stream: TcpStream, answer: &Answer) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await
}
