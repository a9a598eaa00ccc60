//! A TCP connection that lives long, to show that it survives something or is cut by it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    ANSWER_TIMEOUT,
    identity::{Identity, Reply},
    server::Server,
};
use crate::{bed::Host, netns::Netns};

/// Greets each connection with its identity, then sends back whatever comes.
#[derive(Debug)]
pub struct StreamServer {
    _server: Server,
}

impl StreamServer {
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
                let listener = TcpListener::bind(address).await;
                let listener = listener.with_context(|| format!("listening on {address}"))?;
                tokio::spawn(accept(listener, identity.clone()));
            }
            Ok(())
        })?;
        Ok(Self { _server: server })
    }
}

/// A connection to a [`StreamServer`] over which a counter goes round every 10 ms.
///
/// Each number must come back in order; a wrong one ends the stream with an error.
#[derive(Debug)]
pub struct LiveStream {
    greeting: Reply,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    rounds: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl LiveStream {
    /// Connects from a host and starts to count.
    pub fn open(from: &Host, server: SocketAddr) -> Result<Self> {
        let (stream, greeting) = from
            .netns()
            .run(|| connect(server))
            .with_context(|| format!("{} to {server}", from.name()))?;
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let outcome = count(&stream, &shared);
                *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) =
                    outcome.err().map(|error| format!("{error:#}"));
            })
        };
        Ok(Self { greeting, shared, thread: Some(thread) })
    }

    /// Who serves the connection, and whom it saw.
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// How many numbers have come back.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Relaxed)
    }

    /// Why the stream has ended, if it has: reset, closed, or wrong data.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails unless so many more numbers come back in time.
    pub fn expect_progress(&self, rounds: u64, timeout: Duration) -> Result<()> {
        let goal = self.rounds() + rounds;
        let deadline = Instant::now() + timeout;
        while self.rounds() < goal {
            if let Some(failure) = self.failure() {
                bail!("the stream ended after {} rounds: {failure}", self.rounds());
            }
            let missing = goal - self.rounds();
            ensure!(Instant::now() < deadline, "{missing} rounds are missing after {timeout:?}");
            thread::sleep(ROUND_INTERVAL);
        }
        Ok(())
    }

    /// Fails unless the stream ends, or nothing comes back for `silence`, within `timeout`.
    pub fn expect_cut(&self, silence: Duration, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let (mut rounds, mut since) = (self.rounds(), Instant::now());
        while self.failure().is_none() && since.elapsed() < silence {
            if self.rounds() != rounds {
                (rounds, since) = (self.rounds(), Instant::now());
            }
            let done = self.rounds();
            ensure!(Instant::now() < deadline, "still alive after {timeout:?}, {done} rounds");
            thread::sleep(ROUND_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}

const ROUND_INTERVAL: Duration = Duration::from_millis(10);

/// Connects in the calling thread's namespace, and reads who serves.
pub(super) fn connect(server: SocketAddr) -> Result<(BufReader<TcpStream>, Reply)> {
    let stream = TcpStream::connect_timeout(&server, ANSWER_TIMEOUT).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let local = stream.local_addr()?;
    let mut stream = BufReader::new(stream);
    let mut greeting = Vec::new();
    stream.read_until(b'\n', &mut greeting).context("reading the greeting")?;
    stream.get_ref().set_read_timeout(Some(ROUND_INTERVAL))?;
    let greeting = Reply::parse(&greeting, local)?;
    Ok((stream, greeting))
}

fn count(stream: &BufReader<TcpStream>, shared: &Shared) -> Result<()> {
    let mut stream = stream.get_ref();
    for number in 0_u64.. {
        stream.write_all(&number.to_be_bytes()).context("sending")?;
        let mut answer = [0; 8];
        let mut filled = 0;
        while filled < answer.len() {
            if shared.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match stream.read(&mut answer[filled..]) {
                Ok(0) => bail!("closed by the other end"),
                Ok(length) => filled += length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("receiving"),
            }
        }
        let answer = u64::from_be_bytes(answer);
        ensure!(answer == number, "{answer} came back for {number}");
        shared.rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(ROUND_INTERVAL);
    }
    Ok(())
}

async fn accept(listener: TcpListener, identity: Identity) {
    while let Ok((mut connection, client)) = listener.accept().await {
        let greeting = identity.line(client);
        tokio::spawn(async move {
            let (mut read, mut write) = connection.split();
            // A connection that is cut is what the test is about, and the client's to tell.
            if write.write_all(greeting.as_bytes()).await.is_ok() {
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
    }
}
