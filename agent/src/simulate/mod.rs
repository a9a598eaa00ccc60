//! A node in memory: the real `datapath` over the tables of one [`Image`], without a kernel.
//!
//! What a simulated node says of a packet is what the programs would say of the same bytes under
//! the same tables: offline checks and tests rest on that, and a kernel test holds the two
//! against each other.

mod frame;
mod tables;

use datapath::{Family, Hook, V4, V6, Verdict, Work, fast, slow};

pub use frame::Frame;
pub use tables::SimulatedTables;

/// Sends a frame through a hook of the node with these tables. `interface` is the index of the
/// interface that the hook is on; of a workload's port it is [`SimulatedTables::interface`].
pub fn send(tables: &SimulatedTables, hook: Hook, interface: u32, frame: &mut Frame) -> Verdict {
    match fast(hook, interface, frame, tables) {
        (Verdict::Miss, Some(Family::V4)) => {
            slow::<V4, _, _>(hook, interface, frame, &mut Work::default(), tables)
        }
        (Verdict::Miss, Some(Family::V6)) => {
            slow::<V6, _, _>(hook, interface, frame, &mut Work::default(), tables)
        }
        (verdict, _) => verdict,
    }
}
