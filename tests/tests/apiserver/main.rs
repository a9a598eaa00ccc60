//! A node that follows a real kube-apiserver, with exactly the rights of `deploy/kubernetes`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod following;
mod telling;
