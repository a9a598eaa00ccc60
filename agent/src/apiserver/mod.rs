//! A live kube-apiserver as a source of resources.
//!
//! - [`client`] finds the apiserver and says who asks, [`kinds`] what is asked for;
//! - [`follow`] lists and watches one kind, and goes on through whatever becomes of the apiserver;
//! - [`mirror`] keeps what the kinds say together, and has what changed translated. It does no I/O;
//! - [`source`] tells the store, and [`explain`] people what is wrong;
//! - [`announce`] tells the cluster by [`events`] and [`conditions`] what became of its objects, for
//!   which [`seen`] is kept of each, and [`node_status`] that the node is ready.
//!
//! Objects are reduced to what matters here (`kubernetes::Object`) as they come in; nothing keeps
//! them whole. The owner of the resources is [`OWNER`]. Once every kind was listed, a snapshot
//! replaces what the owner held; after that, what changes within a few milliseconds is one
//! transaction. What an apiserver said last holds for as long as it does not say otherwise.

mod announce;
mod client;
mod conditions;
mod events;
mod explain;
mod follow;
mod kinds;
mod mirror;
mod node_status;
mod seen;
mod source;

pub use client::{ClientError, connect};
pub use mirror::{Mirror, News, What};
pub use seen::{Condition, Read, Seen};
pub use source::run;

/// The owner of what the apiserver holds, and the source's name in the node's status.
pub const OWNER: &str = "kubernetes";
