//! Follows the kernel's links, neighbours and routes: attaches programs where they belong, and
//! keeps ports and next hops current; ends sockets whose backend is gone.
//!
//! One thread owns all of it. Whatever happens (a link, neighbour or route changed, a commit is
//! due), it looks at the kernel afresh and brings everything in step: there is no state to get
//! out of step with. Events are gathered for a moment first.
//!
//! A workload that names no interface has the one that its first address is routed to by itself
//! (a `/32` or `/128` without a gateway, as network plugins make them for a port of its own).
//!
//! Interfaces whose name says that they are workloads' get their programs with the kernel's news of
//! them, before anything else is looked at: what they carry is dropped as long as no address is
//! known to be theirs.

mod follow;
mod neighbours;
mod next_hops;
mod routes;
mod sock_diag;
mod stale_sockets;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    dataplane::Attachment,
    image::{Image, Port},
    loader::{Attacher, InterfacePattern, LoadError, ProgramLog},
    maps::{ControlRecord, FlowTables, Follower, Jiffies, NextHops, Peers, Ports},
};

/// What an image wants of the kernel outside the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// By local endpoint id.
    pub ports: BTreeMap<u16, Port>,
    /// By next-hop id.
    pub next_hops: BTreeMap<u32, IpAddr>,
}

impl Wanted {
    pub fn of(image: &Image) -> Self {
        Self { ports: image.ports.clone(), next_hops: image.next_hops.clone() }
    }

    /// Both together: what may not be taken away while one replaces the other.
    fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.ports.extend(other.ports.clone());
        all.next_hops.extend(other.next_hops.clone());
        all
    }
}

/// What the watcher works with.
pub struct WatcherParts {
    pub attacher: Attacher,
    pub log: Option<ProgramLog>,
    pub uplinks: Vec<String>,
    /// Interfaces that have the programs of workloads as soon as they are there.
    pub workload_interfaces: Vec<InterfacePattern>,
    /// Whose sockets the programs are to be at; empty for none.
    pub cgroup: PathBuf,
    pub wanted: Wanted,
    /// Workloads that no interface was found for, as far as that was said.
    pub unlocated: BTreeSet<String>,
    /// Uplinks by index, and whether each takes frames that XDP redirects, as far as that was asked.
    pub takers: BTreeMap<u32, bool>,
    pub ports: Ports,
    pub next_hops: NextHops,
    pub neighbours: NextHops,
    pub flows: Arc<FlowTables>,
    pub jiffies: Arc<Jiffies>,
    pub control: ControlRecord,
    pub peers: Peers,
    /// Where the datapath reads what is attached.
    pub attached: Arc<Mutex<Vec<Attachment>>>,
}

/// The thread that follows the kernel; it ends with this, and nothing is detached.
pub struct Watcher {
    commands: Option<UnboundedSender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the thread is asked.
enum Command {
    /// Attach what is new; answer when that is done.
    Prepare(Wanted, mpsc::Sender<()>),
    /// Only this is wanted now.
    Follow(Wanted),
    /// Some backend may not serve any more.
    LookAgain,
}

impl Watcher {
    /// Attaches what is wanted, then follows.
    ///
    /// # Errors
    /// A program could not be attached to an uplink that exists.
    pub fn start(parts: WatcherParts) -> Result<Self, LoadError> {
        let (commands, queue) = unbounded_channel();
        let (answer, started) = mpsc::channel();
        // The thread begins in the network namespace of its maker, as every thread does.
        let thread = thread::Builder::new()
            .name("netlink".to_owned())
            .spawn(move || follow::run(parts, queue, &answer))
            .map_err(LoadError::Thread)?;
        let mut watcher = Self { commands: Some(commands), thread: Some(thread) };
        match started.recv() {
            Ok(Ok(())) => Ok(watcher),
            Ok(Err(error)) => {
                watcher.stop();
                Err(error)
            }
            Err(_) => Err(LoadError::Netlink("the thread ended".to_owned())),
        }
    }

    /// A way for commits to reach the thread.
    pub fn follower(&self) -> impl Follower + 'static {
        Messenger(self.commands.clone())
    }

    fn stop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Followers hold the queue open, so the thread is not waited for: it owns nothing
            // that has to be released in order.
            drop(thread);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Messenger(Option<UnboundedSender<Command>>);

impl Follower for Messenger {
    fn prepare(&self, image: &Image) {
        let (answer, done) = mpsc::channel();
        if self.send(Command::Prepare(Wanted::of(image), answer)) {
            // An interface that cannot be attached to must not hold up the commit for ever.
            let _ = done.recv_timeout(PREPARE);
        }
    }

    fn follow(&self, image: &Image) {
        self.send(Command::Follow(Wanted::of(image)));
    }

    fn look_again(&self) {
        self.send(Command::LookAgain);
    }
}

impl Messenger {
    fn send(&self, command: Command) -> bool {
        self.0.as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }
}

/// The longest that a commit waits for its ports to be attached.
const PREPARE: Duration = Duration::from_secs(10);
