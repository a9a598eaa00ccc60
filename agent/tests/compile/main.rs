//! The compiler against an independent reading of the semantics: random worlds are compiled, and
//! what the tables answer, looked up as the datapath does, is compared with what an evaluator
//! that knows nothing of classes and rows says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changes;
mod host_ports;
mod incremental;
mod limits;
mod lookup;
mod naive;
mod offers;
mod oracle;
mod services;
mod sockets;
mod spill;
mod verdicts;
mod world;
