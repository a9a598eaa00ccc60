//! The gRPC server: translates between the API and the [store](crate::store).
//!
//! This is the only module that knows generated message types. It owns translation with field
//! paths, staging of streamed transactions, paging, and who may connect; what is right or wrong
//! about a transaction is the store's to say.

mod dataplane;
mod from_proto;
mod health;
mod key;
mod observe;
mod offers;
mod peer;
mod problems;
mod rule;
mod saved;
mod service;
mod staging;
mod status;
mod sync;
mod to_proto;

use std::time::Duration;

use futures::FutureExt;
use proto::v1::{dataplane_server::DataplaneServer, observe_server::ObserveServer};
use tokio::{net::UnixListener, sync::watch};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{service::InterceptorLayer, transport::Server};

pub use from_proto::resource;
pub use key::{KindError, from_proto as key_from_proto};
pub use saved::{DecodeStateError, decode_change, decode_state, encode_change, encode_state};
pub use to_proto::resource as resource_to_proto;

use crate::store::Handle;

/// What resources may list in `required_features`. All that the first version of the API can
/// say is known to every agent and needs no name.
pub const FEATURES: &[&str] = &[];

/// What clients are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The encoded size that an incomplete transaction of a stream may reach.
    pub max_staged_bytes: u64,
    /// How many unanswered transactions clients are advised to have.
    pub max_inflight: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_staged_bytes: 64 << 20, max_inflight: 64 }
    }
}

/// Why the server could not be set up or stopped early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot describe the API for reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the gRPC server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("the store has ended")]
    Store,
}

/// Answers on `listener` until `shutdown` completes; streams then have a second to end.
///
/// Only root and the agent's own user are served, whoever may open the socket.
pub async fn serve(
    listener: UnixListener,
    handle: Handle,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (stop, stopping) = watch::channel(false);
    let shutdown = shutdown
        .then(move |()| async move {
            stop.send_replace(true);
        })
        .shared();

    let dataplane = dataplane::Service::new(handle.clone(), options, stopping);
    let (health, following) = health::service(handle.ready()).await;
    let server = Server::builder()
        .layer(InterceptorLayer::new(peer::check))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(
            DataplaneServer::new(dataplane)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
        )
        .add_service(
            ObserveServer::new(observe::Service::new(handle))
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
        )
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown.clone());

    tokio::select! {
        served = server => served?,
        () = shutdown.then(|()| tokio::time::sleep(GRACE)) => {}
        () = following => return Err(ServeError::Store),
    }
    Ok(())
}

/// Bytes of one message, either way.
const MAX_MESSAGE: usize = 4 << 20;
/// What a page of an answer should not exceed, so that its message does not.
const PAGE_BYTES: usize = MAX_MESSAGE / 2;
/// Of one connection.
const MAX_STREAMS: u32 = 64;
const GRACE: Duration = Duration::from_secs(1);
