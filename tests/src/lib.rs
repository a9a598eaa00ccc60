//! The test bed: namespaces joined by veth, packets with named parts, captures, real traffic,
//! the real agent, and the kernel programs run on single packets.
//!
//! Start at [`bed::Bed::builder`], or at [`programs::Node`] for single packets. Everything here
//! cleans up after itself on drop, a panicking test included; what a killed run left behind is
//! removed by the next one ([`netns::sweep`]).
//! Namespaces, captures and traffic need root.

use std::io::{self, Write};

pub mod agent;
pub mod bed;
pub mod capture;
pub mod cases;
pub mod churn;
pub mod control_plane;
pub mod foreign;
pub mod netns;
pub mod packet;
pub mod programs;
pub mod tables;
pub mod traffic;
pub mod wait;
pub mod world;

mod names;

/// Prints what a test measured past the harness, which keeps to itself what passing tests print.
pub fn report(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
}
