//! The kernel programs and their host build, packet by packet: tables of what goes in, the
//! verdict, and what comes out. Tests are named after the rows of hostile input that they prove.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod affinity;
mod audiences;
mod connections;
mod extensions;
mod fragments;
mod full;
mod handshakes;
mod icmp;
mod icmp_errors;
mod machinery;
mod parse;
mod policy;
mod reject;
mod sctp;
mod services;
mod tunnels;
