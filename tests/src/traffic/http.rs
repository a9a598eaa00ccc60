//! HTTP/1.1, as little of it as a load balancer's user needs.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream as Connection},
};

use super::{
    ANSWER_TIMEOUT,
    identity::{Identity, Reply},
    server::Server,
};
use crate::{bed::Host, netns::Netns};

/// Answers every request with its name, zone and the client's address; curl understands it too.
#[derive(Debug)]
pub struct HttpServer {
    answered: Arc<AtomicU64>,
    _server: Server,
}

impl HttpServer {
    /// Serves on a host's IPv4 and IPv6 address.
    pub fn start(host: &Host, port: u16) -> Result<Self> {
        Self::serve(host.netns(), &host.sockets(port), Identity::of(host))
    }

    /// Serves on other addresses of a host, such as a pod's, under a name of its own.
    pub fn start_at(host: &Host, addresses: &[SocketAddr], name: &str) -> Result<Self> {
        Self::serve(host.netns(), addresses, Identity::named(name, host.zone()))
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn serve(netns: &Netns, addresses: &[SocketAddr], identity: Identity) -> Result<Self> {
        let answered = Arc::new(AtomicU64::new(0));
        let (addresses, counter) = (addresses.to_vec(), Arc::clone(&answered));
        let server = Server::start(netns, move || async move {
            for address in addresses {
                let listener = TcpListener::bind(address).await;
                let listener = listener.with_context(|| format!("listening on {address}"))?;
                tokio::spawn(accept(listener, identity.clone(), Arc::clone(&counter)));
            }
            Ok(())
        })?;
        Ok(Self { answered, _server: server })
    }
}

/// Requests `/` over a new connection from a host and returns what the server said.
pub fn http_get(from: &Host, server: SocketAddr) -> Result<Reply> {
    from.netns().run(|| get(server)).with_context(|| format!("{} to {server}", from.name()))
}

/// The request itself, in the calling thread's namespace.
pub(super) fn get(server: SocketAddr) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_TIMEOUT).context("connecting")?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let local = stream.local_addr()?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")
        .context("sending the request")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).context("reading the response")?;
    ensure!(response.starts_with(b"HTTP/1.1 200 "), "the answer is not 200 OK");
    let head = response.windows(4).position(|window| window == b"\r\n\r\n");
    Reply::parse(&response[head.context("the response's head does not end")? + 4..], local)
}

async fn accept(listener: TcpListener, identity: Identity, answered: Arc<AtomicU64>) {
    while let Ok((connection, client)) = listener.accept().await {
        let (identity, answered) = (identity.clone(), Arc::clone(&answered));
        tokio::spawn(async move {
            // A client that goes away in the middle is its own business.
            let _ = answer(connection, &identity.line(client), &answered).await;
        });
    }
}

/// Answers the requests of one connection until the client closes it or asks to.
async fn answer(
    mut connection: Connection,
    body: &str,
    answered: &AtomicU64,
) -> std::io::Result<()> {
    let (read, mut write) = connection.split();
    let mut lines = BufReader::new(read).lines();
    let mut close = false;
    while let Some(line) = lines.next_line().await? {
        close |= line.eq_ignore_ascii_case("connection: close");
        if !line.is_empty() {
            continue;
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        write.write_all((head + body).as_bytes()).await?;
        answered.fetch_add(1, Ordering::Relaxed);
        if close {
            break;
        }
    }
    write.shutdown().await
}
