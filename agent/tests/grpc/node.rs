//! An agent without a kernel: server and store over [`Tables`], saving into memory.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use proto::v1::{
    self, apply_response::Answer, dataplane_client::DataplaneClient, observe_client::ObserveClient,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use zonegate::{
    compile::{self, Compiler},
    grpc::{self, Options},
    store::{self, Change, Limits, Parts, Save, State, Store},
};

use crate::tables::Tables;

pub const NODE: &str = "node-a";

pub struct Node {
    pub tables: Tables,
    pub disk: Disk,
    directory: tempfile::TempDir,
    channel: Channel,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), grpc::ServeError>>,
    store: thread::JoinHandle<()>,
}

/// Where the state is saved.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Saved>>);

#[derive(Default)]
struct Saved {
    state: Option<Vec<u8>>,
    changes: Vec<Vec<u8>>,
    full: bool,
}

impl Disk {
    pub fn fill(&self) {
        self.0.lock().unwrap().full = true;
    }

    pub fn erase(&self) {
        self.0.lock().unwrap().state = None;
        self.0.lock().unwrap().changes.clear();
    }

    fn load(&self) -> Option<State> {
        let saved = self.0.lock().unwrap();
        let mut state = grpc::decode_state(saved.state.as_ref()?).unwrap();
        for change in &saved.changes {
            grpc::decode_change(change, &mut state).unwrap();
        }
        Some(state)
    }
}

impl Save for Disk {
    fn save(&mut self, state: &State, change: Option<&Change>) -> io::Result<()> {
        let mut saved = self.0.lock().unwrap();
        if saved.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(change) = change {
            saved.changes.push(grpc::encode_change(state, change));
        } else {
            saved.state = Some(grpc::encode_state(state));
            saved.changes.clear();
        }
        Ok(())
    }
}

impl Node {
    /// A node on which nothing ever ran.
    pub async fn fresh() -> Self {
        Self::with(Options::default(), Limits::default()).await
    }

    pub async fn with(options: Options, limits: Limits) -> Self {
        Self::start(options, limits, Tables::default(), Disk::default()).await
    }

    pub async fn start(options: Options, limits: Limits, tables: Tables, disk: Disk) -> Self {
        let save = disk.clone();
        let parts = Parts {
            node: NODE.into(),
            limits,
            compiler: Box::new(Compiler::new(NODE.into(), compile::Limits::default())),
            dataplane: Box::new(tables.clone()),
            save: Box::new(save),
        };
        let (handle, store) = store::spawn(Store::start(parts, disk.load())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let server = tokio::spawn(grpc::serve(listener, handle, options, shutdown));
        let channel = connect(directory.path().join(SOCKET)).await;
        Self { tables, disk, directory, channel, stop, server, store }
    }

    /// Stops this agent and starts the next one over what it leaves behind.
    pub async fn restart(self) -> Self {
        let Self { tables, disk, channel, stop, server, store, .. } = self;
        drop(channel);
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| store.join().unwrap()).await.unwrap();
        Self::start(Options::default(), Limits::default(), tables, disk).await
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection of its own.
    pub async fn another_channel(&self) -> Channel {
        connect(self.socket()).await
    }

    pub fn dataplane(&self) -> DataplaneClient<Channel> {
        DataplaneClient::new(self.channel())
    }

    pub async fn status(&self) -> v1::GetStatusResponse {
        let request = v1::GetStatusRequest {};
        ObserveClient::new(self.channel()).get_status(request).await.unwrap().into_inner()
    }

    /// Waits until the status is as wanted: a server learns of a client's end in its own time.
    pub async fn wait_for(&self, wanted: impl Fn(&v1::GetStatusResponse) -> bool) {
        for _ in 0..200 {
            if wanted(&self.status().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the status is not as wanted: {:?}", self.status().await);
    }

    /// Applies upserts for an owner.
    pub async fn apply(&self, owner: &str, upserts: Vec<v1::Resource>) -> Result<Answer, Status> {
        let owner = owner.into();
        self.apply_request(v1::ApplyRequest { owner, upserts, ..Default::default() }).await
    }

    pub async fn apply_request(&self, request: v1::ApplyRequest) -> Result<Answer, Status> {
        let response = self.dataplane().apply(request).await?.into_inner();
        Ok(response.answer.expect("an answer is set"))
    }

    /// The names of all resources with their owners and revisions.
    pub async fn held(&self) -> Vec<(String, String, u64)> {
        let response = self.dataplane().list(v1::ListRequest::default()).await.unwrap();
        let entry = |held: v1::HeldResource| {
            (crate::resources::name(&held.resource.unwrap()), held.owner, held.revision)
        };
        response.into_inner().resources.into_iter().map(entry).collect()
    }

    /// Their names alone.
    pub async fn names(&self) -> Vec<String> {
        self.held().await.into_iter().map(|(name, ..)| name).collect()
    }
}

async fn connect(socket: PathBuf) -> Channel {
    Endpoint::from_static("http://zonegate")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .unwrap()
}

const SOCKET: &str = "zonegate.sock";
