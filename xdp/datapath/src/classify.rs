//! Both ends of a packet, looked up.

use abi::address::Leaf;

use crate::{Address, Context, Tables, Tuple};

/// What the tables know of a tuple's addresses.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub source: Leaf,
    pub destination: Leaf,
}

impl Ends {
    #[inline(never)]
    pub fn of<A: Address, T: Tables>(tuple: &Tuple<A>, tables: &Context<'_, T>) -> Option<Self> {
        Some(Self {
            source: tuple.source.leaf(tables)?,
            destination: tuple.destination.leaf(tables)?,
        })
    }

    /// Whether either end is a workload of this node.
    #[inline(always)]
    pub fn is_local(&self) -> bool {
        self.source.endpoint() != 0 || self.destination.endpoint() != 0
    }
}
