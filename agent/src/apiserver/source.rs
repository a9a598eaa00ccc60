//! The task that keeps the store told of what the apiserver holds.

use std::{convert::Infallible, mem, time::Duration};

use kube::Client;
use sd_notify::NotifyState;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Mirror, News, OWNER, Seen, announce::Announcer, follow::follow, mirror::plural, node_status,
};
use crate::{
    health_checks::proxy_health::Progress,
    kubernetes::{ObjectKind, Options},
    source::{Trouble, Writer},
    store::{Gone, Handle},
};

/// Keeps the store told until the store ends. Nothing that becomes of the apiserver ends it.
/// `node` is the name of the `Node` that is this machine; `progress` hears how far it has come.
pub async fn run(
    client: Client,
    node: String,
    options: Options,
    handle: Handle,
    progress: watch::Sender<Progress>,
) {
    let (heard, news) = mpsc::channel(QUEUE);
    for kind in ObjectKind::ALL {
        tokio::spawn(follow(client.clone(), kind, heard.clone()));
    }
    let mirror = Mirror::new(node.clone(), options);
    let (own, own_node) = watch::channel(None);
    let key = mirror.node().clone();
    tokio::spawn(node_status::run(client.clone(), key, own_node, handle.ready()));
    let source = Source {
        news,
        mirror,
        announcer: Announcer::start(client, node),
        own,
        writer: Writer::new(OWNER, handle.clone()),
        handle,
        progress,
        missing: None,
        refused: false,
    };
    let Err(Gone) = source.keep_told().await;
}

struct Source {
    news: mpsc::Receiver<News>,
    mirror: Mirror,
    announcer: Announcer,
    /// The agent's own node, for its status.
    own: watch::Sender<Option<Seen>>,
    writer: Writer,
    handle: Handle,
    progress: watch::Sender<Progress>,
    /// What the node was said to wait for last.
    missing: Option<String>,
    /// The store did not take the last transaction.
    refused: bool,
}

impl Source {
    async fn keep_told(mut self) -> Result<Infallible, Gone> {
        loop {
            let mut problems = Vec::new();
            match self.tell().await {
                Ok(()) => self.refused = false,
                Err(Trouble::Gone) => return Err(Gone),
                Err(Trouble::Told(more)) => {
                    self.refused = true;
                    problems.extend(more);
                }
            }
            problems.extend(self.mirror.problems());
            self.writer.report(problems).await?;
            self.hear().await?;
        }
    }

    /// Waits for news, and takes in with them what comes soon after.
    async fn hear(&mut self) -> Result<(), Gone> {
        let first = if self.refused {
            match timeout(RETRY, self.news.recv()).await {
                Ok(news) => news,
                Err(_) => return Ok(()),
            }
        } else {
            self.news.recv().await
        };
        // Kinds are followed for as long as somebody listens.
        self.mirror.take(first.ok_or(Gone)?);
        let latest = Instant::now() + GATHER;
        let silence = || latest.min(Instant::now() + SILENCE);
        while let Ok(Some(news)) = timeout_at(silence(), self.news.recv()).await {
            self.mirror.take(news);
        }
        Ok(())
    }

    /// Has the store hold what the apiserver says, once it has said everything.
    async fn tell(&mut self) -> Result<(), Trouble> {
        let eligible = !self.mirror.is_leaving();
        self.progress.send_modify(|progress| progress.eligible = eligible);
        self.own.send_if_modified(|own| {
            let before = mem::replace(own, self.mirror.own_node().cloned());
            before != *own
        });
        self.say_what_is_missing().await?;
        let Some(outcome) = self.mirror.translate() else { return Ok(()) };
        self.progress.send_modify(Progress::queued);
        self.announcer.look(&mut self.mirror);
        self.writer.add(outcome);
        self.writer.tell(|| self.mirror.resources()).await?;
        self.progress.send_modify(Progress::updated);
        Ok(())
    }

    async fn say_what_is_missing(&mut self) -> Result<(), Gone> {
        let missing: Vec<String> = self.mirror.missing().map(plural).collect();
        let missing = missing.join(", ");
        if self.missing.as_ref() == Some(&missing) {
            return Ok(());
        }
        let status = match missing.as_str() {
            "" => "following the apiserver".to_owned(),
            missing => format!("waiting for {missing}"),
        };
        if let Err(error) = sd_notify::notify(&[NotifyState::Status(&status)]) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
        tracing::info!("{status}");
        self.missing = Some(missing.clone());
        self.handle.wait_for(OWNER.to_owned(), missing).await
    }
}

/// How long the first of several changes waits for others to be committed with, so that a deployment's
/// slices and pods are one transaction.
const GATHER: Duration = Duration::from_millis(4);
/// After which none is expected: what a change that comes alone pays, and up to a millisecond more, as
/// timers are no finer.
const SILENCE: Duration = Duration::from_millis(1);
/// Until the store is asked again after it took nothing, where nothing changes.
const RETRY: Duration = Duration::from_secs(5);
/// News that nobody has read yet; beyond this, watches wait.
const QUEUE: usize = 1024;
