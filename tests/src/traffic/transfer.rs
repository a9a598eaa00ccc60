//! A bulk transfer over TCP, there and back, every byte of which is checked.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{identity::Reply, stream};
use crate::bed::Host;

/// A connection to a [`StreamServer`](super::StreamServer) that carries some 6 MB a second each
/// way until it is finished.
///
/// What comes back is compared with what was sent, byte by byte. Where nothing moves for
/// [`Transfer::STALL`], the transfer has failed.
#[derive(Debug)]
pub struct Transfer {
    greeting: Reply,
    shared: Arc<Shared>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<u64>>,
}

#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    stop: AtomicBool,
}

impl Transfer {
    /// How long a transfer may stand still.
    pub const STALL: Duration = Duration::from_secs(5);

    /// Connects from a host and starts to send.
    pub fn start(from: &Host, server: SocketAddr) -> Result<Self> {
        let connected = from.netns().run(|| stream::connect(server));
        let (stream, greeting) =
            connected.with_context(|| format!("{} to {server}", from.name()))?;
        let stream = stream.into_inner();
        stream.set_read_timeout(Some(Self::STALL))?;
        stream.set_write_timeout(Some(Self::STALL))?;
        let shared = Arc::new(Shared::default());
        let sender = {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(&shared));
            thread::spawn(move || send(stream, &shared))
        };
        let receiver = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || receive(stream, &shared))
        };
        Ok(Self { greeting, shared, sender, receiver })
    }

    /// Who serves the connection, and whom it saw.
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// How many bytes have come back so far.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Fails unless so many more bytes come back in time.
    pub fn expect_progress(&self, bytes: u64, timeout: Duration) -> Result<()> {
        let (goal, deadline) = (self.received() + bytes, Instant::now() + timeout);
        while self.received() < goal {
            ensure!(!self.receiver.is_finished(), "ended after {} bytes", self.received());
            let missing = goal - self.received();
            ensure!(Instant::now() < deadline, "{missing} bytes are missing after {timeout:?}");
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Ends the transfer properly and returns its size, which is the same in both directions.
    pub fn finish(self) -> Result<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let join = |thread: JoinHandle<Result<u64>>| thread.join().expect("a thread of a transfer");
        let (sent, received) = (join(self.sender), join(self.receiver));
        let (sent, received) = (sent.context("sending")?, received.context("receiving")?);
        ensure!(sent == received, "{sent} bytes sent, {received} came back");
        Ok(sent)
    }
}

const PAUSE: Duration = Duration::from_millis(10);
const CHUNK: usize = 64 << 10;

fn send(mut stream: TcpStream, shared: &Shared) -> Result<u64> {
    let mut sent = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let at = format!("after {sent} bytes");
        stream.write_all(&content(sent)).context(at)?;
        sent += CHUNK as u64;
        thread::sleep(PAUSE);
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut stream: TcpStream, shared: &Shared) -> Result<u64> {
    let mut received = 0;
    loop {
        let mut chunk = vec![0; CHUNK];
        match stream.read_exact(&mut chunk) {
            // What is missing in the middle of a chunk is seen by the number of bytes.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(received),
            outcome => outcome.with_context(|| format!("after {received} bytes"))?,
        }
        ensure!(chunk == content(received), "other bytes came back than {received}…");
        received += CHUNK as u64;
        shared.received.store(received, Ordering::Relaxed);
    }
}

/// The bytes from a multiple of [`CHUNK`] on; those of any two places differ (Fibonacci hashing).
fn content(from: u64) -> Vec<u8> {
    let words = (from / 8..).take(CHUNK / 8);
    words
        .flat_map(|word| word.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .collect()
}
