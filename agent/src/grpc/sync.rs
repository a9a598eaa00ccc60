//! One Sync stream: greets, stages chunks, has complete transactions applied in order.

use proto::v1::{self, sync_request, sync_response};
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::{
    FEATURES, Options,
    dataplane::{check_owner, invalid},
    key,
    staging::Staged,
    to_proto,
};
use crate::{
    dataplane::Stamp,
    model::Key,
    store::{Answer, Handle, Limits, Mode, Resumption, SessionId},
};

pub(super) struct Stream {
    handle: Handle,
    options: Options,
    requests: Streaming<v1::SyncRequest>,
    answers: mpsc::Sender<Result<v1::SyncResponse, Status>>,
    stopping: watch::Receiver<bool>,
}

impl Stream {
    pub(super) fn new(
        handle: Handle,
        options: Options,
        requests: Streaming<v1::SyncRequest>,
        answers: mpsc::Sender<Result<v1::SyncResponse, Status>>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { handle, options, requests, answers, stopping }
    }

    /// Serves until the client leaves, errs, or the server stops.
    pub(super) async fn run(mut self) {
        if let Err(status) = self.serve().await {
            // A client that has left needs no reason.
            let _ = self.answers.send(Err(status)).await;
        }
    }

    async fn serve(&mut self) -> Result<(), Status> {
        let hello = match self.next().await? {
            Some(sync_request::Message::Hello(hello)) => hello,
            Some(_) => return Err(invalid("message", "the first one must be Hello")),
            None => return Ok(()),
        };
        let session = self.greet(hello).await?;
        let mut staging: Option<Staging> = None;
        while let Some(message) = self.next().await? {
            match message {
                sync_request::Message::Hello(_) => {
                    return Err(invalid("message", "Hello may only come first"));
                }
                sync_request::Message::Chunk(chunk) => {
                    let (nonce, last) = (chunk.nonce, chunk.last);
                    let staged = self.stage(staging.take(), chunk)?;
                    if last {
                        self.submit(session.id, nonce, staged.content, false).await?;
                    } else {
                        staging = Some(staged);
                    }
                }
                sync_request::Message::EndOfSnapshot(v1::EndOfSnapshot { nonce }) => {
                    let staged = staging.take().unwrap_or_else(|| Staging::new(nonce));
                    staged.check_nonce(nonce)?;
                    if staged.removes {
                        return Err(invalid("chunk.removes", "a snapshot has none"));
                    }
                    self.submit(session.id, nonce, staged.content, true).await?;
                }
            }
        }
        Ok(())
    }

    /// The next message; `None` when the client has left or has no more to say.
    async fn next(&mut self) -> Result<Option<sync_request::Message>, Status> {
        let message = tokio::select! {
            message = self.requests.message() => message,
            () = self.answers.closed() => return Ok(None),
            _ = self.stopping.wait_for(|stopping| *stopping) => {
                return Err(Status::unavailable("the agent is stopping"));
            }
        };
        match message? {
            None => Ok(None),
            Some(v1::SyncRequest { message: Some(message) }) => Ok(Some(message)),
            Some(_) => Err(invalid("message", "none that this agent knows is set")),
        }
    }

    async fn greet(&self, hello: v1::Hello) -> Result<Session, Status> {
        check_owner(&hello.owner)?;
        let mode = mode(&hello)?;
        let greeting = self.handle.open(hello.owner, hello.writer_epoch, mode).await??;
        let session = Session { handle: self.handle.clone(), id: greeting.session };
        let limits = self.handle.limits().await?;
        let welcome = self.welcome(greeting.resumption, greeting.stamp, &limits);
        self.answer(sync_response::Message::Welcome(welcome)).await;
        for page in pages(&greeting.inventory) {
            self.answer(sync_response::Message::Inventory(page)).await;
        }
        Ok(session)
    }

    fn welcome(&self, resumption: Resumption, stamp: Stamp, limits: &Limits) -> v1::Welcome {
        let resumption = match resumption {
            Resumption::Resumed => v1::Resumption::Resumed,
            Resumption::SnapshotRequired => v1::Resumption::SnapshotRequired,
        };
        let limit =
            |(name, value): (&str, usize)| v1::Limit { name: name.to_owned(), value: value as u64 };
        v1::Welcome {
            resumption: resumption.into(),
            lineage: stamp.lineage.to_be_bytes().to_vec().into(),
            revision: stamp.revision,
            features: FEATURES.iter().map(|feature| (*feature).to_owned()).collect(),
            limits: limits.list().into_iter().map(limit).collect(),
            max_inflight: self.options.max_inflight,
            max_staged_bytes: self.options.max_staged_bytes,
        }
    }

