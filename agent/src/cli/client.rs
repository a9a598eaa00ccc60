//! The connection to the agent.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use hyper_util::rt::TokioIo;
use proto::v1::{
    GetStatusRequest, HeldResource, ListRequest, dataplane_client::DataplaneClient,
    observe_client::ObserveClient, resource_key::Kind,
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::error::CliError;

/// A connected agent.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    channel: Channel,
}

impl Client {
    pub async fn connect(socket: &Path) -> Result<Self, CliError> {
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The name goes into a header that nobody reads: the socket's path says where to go.
        let channel = Endpoint::from_static("http://zonegate")
            .connect_with_connector(connector)
            .await
            .map_err(|error| CliError::Unreachable {
                socket: socket.to_owned(),
                reason: root_cause(&error),
            })?;
        Ok(Self { socket: socket.to_owned(), channel })
    }

    pub fn dataplane(&self) -> DataplaneClient<Channel> {
        DataplaneClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn observe(&self) -> ObserveClient<Channel> {
        ObserveClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// What a failed call means for the command.
    pub fn failed(&self, status: tonic::Status) -> CliError {
        CliError::from_status(status, &self.socket)
    }

    /// What a failed write means for the command.
    pub async fn write_failed(&self, status: tonic::Status) -> CliError {
        let refused = status.code() == tonic::Code::FailedPrecondition;
        let answer = self.observe().get_status(GetStatusRequest {}).await;
        match answer.map(tonic::Response::into_inner) {
            Ok(node) if refused && !node.ready => CliError::NotReady(Box::new(status)),
            _ => self.failed(status),
        }
    }

    /// All resources of a kind and owner; unspecified and empty mean all.
    pub async fn list(&self, kind: Kind, owner: &str) -> Result<Vec<HeldResource>, CliError> {
        let mut held = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListRequest {
                kind: kind.into(),
                owner: owner.to_owned(),
                page_size: 0,
                page_token,
            };
            let page = self
                .dataplane()
                .list(request)
                .await
                .map_err(|status| self.failed(status))?
                .into_inner();
            held.extend(page.resources);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(held);
            }
        }
    }
}

/// The innermost reason: what is around it says "transport error" and no more.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Above any page an agent sends: one resource may be large.
const MAX_MESSAGE: usize = 256 << 20;
