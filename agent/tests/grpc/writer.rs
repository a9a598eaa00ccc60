//! The client's side of a Sync stream.

use proto::v1::{
    self, Chunk, EndOfSnapshot, Hello, InventoryEntry, Resource, ResourceKey, SyncMode,
    SyncRequest, Welcome, dataplane_client::DataplaneClient, sync_request, sync_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::node::Node;

pub struct Writer {
    pub welcome: Welcome,
    /// The pages of the inventory.
    pub pages: Vec<Vec<InventoryEntry>>,
    requests: mpsc::Sender<SyncRequest>,
    answers: Streaming<v1::SyncResponse>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Ack(v1::Ack),
    Nack(v1::Nack),
}

impl Answer {
    pub fn nonce(&self) -> u64 {
        match self {
            Self::Ack(ack) => ack.nonce,
            Self::Nack(nack) => nack.nonce,
        }
    }

    pub fn revision(&self) -> u64 {
        match self {
            Self::Ack(ack) => ack.revision,
            Self::Nack(nack) => panic!("refused: {nack:?}"),
        }
    }
}

pub fn replace(owner: &str, writer_epoch: u64) -> Hello {
    Hello {
        owner: owner.into(),
        writer_epoch,
        mode: SyncMode::Replace.into(),
        ..Default::default()
    }
}

/// Goes on from a Welcome's history.
pub fn resume(owner: &str, writer_epoch: u64, welcome: &Welcome, revision: u64) -> Hello {
    Hello {
        owner: owner.into(),
        writer_epoch,
        mode: SyncMode::Resume.into(),
        lineage: welcome.lineage.clone(),
        last_acked_revision: revision,
    }
}

pub fn chunk(nonce: u64, index: u32, upserts: Vec<Resource>, last: bool) -> Chunk {
    Chunk { nonce, index, upserts, removes: Vec::new(), last }
}

impl Writer {
    pub async fn open(node: &Node, hello: Hello) -> Result<Self, Status> {
        Self::open_on(node.channel(), hello).await
    }

    pub async fn open_on(channel: Channel, hello: Hello) -> Result<Self, Status> {
        let (requests, outgoing) = mpsc::channel(16);
        let hello = SyncRequest { message: Some(sync_request::Message::Hello(hello)) };
        requests.send(hello).await.unwrap();
        let stream = ReceiverStream::new(outgoing);
        let mut answers = DataplaneClient::new(channel).sync(stream).await?.into_inner();
        let Some(sync_response::Message::Welcome(welcome)) = receive(&mut answers).await? else {
            panic!("the first message is a Welcome")
        };
        let mut pages = Vec::new();
        loop {
            let Some(sync_response::Message::Inventory(page)) = receive(&mut answers).await? else {
                panic!("an Inventory follows")
            };
            pages.push(page.entries);
            if page.last {
                return Ok(Self { welcome, pages, requests, answers });
            }
        }
    }

    /// A writer that has sent its snapshot.
    pub async fn with_snapshot(node: &Node, hello: Hello, upserts: Vec<Resource>) -> Self {
        let mut writer = Self::open(node, hello).await.unwrap();
        let answer = writer.snapshot(0, upserts).await.unwrap();
        assert!(matches!(answer, Answer::Ack(_)), "{answer:?}");
        writer
    }

    pub async fn send_chunk(&self, chunk: Chunk) {
        self.send(sync_request::Message::Chunk(chunk)).await;
    }

    pub async fn end_snapshot(&self, nonce: u64) {
        self.send(sync_request::Message::EndOfSnapshot(EndOfSnapshot { nonce })).await;
    }

    pub async fn snapshot(&mut self, nonce: u64, upserts: Vec<Resource>) -> Result<Answer, Status> {
        self.send_chunk(chunk(nonce, 0, upserts, false)).await;
        self.end_snapshot(nonce).await;
        self.answer().await
    }

    pub async fn delta(
        &mut self,
        nonce: u64,
        upserts: Vec<Resource>,
        removes: Vec<ResourceKey>,
    ) -> Result<Answer, Status> {
        self.send_chunk(Chunk { nonce, index: 0, upserts, removes, last: true }).await;
        self.answer().await
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Result<Answer, Status> {
        match receive(&mut self.answers).await? {
            Some(sync_response::Message::Ack(ack)) => Ok(Answer::Ack(ack)),
            Some(sync_response::Message::Nack(nack)) => Ok(Answer::Nack(nack)),
            other => panic!("an answer was expected, not {other:?}"),
        }
    }

    async fn send(&self, message: sync_request::Message) {
        // The server may have ended the stream; the next answer says why.
        let _ = self.requests.send(SyncRequest { message: Some(message) }).await;
    }
}

async fn receive(
    answers: &mut Streaming<v1::SyncResponse>,
) -> Result<Option<sync_response::Message>, Status> {
    Ok(answers.message().await?.and_then(|response| response.message))
}
