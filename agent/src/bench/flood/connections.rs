//! TCP connections that carry data both ways, and the server that sends it back.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::{sleep, timeout},
};

use super::lab::quiet_service;
use crate::bench::wire::{BACKEND_PORT, WireError};

/// Sends back what comes, until it is dropped.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on addresses of this thread's namespace.
    pub fn start(addresses: [Ipv4Addr; 2]) -> Result<Self, WireError> {
        let listen = |address| StdListener::bind((address, BACKEND_PORT));
        let listeners = addresses.map(listen).into_iter().collect::<io::Result<Vec<_>>>()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime()?;
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(accept(listener));
                }
                // An error is the sender's end.
                let _ = stopped.await;
            });
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}

/// Connections that were there before the flood.
pub struct Established {
    runtime: Runtime,
    streams: Vec<TcpStream>,
    /// Connections that found no room with their first port.
    pub retried: u32,
}

impl Established {
    /// Opens so many from this thread's namespace; each has carried data both ways.
    pub fn open(count: u32) -> Result<Self, WireError> {
        let runtime = runtime()?;
        let (mut streams, mut retried) = (Vec::new(), 0);
        runtime.block_on(async {
            for first in (0..count).step_by(AT_ONCE as usize) {
                let last = count.min(first + AT_ONCE);
                let opening: Vec<_> = (first..last).map(|it| tokio::spawn(open(it))).collect();
                for stream in opening {
                    let (stream, again) = stream.await.map_err(io::Error::other)??;
                    streams.push(stream);
                    retried += u32::from(again);
                }
            }
            Ok::<(), io::Error>(())
        })?;
        Ok(Self { runtime, streams, retried })
    }

    /// How many carry nothing any more.
    pub fn lost(self) -> u32 {
        let Self { runtime, streams, .. } = self;
        runtime.block_on(async {
            let ask = |(number, mut stream): (u32, TcpStream)| {
                tokio::spawn(async move { exchange(&mut stream, number).await })
            };
            let asked: Vec<_> = (0..).zip(streams).map(ask).collect();
            let mut lost = 0;
            for answer in asked {
                lost += u32::from(!matches!(answer.await, Ok(Ok(()))));
            }
            lost
        })
    }
}

/// Connections that are opened meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Newcomers {
    pub attempted: u32,
    pub succeeded: u32,
}

impl Newcomers {
    /// Opens connections from this thread's namespace, and ends them, until it is done.
    pub fn come(done: &AtomicBool) -> Result<Self, WireError> {
        let one = |number: u32| async move {
            let mut come = Self::default();
            while !done.load(Ordering::Relaxed) {
                come.attempted += 1;
                come.succeeded += u32::from(connect(number).await.is_ok());
                sleep(PAUSE).await;
            }
            come
        };
        let all = futures::future::join_all((0..TOGETHER).map(one));
        let all = runtime()?.block_on(all);
        Ok(all.into_iter().fold(Self::default(), |sum, it| Self {
            attempted: sum.attempted + it.attempted,
            succeeded: sum.succeeded + it.succeeded,
        }))
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn accept(listener: StdListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        // What fails is one connection.
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let mut word = [0; 4];
            while stream.read_exact(&mut word).await.is_ok()
                && stream.write_all(&word).await.is_ok()
            {}
        });
    }
}

/// Connects, a second time where the first port finds no room.
async fn open(number: u32) -> io::Result<(TcpStream, bool)> {
    match connect(number).await {
        Ok(stream) => Ok((stream, false)),
        Err(_) => Ok((connect(number).await?, true)),
    }
}

/// Connects from a port of a client's address, and makes sure that data comes back.
async fn connect(number: u32) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(client(number).into(), 0))?;
    let mut stream = timeout(PATIENCE, socket.connect(quiet_service())).await??;
    stream.set_nodelay(true)?;
    exchange(&mut stream, number).await?;
    Ok(stream)
}

/// Sends a number and waits for it to come back.
async fn exchange(stream: &mut TcpStream, number: u32) -> io::Result<()> {
    let mut answer = [0; 4];
    timeout(PATIENCE, async {
        stream.write_all(&number.to_be_bytes()).await?;
        stream.read_exact(&mut answer).await
    })
    .await??;
    if answer == number.to_be_bytes() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// All addresses of clients.
pub fn client_addresses() -> Vec<Ipv4Addr> {
    (0..CLIENTS).map(client).collect()
}

const fn client(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((198 << 24 | 18 << 16) + 1 + number % CLIENTS)
}

const CLIENTS: u32 = 16;
/// A SYN that was lost in a queue is repeated after one second and after three.
const PATIENCE: Duration = Duration::from_secs(5);
/// Established ones that are opened at the same time.
const AT_ONCE: u32 = 64;
/// Newcomers at the same time, and how long they stay away.
const TOGETHER: u32 = 16;
const PAUSE: Duration = Duration::from_millis(10);
