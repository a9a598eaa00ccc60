//! The store's thread, and the way to it.

use std::{io, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Answer, Content, Digest, Greeting, HealthChecks, HeldResource, Limits, Mode, Page, Query,
    Readiness, SessionId, Status, Store, WriteError, ZoneTraffic,
};
use crate::{compile::Offer, dataplane::Flow, model::Key, source_problem::SourceProblem};

/// The store has ended: the agent is stopping, or has a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Gone;

/// A way to the store, cheap to clone. The store ends with its last handle.
///
/// The queue has no bound of its own: each caller waits for its answer, and callers are bounded
/// by the server's streams.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::UnboundedSender<Job>,
    ready: watch::Receiver<bool>,
    health_checks: watch::Receiver<HealthChecks>,
}

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Moves the store to a thread of its own: commits wait for the kernel.
pub fn spawn(mut store: Store) -> io::Result<(Handle, thread::JoinHandle<()>)> {
    let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
    let (ready_sender, ready) = watch::channel(store.is_ready());
    let (checks_sender, health_checks) = watch::channel(store.health_checks());
    let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
        while let Some(job) = queue.blocking_recv() {
            job(&mut store);
            ready_sender.send_if_modified(|ready| {
                let before = std::mem::replace(ready, store.is_ready());
                before != *ready
            });
            checks_sender.send_if_modified(|checks| {
                let before = std::mem::replace(checks, store.health_checks());
                !Arc::ptr_eq(&before, checks)
            });
        }
    })?;
    Ok((Handle { jobs, ready, health_checks }, thread))
}

impl Handle {
    /// See [`Store::open`].
    pub async fn open(
        &self,
        owner: String,
        epoch: u64,
        mode: Mode,
    ) -> Result<Result<Greeting, WriteError>, Gone> {
        self.ask(move |store| store.open(&owner, epoch, mode)).await
    }

    /// See [`Store::close`]. Does not wait.
    pub fn close(&self, session: SessionId) {
        // A store that is gone has no sessions.
        let _ = self.jobs.send(Box::new(move |store| store.close(session)));
    }

    /// See [`Store::submit`].
    pub async fn submit(
        &self,
        session: SessionId,
        nonce: u64,
        digest: Digest,
        snapshot: bool,
        content: Content,
    ) -> Result<Result<Answer, WriteError>, Gone> {
        self.ask(move |store| store.submit(session, nonce, digest, snapshot, content)).await
    }

    /// See [`Store::apply`].
    pub async fn apply(
        &self,
        owner: String,
        epoch: u64,
        content: Content,
    ) -> Result<Result<Answer, WriteError>, Gone> {
        self.ask(move |store| store.apply(&owner, epoch, content)).await
    }

    /// See [`Store::validate`].
    pub async fn validate(
        &self,
        owner: String,
        epoch: u64,
        content: Content,
    ) -> Result<Result<Answer, WriteError>, Gone> {
        self.ask(move |store| store.validate(&owner, epoch, content)).await
    }

    pub async fn get(&self, key: Key) -> Result<Option<HeldResource>, Gone> {
        self.ask(move |store| store.get(&key)).await
    }

    pub async fn list(&self, query: Query) -> Result<Page, Gone> {
        self.ask(move |store| store.list(&query)).await
    }

    pub async fn flows(&self, limit: usize) -> Result<Vec<Flow>, Gone> {
        self.ask(move |store| store.flows(limit)).await
    }

    /// See [`Store::offers`]; with the zone of this node.
    pub async fn offers(&self, service: String) -> Result<(Vec<Offer>, String), Gone> {
        self.ask(move |store| (store.offers(&service), store.zone().to_owned())).await
    }

    /// See [`Store::account`].
    pub async fn account(&self) -> Result<(), Gone> {
        self.ask(Store::account).await
    }

    /// See [`Store::zone_traffic`].
    pub async fn zone_traffic(&self, service: String) -> Result<Vec<ZoneTraffic>, Gone> {
        self.ask(move |store| store.zone_traffic(&service)).await
    }

    pub async fn status(&self) -> Result<Status, Gone> {
        self.ask(|store| store.status()).await
    }

    /// See [`Store::report`].
    pub async fn report(&self, source: String, problems: Vec<SourceProblem>) -> Result<(), Gone> {
        self.ask(move |store| store.report(&source, problems)).await
    }

    /// See [`Store::wait_for`].
    pub async fn wait_for(&self, source: String, missing: String) -> Result<(), Gone> {
        self.ask(move |store| store.wait_for(&source, missing)).await
    }

    pub async fn limits(&self) -> Result<Limits, Gone> {
        self.ask(|store| store.limits().clone()).await
    }

    /// Follows whether the node is ready.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Follows what load balancers ask this node for.
    pub fn health_checks(&self) -> watch::Receiver<HealthChecks> {
        self.health_checks.clone()
    }

    async fn ask<A: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> A + Send + 'static,
    ) -> Result<A, Gone> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // Whoever asked may have left; what was done stays done.
            let _ = answer.send(question(store));
        });
        self.jobs.send(job).map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

impl Store {
    fn is_ready(&self) -> bool {
        self.readiness() == Readiness::Ready
    }
}
