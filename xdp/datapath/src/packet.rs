//! Access to one frame.

use abi::next_hop::NextHop;

use crate::{Address, flow::Rewrite};

/// Which words of a transport checksum changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Addresses: in the pseudo header, so a partial checksum covers them.
    Addresses,
    /// Ports: in the segment, so a partial checksum does not cover them yet.
    Ports,
}

/// What is read and written at once: an unsigned integer of any alignment.
pub trait Unit: Copy {}

impl Unit for u8 {}
impl Unit for u16 {}
impl Unit for u32 {}
impl Unit for u64 {}

/// A frame that can be read, written and resized. Offsets are from the Ethernet header.
pub trait Packet {
    /// Length of the frame in bytes.
    fn len(&self) -> u32;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads unsigned integers as they lie in memory, which is network order; `None` where the
    /// frame ends before.
    fn load_array<U: Unit, const N: usize>(&self, offset: u32) -> Option<[U; N]>;

    /// Writes unsigned integers as they are to lie in memory; `false` where the frame ends before.
    fn store_array<U: Unit, const N: usize>(&mut self, offset: u32, values: [U; N]) -> bool;

    #[inline(always)]
    fn load<U: Unit>(&self, offset: u32) -> Option<U> {
        self.load_array(offset).map(|[value]| value)
    }

    #[inline(always)]
    fn store<U: Unit>(&mut self, offset: u32, value: U) -> bool {
        self.store_array(offset, [value])
    }

    /// Adds `delta` to what the transport checksum at `offset` covers. With `zero_is_none` (UDP)
    /// a field of zero stays, and a result of zero becomes 0xffff (RFC 768).
    fn update_checksum(
        &mut self,
        offset: u32,
        delta: u16,
        field: Field,
        zero_is_none: bool,
    ) -> bool;

    /// Makes the frame `len` bytes long; what follows the link header and its tags is unspecified
    /// then. `false` where that is not possible.
    fn resize(&mut self, len: u32) -> bool;

    /// Makes room for `bytes`, at most 40, between the link header and the IP header at `network`.
    fn insert(&mut self, network: u32, bytes: u32) -> bool;

    /// Takes `bytes`, at most 40, away at `network`, where the IP header begins. `false` where
    /// nothing comes through tunnels.
    fn remove(&mut self, network: u32, bytes: u32) -> bool {
        let _ = (network, bytes);
        false
    }

    /// The largest IP packet that this frame puts on a wire, for an IP packet of `length` bytes
    /// with `headers` bytes before the transport header: less than `length` where the kernel
    /// will segment it.
    fn wire_length(&self, length: u32, headers: u32) -> u32 {
        let _ = headers;
        length
    }

    /// The payload of each segment, where the kernel will segment this frame.
    fn segment(&self) -> Option<u32> {
        None
    }

    /// Where the kernel would route an IP packet of `length` bytes that came in where this one did
    /// and is like `to`. Interface 0: nowhere. Not usable: the neighbour's address is not known.
    fn route<A: Address>(&self, to: &Rewrite<A>, protocol: u8, length: u32) -> NextHop {
        let _ = (to, protocol, length);
        NextHop::default()
    }
}
