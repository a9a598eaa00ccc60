//! What ZoneGate decides about a packet, and nothing of where the packet or the tables live.
//!
//! The same code runs in the kernel's programs, in host tests and in offline checks: it is
//! generic over [`Packet`] (access to one frame) and [`Tables`] (the maps, laid out as the `abi`
//! crate says). IPv4 and IPv6 share every function through [`Address`].
//!
//! The way of a packet: [`parse`] → [`flow`] table hit → [`rewrite`] and forward. On a miss its ends
//! are looked up ([`classify`]); a first packet's flow is planned ([`plan`]: translated by [`service`],
//! judged by [`policy`]) and opened by the program that most of these go through ([`first`](mod@first)),
//! or by the slow path ([`decide`]), which has everything else.
#![cfg_attr(not(any(test, loom)), no_std)]

mod address;
mod affinity;
pub mod checksum;
mod classify;
mod crc32c;
mod decide;
mod entry;
mod first;
pub mod flow;
mod fragment;
mod handshake;
mod hook;
mod icmp;
mod intervals;
mod masquerade;
mod neighbour;
mod packet;
pub mod parse;
mod plan;
mod policy;
mod reject;
mod relay;
mod rewrite;
mod service;
mod socket;
mod tables;
mod tunnel;
mod tuple;
mod word;
mod word16;
mod work;

pub use address::{Address, V4, V6};
pub use entry::{Fast, fast, first, slow};
pub use first::SlowPath;
pub use hook::{Hook, Miss, Verdict};

pub use classify::Ends;
pub use packet::{Field, Packet, Unit};
pub use policy::{Shape, judge};
pub use service::{Offer, offer};
pub use socket::{Call, Peer, Way, way};
pub use tables::{Context, Tables};
pub use tuple::{Port, Tuple, protocol};
pub use word::Word;
pub use work::Work;
