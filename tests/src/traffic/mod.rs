//! Real traffic between hosts of a bed: HTTP, UDP and long-lived streams.
//!
//! Servers run on a thread in their host's namespace until they are dropped. Whatever they answer
//! says who they are and whom they saw, so that a test knows where a request went and from where
//! it seemed to come.

pub use self::{
    http::{HttpServer, http_get},
    identity::Reply,
    request_loop::{LoopReport, RequestLoop},
    stream::{LiveStream, StreamServer},
    transfer::Transfer,
    udp::{UdpServer, udp_exchange},
};

mod http;
mod identity;
mod request_loop;
mod server;
mod stream;
mod transfer;
mod udp;

/// How long a client waits for an answer before the request has failed.
pub const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
