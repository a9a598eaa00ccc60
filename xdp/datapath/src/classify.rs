//! Both ends of a packet, looked up.

use abi::{address::Leaf, reason::DropReason};

use crate::{Address, Context, Hook, Tables, Tuple};

/// What the tables know of a tuple's addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    pub source: Leaf,
    pub destination: Leaf,
}

impl Ends {
    #[inline(always)]
    pub fn find<A: Address, T: Tables>(tuple: &Tuple<A>, tables: &Context<'_, T>) -> Option<Self> {
        Some(Self {
            source: tuple.source.leaf(tables)?,
            destination: tuple.destination.leaf(tables)?,
        })
    }

    /// [`Self::find`], out of line, for the slow path.
    #[inline(never)]
    pub fn of<A: Address, T: Tables>(tuple: &Tuple<A>, tables: &Context<'_, T>) -> Option<Self> {
        Self::find(tuple, tables)
    }

    /// Whether nothing here has to do with a packet between these.
    #[inline(always)]
    pub fn are_elsewhere(&self) -> bool {
        let Self { source, destination } = *self;
        !self.is_local()
            && !source.has(Leaf::THIS_NODE)
            && !destination.has(Leaf::THIS_NODE | Leaf::FRONTEND)
    }

    /// The ends once the tuple's destination was changed. The keys of IPv6 fill the stack; they are
    /// looked up out of line.
    #[inline(always)]
    pub fn toward<A: Address, T: Tables>(
        self,
        tuple: &Tuple<A>,
        tables: &Context<'_, T>,
    ) -> Option<Self> {
        let address = &tuple.destination;
        let destination = if A::V6 { leaf(address, tables) } else { address.leaf(tables) };
        Some(Self { destination: destination?, ..self })
    }

    /// Whether either end is a workload of this node.
    #[inline(always)]
    pub fn is_local(&self) -> bool {
        self.source.endpoint() != 0 || self.destination.endpoint() != 0
    }
}

/// [`Address::leaf`], out of line.
#[inline(never)]
fn leaf<A: Address, T: Tables>(address: &A, tables: &Context<'_, T>) -> Option<Leaf> {
    address.leaf(tables)
}

/// Whether these addresses may show up at this hook: outsiders do not use the node's, and a
/// workload's port carries the workload's own and no other.
#[inline(always)]
pub fn check_addresses<A: Address, T: Tables>(
    tuple: &Tuple<A>,
    ends: Ends,
    context: &Context<'_, T>,
) -> Result<(), DropReason> {
    if tuple.source.is_martian_source() || tuple.destination.is_loopback() {
        return Err(DropReason::Martian);
    }
    let is_at_port = |leaf: Leaf| {
        let port = context.tables.port(leaf.endpoint()).ok_or(DropReason::MissingMap)?;
        Ok(leaf.endpoint() != 0 && port.interface == context.interface)
    };
    match context.hook {
        Hook::UplinkIngress | Hook::UplinkHandover
            if ends.source.endpoint() != 0 || ends.source.has(Leaf::THIS_NODE) =>
        {
            Err(DropReason::SpoofedSource)
        }
        Hook::WorkloadIngress if !is_at_port(ends.source)? => Err(DropReason::ForeignSource),
        Hook::WorkloadEgress if !is_at_port(ends.destination)? => {
            Err(DropReason::ForeignDestination)
        }
        _ => Ok(()),
    }
}
