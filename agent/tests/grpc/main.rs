//! The gRPC server with a real client over a Unix socket, the real store and compiler, and
//! tables in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connection;
mod node;
mod reads;
mod refusals;
mod resources;
mod restart;
mod snapshots;
mod tables;
mod transactions;
mod writer;
mod writers;
