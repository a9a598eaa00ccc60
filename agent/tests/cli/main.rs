//! The real binary, as people and scripts see it: what it prints and how it ends. Needs neither
//! root nor a kernel; where an agent has to answer, it is the real server over tables in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod check;
mod documents;
mod generate;
mod manifests;
mod objects;
mod offline;
mod program;
mod reads;
mod server;
mod writes;
mod zones;
