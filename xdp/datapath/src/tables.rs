//! Access to the maps.

use core::ptr;

use abi::{
    address::{Address6Key, Leaf, Prefix6Key},
    affinity::{Affinity, AffinityKey},
    control::Control,
    flow::{WORDS4, WORDS6},
    frontend::FrontendKey,
    next_hop::NextHop,
    port::Port,
    reason::{DropReason, PassReason},
    record::{Backend, Endpoint, Node, Service},
    table::{self, BLOCK_WORDS, Block, Table},
};

use crate::{
    Hook, V4, V6, Verdict, Word, Work,
    flow::{
        bucket::{Bucket, Inserted},
        table::put,
    },
};

/// The maps, laid out as in the `abi` crate. `None` means the map or element is missing.
pub trait Tables {
    type Word: Word + 'static;

    fn control(&self) -> Option<&Control>;
    /// An array element of a sided table; see [`table::element`].
    fn element(&self, table: Table, element: u32) -> Option<&Block>;
    fn address6(&self, key: &Address6Key) -> Option<Leaf>;
    fn prefix6(&self, key: &Prefix6Key) -> Option<Leaf>;
    fn frontend(&self, key: &FrontendKey) -> Option<u64>;
    fn next_hop(&self, id: u32) -> Option<&NextHop>;
    /// A place in the table of neighbours.
    fn neighbour(&self, place: u32) -> Option<&NextHop>;
    fn port(&self, endpoint: u16) -> Option<&Port>;
    fn flows4(&self, bucket: u32) -> Option<&Bucket<[Self::Word; WORDS4], Self::Word>>;
    fn flows6(&self, bucket: u32) -> Option<&Bucket<[Self::Word; WORDS6], Self::Word>>;
    /// [`Address::insert`]. In the kernel a function that the verifier looks at once, wherever it is
    /// called from.
    fn insert4(&self, work: &Work<V4>, hash: u64) -> Result<Inserted, DropReason>
    where
        Self: Sized,
    {
        let control = self.control().ok_or(DropReason::MissingMap)?;
        put::<_, _, false>(self, control, hash, &work.key, &work.entry)
    }
    fn insert6(&self, work: &Work<V6>, hash: u64) -> Result<Inserted, DropReason>
    where
        Self: Sized,
    {
        let control = self.control().ok_or(DropReason::MissingMap)?;
        put::<_, _, false>(self, control, hash, &work.key, &work.entry)
    }
    /// Which backend a service remembers for a client.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// Remembers a client's backend, as long as there is room.
    fn remember(&self, key: &AffinityKey, affinity: &Affinity);
    /// Jiffies, all 64 bits.
    fn clock(&self) -> u64;
    /// Nanoseconds since the node started.
    fn nanoseconds(&self) -> u64;
    /// Jiffies, the lowest 32 bits.
    #[inline(always)]
    fn now(&self) -> u32 {
        self.clock() as u32
    }
}

/// Where a packet is and which tables it sees: one side, chosen once.
pub struct Context<'t, T> {
    pub hook: Hook,
    /// Index of the interface that the hook is on.
    pub interface: u32,
    pub tables: &'t T,
    pub control: &'t Control,
    pub side: u32,
}

/// Why there is no side to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSide {
    MissingMap,
    /// Nothing was committed yet.
    NotReady,
}

impl NoSide {
    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::MissingMap => Verdict::Drop(DropReason::MissingMap),
            Self::NotReady => Verdict::Pass(PassReason::NotReady),
        }
    }
}

impl<'t, T: Tables> Context<'t, T> {
    /// Chooses the side.
    #[inline(always)]
    pub fn new(hook: Hook, interface: u32, tables: &'t T) -> Result<Self, NoSide> {
        let Some(control) = tables.control() else { return Err(NoSide::MissingMap) };
        // SAFETY: the reference is valid; volatile because the agent stores to it meanwhile.
        let generation = unsafe { ptr::read_volatile(&raw const control.generation) };
        if generation == 0 {
            return Err(NoSide::NotReady);
        }
        Ok(Self { hook, interface, tables, control, side: Control::side(generation) })
    }

    /// Word `word` of a sided table.
    #[inline(always)]
    pub fn word(&self, table: Table, word: u32) -> Option<u64> {
        let Block(words) = self.tables.element(table, table::element(word >> 3, self.side))?;
        // SAFETY: the index is below the block's length by the mask.
        Some(unsafe { *words.get_unchecked(word as usize & (BLOCK_WORDS - 1)) })
    }

    #[inline(always)]
    pub fn endpoint(&self, id: u32) -> Option<&Endpoint> {
        let block = self.tables.element(Table::Endpoints, table::element(id, self.side))?;
        // SAFETY: records are plain data of a block's size and alignment (asserted in `abi`).
        Some(unsafe { &*ptr::from_ref(block).cast() })
    }

    /// This node's own record.
    #[inline(always)]
    pub fn node(&self) -> Option<&Node> {
        let block = self.tables.element(Table::Endpoints, table::element(0, self.side))?;
        // SAFETY: as above.
        Some(unsafe { &*ptr::from_ref(block).cast() })
    }

    #[inline(always)]
    pub fn service(&self, id: u32) -> Option<&Service> {
        let block = self.tables.element(Table::Services, table::element(id, self.side))?;
        // SAFETY: as above.
        Some(unsafe { &*ptr::from_ref(block).cast() })
    }

    #[inline(always)]
    pub fn backend(&self, id: u32) -> Option<&Backend> {
        let block = self.tables.element(Table::Backends, table::element(id, self.side))?;
        // SAFETY: as above.
        Some(unsafe { &*ptr::from_ref(block).cast() })
    }

    /// The epoch sum of a flow between two endpoints; endpoint 0's is the services' own.
    #[inline(always)]
    pub fn epoch(&self, source: u16, destination: u16) -> Option<u32> {
        // SAFETY: as of the generation.
        let routes = unsafe { ptr::read_volatile(&raw const self.control.routes) };
        let mut sum = self.node()?.epoch.wrapping_add(routes);
        if source != 0 {
            sum = sum.wrapping_add(self.endpoint(source as u32)?.epoch);
        }
        if destination != 0 && destination != source {
            sum = sum.wrapping_add(self.endpoint(destination as u32)?.epoch);
        }
        Some(sum)
    }
}