    /// Adds a chunk to the transaction under way, or begins one with it.
    fn stage(&self, staging: Option<Staging>, chunk: v1::Chunk) -> Result<Staging, Status> {
        let mut staging = staging.unwrap_or_else(|| Staging::new(chunk.nonce));
        staging.check_nonce(chunk.nonce)?;
        if chunk.index != staging.chunks {
            let expected = staging.chunks;
            return Err(invalid("chunk.index", format!("is {}, not {expected}", chunk.index)));
        }
        staging.chunks += 1;
        staging.removes |= !chunk.removes.is_empty();
        staging.content.add(chunk.upserts, chunk.removes);
        let limit = self.options.max_staged_bytes;
        if staging.content.bytes() > limit {
            return Err(Status::resource_exhausted(format!(
                "transaction {} exceeds the limit max_staged_bytes of {limit}",
                staging.nonce
            )));
        }
        Ok(staging)
    }

    async fn submit(
        &self,
        session: SessionId,
        nonce: u64,
        staged: Staged,
        snapshot: bool,
    ) -> Result<(), Status> {
        let (content, digest) = staged.finish(snapshot);
        let answer = self.handle.submit(session, nonce, digest, snapshot, content).await??;
        self.answer(match answer {
            Answer::Accepted(accepted) => {
                sync_response::Message::Ack(to_proto::ack(nonce, &accepted))
            }
            Answer::Refused(refusals) => {
                sync_response::Message::Nack(to_proto::nack(nonce, &refusals))
            }
        })
        .await;
        Ok(())
    }

    async fn answer(&self, message: sync_response::Message) {
        // Whether the client still listens is for `next` to find out.
        let _ = self.answers.send(Ok(v1::SyncResponse { message: Some(message) })).await;
    }
}

/// Ends the store's session with the stream, however that ends.
struct Session {
    handle: Handle,
    id: SessionId,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.close(self.id);
    }
}

/// An incomplete transaction.
struct Staging {
    nonce: u64,
    chunks: u32,
    removes: bool,
    content: Staged,
}

impl Staging {
    fn new(nonce: u64) -> Self {
        Self { nonce, chunks: 0, removes: false, content: Staged::default() }
    }

    fn check_nonce(&self, nonce: u64) -> Result<(), Status> {
        if nonce == self.nonce {
            return Ok(());
        }
        Err(invalid("nonce", format!("is {nonce}, but transaction {} is incomplete", self.nonce)))
    }
}

fn mode(hello: &v1::Hello) -> Result<Mode, Status> {
    match v1::SyncMode::try_from(hello.mode) {
        Ok(v1::SyncMode::Replace) => Ok(Mode::Replace),
        Ok(v1::SyncMode::Resume) => Ok(Mode::Resume(Stamp {
            // What is no lineage is none of ours.
            lineage: hello.lineage.as_ref().try_into().map_or(0, u128::from_be_bytes),
            revision: hello.last_acked_revision,
        })),
        Ok(v1::SyncMode::Unspecified) => Err(invalid("hello.mode", "is not set")),
        Err(_) => Err(invalid("hello.mode", format!("value {} is not known", hello.mode))),
    }
}

/// The inventory in pages; one that is empty when there is nothing.
fn pages(inventory: &[(Key, u64)]) -> Vec<v1::Inventory> {
    let entry = |(key, revision): &(Key, u64)| v1::InventoryEntry {
        key: Some(key::to_proto(key)),
        revision: *revision,
    };
    let mut pages: Vec<_> = inventory
        .chunks(INVENTORY_PAGE)
        .map(|page| v1::Inventory { entries: page.iter().map(entry).collect(), last: false })
        .collect();
    if pages.is_empty() {
        pages.push(v1::Inventory::default());
    }
    if let Some(last) = pages.last_mut() {
        last.last = true;
    }
    pages
}

/// Entries in a page: with names of full length, well below a message's size.
const INVENTORY_PAGE: usize = 1_000;
