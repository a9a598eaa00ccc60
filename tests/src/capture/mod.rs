//! Sees and sends raw frames on an interface.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::socket::PacketSocket;
use crate::{netns::Netns, packet};

mod socket;

/// A packet socket on one interface; it sees what passes from the moment it is opened.
#[derive(Debug)]
pub struct Capture {
    socket: PacketSocket,
    place: String,
}

/// A frame that passed an interface.
#[derive(Clone, PartialEq, Eq)]
pub struct Captured {
    /// The frame as on a wire: a VLAN tag that the kernel keeps beside it is back in its place.
    pub frame: Vec<u8>,
    /// Whether the interface sent it rather than received it.
    pub sent: bool,
    /// Whether the checksum is there; false where the kernel has yet to fill it in.
    pub checksum_filled: bool,
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.sent { "sent" } else { "received" };
        write!(f, "{direction} {}", packet::summary(&self.frame))
    }
}

impl Capture {
    /// Starts to see frames. Those that a program takes out or puts in by XDP on this very
    /// interface are not seen here: capture at the other end.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self> {
        let place = format!("{interface} in {}", netns.name());
        let socket = netns.run(|| PacketSocket::open(interface));
        let socket = socket.with_context(|| format!("capturing on {place}"))?;
        Ok(Self { socket, place })
    }

    /// Sends a frame as it is, however short or wrong.
    pub fn inject(&self, frame: impl AsRef<[u8]>) -> Result<()> {
        self.socket.send(frame.as_ref()).with_context(|| format!("sending on {}", self.place))
    }

    /// The next received frame that the filter wants; an error lists what else was seen.
    pub fn wait_for(
        &self,
        timeout: Duration,
        wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Captured> {
        let mut wanted = wanted;
        let mut seen = Vec::new();
        let deadline = Instant::now() + timeout;
        while let Some(captured) = self.socket.receive(deadline)? {
            if !captured.sent && wanted(&captured.frame) {
                return Ok(captured);
            }
            seen.push(format!("\n  {captured:?}"));
        }
        bail!("no such frame on {} within {timeout:?}; seen:{}", self.place, seen.concat())
    }

    /// All received frames that the filter wants, for the whole of a time.
    pub fn collect(
        &self,
        time: Duration,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Vec<Captured>> {
        let mut captured = self.collect_both(time)?;
        captured.retain(|captured| !captured.sent && wanted(&captured.frame));
        Ok(captured)
    }

    /// Every frame in both directions, for the whole of a time.
    pub fn collect_both(&self, time: Duration) -> Result<Vec<Captured>> {
        let deadline = Instant::now() + time;
        let mut all = Vec::new();
        while let Some(captured) = self.socket.receive(deadline)? {
            all.push(captured);
        }
        Ok(all)
    }
}
