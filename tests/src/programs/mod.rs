//! The kernel programs, run on single packets by `BPF_PROG_TEST_RUN`, beside their host build.
//!
//! A [`Node`] has the tables of one compiled world, twice: in the kernel's maps, filled by the
//! agent's own commits, and in memory. Every packet of a [`Case`] goes through both; verdict,
//! counters and the packet that comes out have to be what the case says, and the same.
//!
//! A [`StandIn`] runs the kernel's programs alone, with the tables of any cluster's nodes; a
//! [`Contest`] runs them on two processors at once.
//!
//! What a test run cannot show: where a redirect leads, partial checksums, frames below 14 bytes.

mod case;
mod contest;
mod kernel;
mod node;
mod pins;
mod run;
mod stand_in;
mod verdict;
mod world;

pub use self::{
    case::Case,
    contest::{Contest, Tally},
    node::Node,
    pins::Pins,
    stand_in::StandIn,
    world::{Places, Worlds, admit, backend, service},
};
