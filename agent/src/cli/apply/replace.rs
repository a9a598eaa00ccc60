//! A snapshot over `Sync`: the only transaction that removes what it does not name.

use futures::stream;
use prost::Message;
use proto::v1::{
    Chunk, EndOfSnapshot, Hello, Resource, SyncMode, SyncRequest, apply_response::Answer,
    sync_request, sync_response,
};

use super::Writer;
use crate::cli::{client::Client, error::CliError};

/// Replaces everything the owner holds with `upserts`.
pub async fn replace(
    client: &Client,
    writer: &Writer,
    upserts: Vec<Resource>,
) -> Result<Answer, CliError> {
    let requests = stream::iter(requests(writer, upserts));
    // The stream stays open until the answer is there: its end would forget the snapshot.
    let requests = futures::StreamExt::chain(requests, stream::pending());
    let mut answers = client
        .dataplane()
        .sync(requests)
        .await
        .map_err(|status| client.failed(status))?
        .into_inner();
    loop {
        let answer = answers.message().await.map_err(|status| client.failed(status))?;
        let answer = answer.ok_or(CliError::Protocol("it ended too early"))?;
        match answer.message {
            Some(sync_response::Message::Ack(ack)) => return Ok(Answer::Ack(ack)),
            Some(sync_response::Message::Nack(nack)) => return Ok(Answer::Nack(nack)),
            Some(sync_response::Message::Welcome(_) | sync_response::Message::Inventory(_)) => {}
            None => return Err(CliError::Protocol("it is empty")),
        }
    }
}

fn requests(writer: &Writer, upserts: Vec<Resource>) -> Vec<SyncRequest> {
    // Agents remember nonces: each run of the command is a transaction of its own.
    let nonce = rand::random();
    let hello = Hello {
        owner: writer.owner.clone(),
        writer_epoch: writer.writer_epoch,
        mode: SyncMode::Replace.into(),
        ..Hello::default()
    };
    let chunks = chunks(upserts).into_iter().zip(0..).map(|(upserts, index)| {
        let chunk = Chunk { nonce, index, upserts, removes: Vec::new(), last: false };
        sync_request::Message::Chunk(chunk)
    });
    [sync_request::Message::Hello(hello)]
        .into_iter()
        .chain(chunks)
        .chain([sync_request::Message::EndOfSnapshot(EndOfSnapshot { nonce })])
        .map(|message| SyncRequest { message: Some(message) })
        .collect()
}

/// Runs of resources whose messages stay below gRPC's usual limit of 4 MiB, unless a single
/// resource is larger.
fn chunks(upserts: Vec<Resource>) -> Vec<Vec<Resource>> {
    let mut chunks: Vec<Vec<Resource>> = Vec::new();
    let mut size = 0;
    for resource in upserts {
        let length = resource.encoded_len();
        match chunks.last_mut() {
            Some(chunk) if size + length <= CHUNK_BYTES => chunk.push(resource),
            _ => {
                chunks.push(vec![resource]);
                size = 0;
            }
        }
        size += length;
    }
    chunks
}

const CHUNK_BYTES: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use proto::v1::{Node, resource::Kind};

    use super::*;

    fn node(name_bytes: usize) -> Resource {
        let node = Node { name: "n".repeat(name_bytes), ..Node::default() };
        Resource { kind: Some(Kind::Node(node)) }
    }

    #[test]
    fn chunks_stay_below_the_limit_and_lose_nothing() {
        for (sizes, expected) in [
            (&[][..], &[][..]),
            (&[10, 10], &[2]),
            (&[CHUNK_BYTES * 2], &[1]),
            (&[CHUNK_BYTES / 2, CHUNK_BYTES / 3, CHUNK_BYTES / 2, 10], &[2, 2]),
            (&[10, CHUNK_BYTES, 10], &[1, 1, 1]),
        ] {
            let chunks = chunks(sizes.iter().map(|size| node(*size)).collect());
            let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
            assert_eq!(lengths, expected, "{sizes:?}");
        }
    }
}
