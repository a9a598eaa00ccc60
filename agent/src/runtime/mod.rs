//! The agent: opens the datapath, restores what it knew, and serves until it is told to stop.
//!
//! Stopping leaves programs, links and maps in the kernel; packets flow on as the last commit
//! says, and the next agent adopts it all.

mod saver;
mod socket;

use std::{io, os::unix::net::UnixListener as StdListener, path::PathBuf, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::MissedTickBehavior,
};

pub use saver::Saver;
pub use socket::SocketError;

use crate::{
    apiserver,
    compile::Compiler,
    config::{Config, ConfigError},
    grpc,
    health_checks::{
        self,
        proxy_health::{self, Progress},
        proxy_mode,
    },
    kubernetes::Options,
    loader::{Kernel, LoadError},
    manifests,
    store::{self, Parts, Store},
};

/// Why the agent does not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Kernel(#[from] LoadError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("cannot use the state directory: {0}")]
    State(io::Error),
    #[error("cannot read the directory of manifests {path}: {source}")]
    Manifests { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Apiserver(#[from] apiserver::ClientError),
    #[error(transparent)]
    Serve(#[from] grpc::ServeError),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs the agent until it is told to stop.
pub fn run(config: Config) -> Result<(), RuntimeError> {
    config.check()?;
    let node = config.node_name()?;
    if let Some(path) = &config.manifests {
        manifests::check(path)
            .map_err(|source| RuntimeError::Manifests { path: path.clone(), source })?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let apiserver = match &config.kubernetes {
        Some(it) => Some(runtime.block_on(apiserver::connect(it.kubeconfig.as_deref()))?),
        None => None,
    };
    // Before anybody can see the socket: who sees it may send a signal.
    let stop = runtime.block_on(async { Stop::new() })?;
    // First, so that a second agent changes nothing before it is refused.
    let listener = socket::listen_on(&config.socket)?;
    let (saver, saved) = Saver::open(&config.state_dir).map_err(RuntimeError::State)?;
    let Kernel { tables, guard } = Kernel::open(&config.kernel)?;

    let compiler = Compiler::new(node.clone(), config.table_limits());
    let parts = Parts {
        compiler: Box::new(compiler.with_settings(config.services.settings())),
        node: node.clone(),
        limits: config.limits.clone(),
        dataplane: Box::new(tables),
        save: Box::new(saver),
    };
    let mut store = Store::start(parts, saved);
    if config.manifests.is_some() {
        store.await_snapshot(manifests::OWNER);
    }
    if apiserver.is_some() {
        store.await_snapshot(apiserver::OWNER);
    }
    let (handle, _store) = store::spawn(store)?;
    let options = Options { external_ip_ranges: config.services.external_ip_ranges };
    if let Some(path) = config.manifests {
        runtime.spawn(manifests::run(path, options, handle.clone()));
    } else if let (Some(client), Some(kubernetes)) = (apiserver, config.kubernetes) {
        let (progress, followed) = watch::channel(Progress::default());
        runtime.spawn(apiserver::run(client, node, options, handle.clone(), progress));
        if let Some(address) = kubernetes.healthz {
            runtime.spawn(proxy_health::run(address, handle.clone(), followed));
        }
        if let Some(address) = kubernetes.proxy_mode {
            runtime.spawn(proxy_mode::run(address, handle.clone()));
        }
    }
    let served = runtime.block_on(serve(listener, handle, stop));
    // Links and next hops are followed until nobody can ask for more.
    drop(guard);
    let _ = std::fs::remove_file(&config.socket);
    served
}

async fn serve(
    listener: StdListener,
    handle: store::Handle,
    mut stop: Stop,
) -> Result<(), RuntimeError> {
    let listener = UnixListener::from_std(listener)?;
    // Kept until the end, so that health checks are answered until then.
    let (ending, stopping) = watch::channel(false);
    let end = ending.clone();
    tokio::spawn(health_checks::run(handle.clone(), stopping));
    tokio::spawn(account(handle.clone()));
    tracing::info!("serving");
    notify(NotifyState::Ready);
    grpc::serve(listener, handle, grpc::Options::default(), async move {
        stop.wait().await;
        end.send_replace(true);
        tracing::info!("stopping; the datapath stays");
        notify(NotifyState::Stopping);
    })
    .await?;
    Ok(())
}

/// Has the store add up what services carry before their numbers mean something else.
async fn account(handle: store::Handle) {
    let mut ticks = tokio::time::interval(ACCOUNTING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if handle.account().await.is_err() {
            return;
        }
    }
}

/// Tells the service manager, if there is one (`NOTIFY_SOCKET`).
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The signals that end the agent.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const ACCOUNTING: Duration = Duration::from_secs(5);
