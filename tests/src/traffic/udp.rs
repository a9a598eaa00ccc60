//! UDP with an answer to each datagram.

use std::net::{SocketAddr, UdpSocket as ClientSocket};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use super::{
    ANSWER_TIMEOUT,
    identity::{Identity, Reply, any_port},
    server::Server,
};
use crate::{bed::Host, netns::Netns};

/// Answers every datagram with its name, zone, the client's address and the datagram itself.
#[derive(Debug)]
pub struct UdpServer {
    _server: Server,
}

impl UdpServer {
    /// Serves on a host's IPv4 and IPv6 address.
    pub fn start(host: &Host, port: u16) -> Result<Self> {
        Self::serve(host.netns(), &host.sockets(port), Identity::of(host))
    }

    /// Serves on other addresses of a host, such as a pod's, under a name of its own.
    pub fn start_at(host: &Host, addresses: &[SocketAddr], name: &str) -> Result<Self> {
        Self::serve(host.netns(), addresses, Identity::named(name, host.zone()))
    }

    fn serve(netns: &Netns, addresses: &[SocketAddr], identity: Identity) -> Result<Self> {
        let addresses = addresses.to_vec();
        let server = Server::start(netns, move || async move {
            for address in addresses {
                let socket = UdpSocket::bind(address).await;
                let socket = socket.with_context(|| format!("binding to {address}"))?;
                tokio::spawn(echo(socket, identity.clone()));
            }
            Ok(())
        })?;
        Ok(Self { _server: server })
    }
}

/// Sends one datagram from a new port of a host and returns the answer.
///
/// The socket is connected: an answer from any address but `server` is not seen, and an ICMP
/// error ends the wait.
pub fn udp_exchange(from: &Host, server: SocketAddr, payload: &[u8]) -> Result<Reply> {
    let reply = from.netns().run(|| exchange(server, payload));
    reply.with_context(|| format!("{} to {server}", from.name()))
}

/// The exchange itself, in the calling thread's namespace.
pub(super) fn exchange(server: SocketAddr, payload: &[u8]) -> Result<Reply> {
    let socket = ClientSocket::bind(any_port(server)).context("binding")?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.connect(server).context("connecting")?;
    socket.send(payload).context("sending")?;
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).context("waiting for the answer")?;
    Reply::parse(&answer[..length], socket.local_addr()?)
}

async fn echo(socket: UdpSocket, identity: Identity) {
    let mut datagram = vec![0; 65_536];
    loop {
        // An error here is a past answer's ICMP error, not the end of the socket.
        let Ok((length, client)) = socket.recv_from(&mut datagram).await else { continue };
        let mut answer = identity.line(client).into_bytes();
        answer.extend(&datagram[..length]);
        let _ = socket.send_to(&answer, client).await;
    }
}
