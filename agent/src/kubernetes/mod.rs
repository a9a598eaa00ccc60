//! Kubernetes objects in, ZoneGate's own resources out.
//!
//! Pure: nothing here reads a file, a socket or a clock. Whoever has objects (a directory of
//! manifests, a watch on a kube-apiserver, `zonegate check`) parses them with [`Object::parse`]
//! and tells a [`Translator`] what changed; the [`Outcome`] says which resources changed with it.
//!
//! - [`object`] and [`key`] know kinds and identities, [`pods`], [`nodes`], [`network_policy`],
//!   [`cluster_policy`], [`admin_policy`], [`services`] with their [`service_policies`], and
//!   [`slices`] what each kind means by itself. From there on there are only pods, nodes,
//!   namespaces, services, slices and [`draft`]s of policies;
//! - [`cluster`] keeps who is selected by what, one [`pool`] per distinct query, and [`holders`]
//!   whose an address is that several pods say they have;
//! - [`render`] writes a draft down as policies and the address sets that they name;
//! - [`balancing`] joins services with their slices, and [`claims`] says whose an address is;
//! - [`translator`] brings these together and compares with what it gave out before.

mod address;
mod admin_policy;
mod balancing;
mod claims;
mod cluster;
mod cluster_policy;
mod cluster_rules;
mod draft;
mod holders;
mod host_ports;
mod key;
mod named_ports;
mod names;
mod network_policy;
mod nodes;
mod object;
mod pods;
mod policy_object;
mod pool;
mod problem;
mod render;
mod selector;
mod selector_index;
mod service_policies;
mod services;
mod slices;
mod translator;

pub use key::{ObjectKey, ObjectKind, is_shared, whole};
pub use nodes::NodeObject;
pub use object::{Namespace, Object, ObjectError, items};
pub use pods::PodObject;
pub use policy_object::PolicyObject;
pub use problem::{Effect, Problem};
pub use services::ServiceObject;
pub use slices::SliceObject;
pub use translator::{Change, Options, Outcome, Translator};
