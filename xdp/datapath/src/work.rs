//! What one program leaves to the next.

use abi::next_hop::NextHop;

use crate::{
    Address, Tuple,
    classify::Ends,
    flow::{Flow, Key, hash::hash},
    hook::Miss,
    parse::Parsed,
    tunnel::Arrival,
};
#[cfg(not(target_arch = "bpf"))]
use crate::{
    Port,
    flow::{
        Looks, Rewrite,
        entry::{Epochs, Target},
    },
};

/// How far a packet has come. (Not an enumeration: it is read from a map.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Stage(u32);

impl Stage {
    /// Nobody knows whether there is a flow.
    pub const LOOK: Self = Self(0);
    /// There is no flow.
    pub const NEW: Self = Self(1);
    /// There is none, and `work.flow` is to be opened.
    pub const PLANNED: Self = Self(2);
}

/// What the slow path works on. It lies in a map: the kernel gives a program and all that it
/// calls 512 bytes of stack. For the same reason the steps are functions of their own.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Work<A> {
    pub arrival: Arrival,
    pub parsed: Parsed<A>,
    pub stage: Stage,
    /// What the tables know of a first packet's own addresses.
    pub ends: Ends,
    /// What policy judges: the client's own address and the backend's, in the direction that
    /// opened the flow.
    pub judged: Tuple<A>,
    /// The packet's flow.
    pub flow: Flow<A>,
    /// The other direction's entry, and the key of the one being inserted.
    pub entry: Flow<A>,
    pub key: Key,
    /// Where the packet goes without the kernel's routing.
    pub hop: NextHop,
    /// What an ICMP error that is being written quotes.
    pub quote: [u32; 12],
}

#[cfg(not(target_arch = "bpf"))]
impl<A: Address> Default for Work<A> {
    fn default() -> Self {
        let nowhere = A::from_field(&[0; 16]);
        let tuple = Tuple {
            source: nowhere,
            destination: nowhere,
            source_port: Port::default(),
            destination_port: Port::default(),
            protocol: 0,
        };
        let flow = Flow {
            rewrite: Rewrite::between(&tuple, &tuple),
            looks: Looks { seen: 0, next_hop: 0, state: 0 },
            epochs: Epochs { sum: 0, source: 0, destination: 0 },
            target: Target { backend: 0, service: 0, kind: 0 },
        };
        Self {
            arrival: Arrival::default(),
            parsed: Parsed::of(tuple),
            stage: Stage::LOOK,
            ends: Ends::default(),
            judged: tuple,
            flow,
            entry: flow,
            key: Key::of(&tuple),
            hop: NextHop::default(),
            quote: [0; 12],
        }
    }
}

impl<A: Address> Work<A> {
    /// Takes over what the fast path has found out.
    #[inline(always)]
    pub fn begin(&mut self, missed: Miss) {
        self.arrival.begin();
        self.stage = Stage::LOOK;
        if let Miss::New(ends) = missed {
            self.stage = Stage::NEW;
            self.ends = ends;
        }
    }

    /// Fills `entry` and `key` for the direction opposite to the packet's; gives the key's hash.
    #[inline(never)]
    pub fn mirror(&mut self, secret: [u64; 2]) -> u64 {
        self.mirror_in_place(secret)
    }

    /// [`Self::mirror`], without a call.
    #[inline(always)]
    pub fn mirror_in_place(&mut self, secret: [u64; 2]) -> u64 {
        (self.key, self.entry) = self.flow.mirror(&self.parsed.tuple);
        hash::<A>(&self.key, secret)
    }
}
