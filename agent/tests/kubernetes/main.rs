//! Kubernetes objects and what becomes of them, by the public API: tables of policies and their
//! translation, services and their slices, objects that cannot be used, changes in any order, and
//! what becomes of connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changes;
mod cluster_policy;
mod connections;
mod host_ports;
mod named_ports;
mod network_policy;
mod objects;
mod order;
mod sample;
mod services;
mod slices;
mod unusable;
mod world;
