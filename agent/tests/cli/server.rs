//! An agent's server and store over tables in memory.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{net::UnixListener, runtime::Runtime};
use zonegate::{
    compile::{self, Compiler},
    dataplane::{
        Attachment, CommitError, Conversation, Counter, Counts, Dataplane, Fill, Flow, Stamp,
    },
    draft::Compiled,
    grpc,
    handshakes::Handshakes,
    image::Image,
    kubernetes::Options,
    manifests,
    maps::MemoryTables,
    store::{self, Change, Limits, Parts, Save, State, Store},
};

use crate::program::{Run, zonegate_at, zonegate_with};

/// The node whose agent it is.
pub const NODE: &str = "node-a";

pub struct Server {
    directory: tempfile::TempDir,
    saved: Arc<Mutex<Option<State>>>,
    _runtime: Runtime,
}

/// What a server begins with.
#[derive(Default)]
struct Beginning {
    tables: MemoryTables,
    saved: Option<State>,
    limits: Limits,
    /// A directory of manifests.
    followed: Option<PathBuf>,
}

impl Server {
    pub fn start() -> Self {
        Self::begin(Beginning::default())
    }

    /// An agent that follows a directory of manifests.
    pub fn following(manifests: &Path) -> Self {
        Self::following_within(manifests, Limits::default())
    }

    /// The same, whose store takes no more than this.
    pub fn following_within(manifests: &Path, limits: Limits) -> Self {
        let followed = Some(manifests.to_owned());
        Self::begin(Beginning { limits, followed, ..Beginning::default() })
    }

    /// An agent whose predecessor committed something and lost its state.
    pub fn holding() -> Self {
        Self::begin(Beginning { tables: held_tables(), ..Beginning::default() })
    }

    /// The same as [`Self::following`], with a predecessor as that of [`Self::holding`].
    pub fn holding_and_following(manifests: &Path) -> Self {
        let followed = Some(manifests.to_owned());
        Self::begin(Beginning { tables: held_tables(), followed, ..Beginning::default() })
    }

    /// Ends it, and starts one that follows a directory, as after a reboot.
    pub fn rebooted(self, manifests: &Path) -> Self {
        let saved = self.saved.lock().unwrap().clone();
        let followed = Some(manifests.to_owned());
        Self::begin(Beginning { saved, followed, ..Beginning::default() })
    }

    fn begin(Beginning { tables, saved, limits, followed }: Beginning) -> Self {
        let saving = Arc::new(Mutex::new(None));
        let save = Arc::clone(&saving);
        let parts = Parts {
            node: NODE.into(),
            limits,
            compiler: Box::new(Compiler::new(NODE.into(), compile::Limits::default())),
            dataplane: Box::new(Shown(tables)),
            save: Box::new(Kept(save)),
        };
        let mut store = Store::start(parts, saved);
        if followed.is_some() {
            store.await_snapshot(manifests::OWNER);
        }
        let (handle, _store) = store::spawn(store).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let listener = {
            let _context = runtime.enter();
            UnixListener::bind(directory.path().join(SOCKET)).unwrap()
        };
        if let Some(followed) = followed {
            runtime.spawn(manifests::run(followed, Options::default(), handle.clone()));
        }
        let options = grpc::Options::default();
        runtime.spawn(grpc::serve(listener, handle, options, std::future::pending()));
        Self { directory, saved: saving, _runtime: runtime }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    /// A directory for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        zonegate_at(&self.socket(), arguments)
    }

    /// Applies a manifest from standard input.
    pub fn apply(&self, manifest: &str, flags: &[&str]) -> Run {
        zonegate_with(&self.socket(), &[&["apply", "-f", "-"], flags].concat(), manifest)
    }

    /// Runs a command until what it prints is as wanted.
    #[track_caller]
    pub fn until(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let latest = Instant::now() + PATIENCE;
        loop {
            let said = self.run(arguments).success();
            if wanted(&said) {
                return said;
            }
            assert!(Instant::now() < latest, "{arguments:?} goes on saying {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything of a kind, as `apply` reads it.
    pub fn yaml(&self, kind: &str) -> String {
        self.run(&["get", kind, "-o", "yaml"]).success()
    }
}

/// Saves for the next agent of the same test.
struct Kept(Arc<Mutex<Option<State>>>);

impl Save for Kept {
    fn save(&mut self, state: &State, _: Option<&Change>) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(state.clone());
        Ok(())
    }
}

/// As an earlier agent left them.
fn held_tables() -> MemoryTables {
    let mut tables = MemoryTables::new();
    tables.commit((&Image::default()).into(), Stamp { lineage: 7, revision: 3 }).unwrap();
    tables
}

/// Tables in memory, with something to show of the kernel.
struct Shown(MemoryTables);

impl Dataplane for Shown {
    fn commit(&mut self, compiled: Compiled<'_>, stamp: Stamp) -> Result<Instant, CommitError> {
        self.0.commit(compiled, stamp)
    }

    fn held(&self) -> Option<(Image, Stamp)> {
        self.0.held()
    }

    fn flows(&self, limit: usize) -> Vec<Flow> {
        let flow = |port: u16, reply| Flow {
            protocol: 6,
            source: ([10, 0, 0, 1], port).into(),
            destination: "[2001:db8::1]:80".parse().unwrap(),
            translated_source: ([10, 0, 0, 1], port).into(),
            translated_destination: "[2001:db8::7]:8080".parse().unwrap(),
            reply,
            service: 1,
            backend: 2,
            idle: Duration::from_millis(1500),
            packets: 12,
            bytes: 3456,
            handshake: None,
        };
        [flow(4001, false), flow(4002, true)].into_iter().take(limit).collect()
    }

    /// Of the first service, the same each time: from node-a and from outside. Two connections of
    /// the first were timed.
    fn take_carried(&self) -> HashMap<Conversation, Counts> {
        let carried = [
            ("192.0.2.1", "10.0.0.1:8080", 60),
            ("192.0.2.1", "10.0.0.2:8080", 30),
            ("203.0.113.9", "10.0.0.2:8080", 10),
        ];
        let carried = carried.map(|(client, backend, bytes)| {
            let (client, backend) = (client.parse().unwrap(), backend.parse().unwrap());
            let mut handshakes = Handshakes::default();
            let times: &[u64] = if bytes == 60 { &[200, 1400] } else { &[] };
            for time in times {
                handshakes.record(Duration::from_micros(*time));
            }
            let counts =
                Counts { packets: 1, bytes, reply_packets: 2, reply_bytes: bytes, handshakes };
            (Conversation { service: 1, client, backend }, counts)
        });
        carried.into()
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "policy_ingress", drop: true, packets: 41 },
            Counter { name: "martian", drop: true, packets: 0 },
            Counter { name: "established", drop: false, packets: 1042 },
        ]
    }

    fn fill(&self) -> Vec<Fill> {
        vec![Fill { table: "zg8_slots", used: 50, capacity: 200 }]
    }

    fn attachments(&self) -> Vec<Attachment> {
        vec![Attachment { interface: "uplink0".into(), hook: "xdp-native" }]
    }
}

/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
const SOCKET: &str = "zonegate.sock";
