//! The ZoneGate agent as a library: sources send transactions to one store, which compiles them
//! into an [`image::Image`] and has the maps hold it.

pub mod apiserver;
pub mod bench;
pub mod check;
pub mod cli;
pub mod compile;
pub mod config;
pub mod dataplane;
pub mod documents;
pub mod draft;
mod few;
pub mod grpc;
pub mod handshakes;
pub mod health_checks;
pub mod image;
pub mod kube_proxy;
pub mod kubernetes;
pub mod loader;
pub mod manifests;
pub mod maps;
pub mod model;
pub mod netlink;
pub mod refusal;
pub mod runtime;
pub mod simulate;
pub mod source;
pub mod source_problem;
pub mod state;
pub mod store;
