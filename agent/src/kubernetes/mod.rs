//! Kubernetes objects in, ZoneGate's own resources out.
//!
//! Pure: nothing here reads a file, a socket or a clock. Whoever has objects (a directory of
//! manifests, a watch on a kube-apiserver, `zonegate check`) parses them with [`Object::parse`]
//! and tells a [`Translator`] what changed; the [`Outcome`] says which resources changed with it.
//!
//! - [`object`] and [`key`] know kinds and identities, [`pods`], [`nodes`], [`network_policy`],
//!   [`cluster_policy`] and [`admin_policy`] what each kind means by itself. From there on there
//!   are only pods, nodes, namespaces and [`draft`]s of policies;
//! - [`cluster`] keeps who is selected by what, one [`pool`] per distinct query, and [`holders`]
//!   whose an address is that several pods say they have;
//! - [`render`] writes a draft down as policies and the address sets that they name;
//! - [`translator`] brings these together and compares with what it gave out before.
//!
//! Services and endpoint slices are the next kinds: they get files of their own beside
//! [`pods`], variants in [`Object`] and [`ObjectKind`], and an arm in [`Translator::apply`].

mod address;
mod admin_policy;
mod cluster;
mod cluster_policy;
mod cluster_rules;
mod draft;
mod holders;
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
mod translator;

pub use key::{ObjectKey, ObjectKind, is_shared, whole};
pub use nodes::NodeObject;
pub use object::{Namespace, Object, ObjectError, items};
pub use pods::PodObject;
pub use policy_object::PolicyObject;
pub use problem::{Effect, Problem};
pub use translator::{Change, Options, Outcome, Translator};
