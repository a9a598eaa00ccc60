//! `zonegate.v1.Dataplane`: single requests here, streams in [`super::sync`].

use prost::Message;
use proto::v1::{self, dataplane_server::Dataplane, resource_key};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Options, PAGE_BYTES, key, staging::Staged, sync::Stream, to_proto};
use crate::{
    model::Key,
    store::{Handle, Query},
};

pub(super) struct Service {
    handle: Handle,
    options: Options,
    stopping: watch::Receiver<bool>,
}

impl Service {
    pub(super) fn new(handle: Handle, options: Options, stopping: watch::Receiver<bool>) -> Self {
        Self { handle, options, stopping }
    }
}

#[tonic::async_trait]
impl Dataplane for Service {
    type SyncStream = ReceiverStream<Result<v1::SyncResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (answers, answered) = mpsc::channel(ANSWERS);
        let stream = Stream::new(
            self.handle.clone(),
            self.options.clone(),
            request.into_inner(),
            answers,
            self.stopping.clone(),
        );
        tokio::spawn(stream.run());
        Ok(Response::new(ReceiverStream::new(answered)))
    }

    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let v1::ApplyRequest { owner, writer_epoch, upserts, removes, validate_only } =
            request.into_inner();
        check_owner(&owner)?;
        let mut staged = Staged::default();
        staged.add(upserts, removes);
        let (content, _) = staged.finish(false);
        let answer = if validate_only {
            self.handle.validate(owner, writer_epoch, content).await?
        } else {
            self.handle.apply(owner, writer_epoch, content).await?
        };
        Ok(Response::new(to_proto::answer(&answer?)))
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        let asked = request.into_inner().key.ok_or_else(|| invalid("key", "is not set"))?;
        let key = key::from_proto(asked).map_err(|error| invalid("key.kind", error))?;
        let held = self.handle.get(key.clone()).await?;
        let held = held.ok_or_else(|| Status::not_found(format!("there is no {key}")))?;
        Ok(Response::new(v1::GetResponse { held: Some(to_proto::held(&held)) }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        let page = self.handle.list(query(request.into_inner())?).await?;
        let mut bytes = 0;
        let mut resources: Vec<_> = page.resources.iter().map(to_proto::held).collect();
        let fitting = resources
            .iter()
            .take_while(|held| {
                bytes += held.encoded_len();
                bytes <= PAGE_BYTES
            })
            .count()
            .max(1);
        let more = page.more || resources.len() > fitting;
        resources.truncate(fitting);
        let last = page.resources.get(..resources.len()).and_then(<[_]>::last);
        let next_page_token = match last {
            Some(last) if more => page_token(&last.resource.key()),
            _ => String::new(),
        };
        Ok(Response::new(v1::ListResponse { resources, next_page_token }))
    }
}

/// An owner's name is as long as any.
pub(super) fn check_owner(owner: &str) -> Result<(), Status> {
    if (1..=OWNER_BYTES).contains(&owner.len()) {
        Ok(())
    } else {
        Err(invalid("owner", format!("has {} bytes, not 1 to {OWNER_BYTES}", owner.len())))
    }
}

pub(super) fn invalid(field: &str, reason: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {reason}"))
}

fn query(request: v1::ListRequest) -> Result<Query, Status> {
    let kind = match request.kind {
        unspecified if unspecified == i32::from(resource_key::Kind::Unspecified) => None,
        number => Some(key::kind(number).map_err(|error| invalid("kind", error))?),
    };
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(from_page_token(token).ok_or_else(|| invalid("page_token", "is not one"))?),
    };
    let limit = match request.page_size {
        0 => PAGE_RESOURCES,
        size => PAGE_RESOURCES.min(size as usize),
    };
    let owner = Some(request.owner).filter(|owner| !owner.is_empty());
    Ok(Query { kind, owner, after, limit })
}

/// The key of the last resource of the page before.
fn page_token(key: &Key) -> String {
    format!("{}/{}", i32::from(key::kind_to_proto(key.kind)), key.name)
}

fn from_page_token(token: &str) -> Option<Key> {
    let (kind, name) = token.split_once('/')?;
    let kind = key::kind(kind.parse().ok()?).ok()?;
    Some(Key { kind, name: name.to_owned() })
}

const OWNER_BYTES: usize = 253;
const PAGE_RESOURCES: usize = 500;
/// Answers that wait for a client to read them before its stream is read on.
const ANSWERS: usize = 16;
