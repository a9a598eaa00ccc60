//! A steady stream of datagrams to a service, each from another port, and where they arrive.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use nix::sys::{
    prctl::set_timerslack,
    socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
    },
};

use super::objects::Side;
use crate::bench::wire::{BACKEND_PORT, Namespace, SERVICE_PORT, WireError};

/// Datagrams out of the clients' namespace, until it is dropped.
pub struct Stream {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    number: u32,
}

#[derive(Default)]
struct Shared {
    /// An address, and the number that datagrams carry; 0 for none.
    aim: AtomicU64,
    ended: AtomicBool,
}

impl Stream {
    pub fn start(clients: &Namespace) -> Result<Self, WireError> {
        let shared = Arc::new(Shared::default());
        let socket = clients.run(|| {
            let (kind, protocol) = (SockType::Raw, SockProtocol::Raw);
            let socket = socket(AddressFamily::Inet, kind, SockFlag::empty(), protocol);
            Ok(socket.map_err(io::Error::from)?)
        })?;
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || send(&socket, &shared)
        });
        Ok(Self { shared, thread: Some(thread), number: 0 })
    }

    /// Turns to a service; gives the number that datagrams to it carry from now on.
    pub fn aim(&mut self, service: Ipv4Addr) -> u32 {
        self.number += 1;
        let aim = u64::from(service.to_bits()) << 32 | u64::from(self.number);
        self.shared.aim.store(aim, Ordering::Relaxed);
        self.number
    }

    pub fn pause(&self) {
        self.shared.aim.store(0, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}

fn send(socket: &OwnedFd, shared: &Shared) {
    // An error leaves the default, 50 µs: a somewhat slower stream.
    let _ = set_timerslack(1);
    let mut packet = Vec::with_capacity(64);
    for flow in 0.. {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let aim = shared.aim.load(Ordering::Relaxed);
        if aim != 0 {
            let (service, number) = (Ipv4Addr::from_bits((aim >> 32) as u32), aim as u32);
            packet.clear();
            let (client, port) = source(flow);
            let udp =
                PacketBuilder::ipv4(client.octets(), service.octets(), 64).udp(port, SERVICE_PORT);
            if udp.write(&mut packet, &number.to_be_bytes()).is_ok() {
                let to = SockaddrIn::from(std::net::SocketAddrV4::new(service, 0));
                // Whatever is lost, another one follows.
                let _ = sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty());
            }
        }
        thread::sleep(PERIOD);
    }
}

/// Where they arrive: both sides of services that change.
pub struct Arrivals([UdpSocket; 2]);

impl Arrivals {
    pub fn listen(end: &Namespace) -> Result<Self, WireError> {
        let [a, b] = end.run(|| {
            let listen = |side: Side| UdpSocket::bind((side.address(), BACKEND_PORT));
            Ok([listen(Side::A)?, listen(Side::B)?])
        })?;
        Ok(Self([a, b]))
    }

    /// Forgets what has come so far.
    pub fn drain(&self, side: Side) -> io::Result<()> {
        let socket = self.at(side);
        socket.set_nonblocking(true)?;
        while socket.recv(&mut [0; 4]).is_ok() {}
        socket.set_nonblocking(false)
    }

    /// When the first datagram with this number comes; none where none does.
    pub fn wait(&self, side: Side, number: u32, patience: Duration) -> io::Result<Option<Instant>> {
        let latest = Instant::now() + patience;
        let socket = self.at(side);
        let mut word = [0; 4];
        loop {
            let left = latest.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut word) {
                Ok(4) if word == number.to_be_bytes() => return Ok(Some(Instant::now())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until nothing comes any more; false where something always does.
    pub fn quiet(&self, side: Side, patience: Duration) -> io::Result<bool> {
        let latest = Instant::now() + patience;
        self.at(side).set_read_timeout(Some(QUIET))?;
        while Instant::now() < latest {
            match self.at(side).recv(&mut [0; 4]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn at(&self, side: Side) -> &UdpSocket {
        &self.0[side as usize]
    }
}

/// Where the datagrams of a flow come from. None comes twice: what is known of a client's port and a
/// backend, through whichever service, would have to be told apart from it.
fn source(flow: u32) -> (Ipv4Addr, u16) {
    let client = Ipv4Addr::from_bits((198 << 24 | 18 << 16 | 1 << 8) + flow / PORTS);
    (client, FIRST_PORT + (flow % PORTS) as u16)
}

/// Between datagrams; sending one takes as long again on a slow machine.
const PERIOD: Duration = Duration::from_micros(100);
const PORTS: u32 = 20_000;
const FIRST_PORT: u16 = 20_000;
/// Many periods.
const QUIET: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datagram_is_of_another_flow() {
        assert_eq!(source(0), (Ipv4Addr::new(198, 18, 1, 0), 20_000));
        assert_eq!(source(19_999), (Ipv4Addr::new(198, 18, 1, 0), 39_999));
        assert_eq!(source(20_000), (Ipv4Addr::new(198, 18, 1, 1), 20_000));
    }
}
