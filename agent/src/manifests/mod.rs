//! A directory of Kubernetes objects as a source of resources.
//!
//! - [`reading`] finds the objects in the documents of one text;
//! - [`directory`] keeps the last good objects of every file, and has what changed translated.
//!   Neither does I/O;
//! - [`scan`] reads the files, [`watch`] waits for them to change;
//! - [`source`] tells the store.
//!
//! The owner of the resources is [`OWNER`]. When the agent starts, a complete snapshot replaces
//! what the owner held; after that every consistent change is one transaction.

mod directory;
mod reading;
mod scan;
mod source;
mod watch;

pub use directory::{Contents, Directory};
pub use reading::{Fault, Found, LeftOut, Reading, read};
pub use scan::{check, names};
pub use source::run;

/// The owner of what the directory holds, and the source's name in the node's status.
pub const OWNER: &str = "manifests";
