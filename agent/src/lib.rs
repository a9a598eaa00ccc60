//! The ZoneGate agent as a library: sources send transactions to one store, which compiles them
//! into an [`image::Image`] and has the maps hold it.

pub mod compile;
pub mod dataplane;
pub mod grpc;
pub mod image;
pub mod model;
pub mod refusal;
pub mod store;
