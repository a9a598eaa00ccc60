//! The maps: what packets read, as the agent writes and reads it.
//!
//! [`commit`] brings the sided tables from one image to the next without any packet seeing a
//! mixture; it knows nothing of the kernel and works on any [`Backing`]: [`KernelTables`] in
//! pinned maps, [`MemoryTables`] in memory, for tests of what is above. Tables that follow the
//! kernel's state rather than commits (next hops, ports, flows, counters) have a file each.
//! Creating and pinning maps is the loader's business.

mod accounts;
mod backing;
mod commit;
mod counters;
mod error;
mod flows;
mod grace;
mod jiffies;
mod kernel;
mod keyed;
mod mapping;
mod memory;
mod next_hops;
mod peers;
mod ports;
mod tables;

pub use accounts::Accounts;
pub use backing::{Backing, Field};
pub use commit::Tables;
pub use counters::Counters;
pub use error::MapError;
pub use flows::FlowTables;
pub use grace::GracePeriod;
pub use jiffies::Jiffies;
pub use kernel::{ControlRecord, KernelMaps};
pub use keyed::{Entries, Keyed};
pub use mapping::Mapping;
pub use memory::MemoryTables;
pub use next_hops::NextHops;
pub use peers::{Connected, Peers};
pub use ports::Ports;
pub use tables::{Follower, KernelTables};
