//! Says who handles the node's services, where kube-proxy says in which mode it does
//! (`/proxyMode`, port 10249).

use std::net::SocketAddr;

use hyper::StatusCode;

use super::{answer::with_status, place::Place};
use crate::store::Handle;

/// What problems are reported under.
const SOURCE: &str = "proxy-mode";
const MODE: &str = "zonegate";

/// Answers until the store ends.
pub async fn run(address: SocketAddr, handle: Handle) {
    let place = Place {
        address,
        source: SOURCE,
        paths: "/proxyMode",
        without: "who asks for the mode gets no answer",
    };
    let answer = |path: &str| match path {
        "/proxyMode" => with_status(StatusCode::OK, MODE.to_owned()),
        _ => with_status(StatusCode::NOT_FOUND, String::new()),
    };
    place.keep_open(&handle, answer).await;
}
