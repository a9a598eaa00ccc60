//! `zonegate bench`: what packets and changes cost on this machine.
//!
//! `path` measures the programs alone, each packet in nanoseconds above an empty program, with
//! `BPF_PROG_TEST_RUN`: no interface, no traffic, nothing of a running agent is touched. The
//! method is in docs/performance.md. `generate` sends packets out of an interface that was named;
//! `wire` and `compare` send them through routers in namespaces, `scale` from all processors at once; `flood`
//! sends SYNs while real clients talk to a server through the agent's node. `control` measures the agent: what
//! a change of the cluster takes from an object to the tables; `services` what many services take.
//! `kubernetes` has the agent and kube-proxy follow a real apiserver, side by side.
//! `check` compares short runs with what they were when they were committed.
//! `zones` simulates how clients and backends in zones find each other; it needs no kernel.

mod bystanders;
mod check;
mod compare;
mod control;
mod crowded;
mod error;
mod flood;
mod flows;
mod frame;
mod generate;
mod kubernetes;
mod machine;
mod node;
mod options;
mod path;
mod plot;
mod print;
mod process;
mod report;
mod runner;
mod scale;
mod scenario;
mod services;
mod statistics;
mod stopwatch;
mod store;
mod way;
mod wire;
mod world;
mod zones;

pub use check::{CheckOptions, run as check};
pub use compare::run as compare;
pub use control::{ControlOptions, run as control};
pub use error::BenchError;
pub use flood::{FloodOptions, run as flood};
pub use generate::{GenerateError, GenerateOptions, run as generate};
pub use kubernetes::{ClusterError, KubernetesOptions, run as kubernetes};
pub use options::{Output, PathOptions};
pub use path::run as path;
pub use scale::{ScaleOptions, run as scale};
pub use services::{ServicesOptions, run as services};
pub use wire::{CompareOptions, WireError, WireOptions, run as wire};
pub use zones::{ZonesOptions, run as zones};
