//! The flow table: who talks to whom, what is rewritten, and until when.
//!
//! [`bucket`] is the concurrent set of four entries, over any [`crate::Word`]; [`entry`] gives the
//! words their meaning; [`table`] finds the bucket of a tuple and keeps pairs together.

pub mod bucket;
pub mod entry;
pub mod hash;
pub mod table;

pub use bucket::{Hit, Key};
pub use entry::{Flow, Looks, Rewrite};
pub use table::find;
