//! What differs between IPv4 and IPv6, and nothing else.

use abi::{
    address::{Address6Key, CHUNK, LEVEL1, Leaf, Prefix6Key},
    control::Control,
    flow::{WORDS4, WORDS6},
    frontend::FrontendKey,
    record::Node,
    table::Table,
};

use crate::{
    Context, Packet, Tables, Work, checksum,
    flow::bucket::{Cells, Inserted},
    parse::{self, Network, Reading},
    tuple::Port,
};
use abi::reason::DropReason;

/// The hop limit of outer headers: the recommended default (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// An IPv4 address as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V4(pub(crate) u32);

/// An IPv6 address as it lies in memory, in two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V6(pub(crate) [u64; 2]);

/// An IPv4 or IPv6 address. Words, not byte arrays: the compiler for the kernel keeps arrays of
/// bytes one byte to a register.
pub trait Address: Copy + Eq + 'static {
    /// One flow entry.
    type Entry<W: 'static>: AsRef<[W]> + 'static;

    const V6: bool;
    /// The host's own; IPv4 has more of them.
    const LOOPBACK: Self;
    /// Words that a pair of addresses takes in a flow entry.
    const PAIR: usize;

    /// Bytes of a network header without options.
    const HEADER: u32;
    /// The protocol of packets of this family inside others.
    const TUNNEL: u8;

    /// Two addresses as they lie in a flow entry, the first [`Self::PAIR`] words used.
    fn pair(source: Self, destination: Self) -> [u64; 4];
    fn unpair(words: [u64; 4]) -> (Self, Self);

    /// The unfolded one's complement sum of the address.
    fn sum(self) -> u32;

    /// Reads and checks the network header at `offset`.
    fn parse<P: Packet>(
        packet: &P,
        offset: u32,
        reading: Reading,
    ) -> Result<Network<Self>, DropReason>;

    /// The address as a number, in its upper and lower 64 bits.
    fn number(self) -> (u64, u64);

    /// Looks the address up.
    fn leaf<T: Tables>(self, tables: &Context<'_, T>) -> Option<Leaf>;

    /// The key of a service address on the given side.
    fn frontend_key(self, port: Port, protocol: u8, side: u32) -> FrontendKey;

    /// From the first bytes of a 16-byte field.
    fn from_field(field: &[u8; 16]) -> Self;

    /// The same as it lies in memory.
    fn field(self) -> [u32; 4];

    /// The inverse of [`Self::field`].
    fn of_field(field: [u32; 4]) -> Self;

    /// The traffic class of the network header at `offset`.
    fn traffic_class<P: Packet>(packet: &P, offset: u32) -> Option<u8>;

    /// Writes the network header of a packet that holds one of this family, of `length` bytes. It is
    /// not to be fragmented.
    fn write_outer<P: Packet>(
        packet: &mut P,
        offset: u32,
        class: u8,
        length: u32,
        addresses: (Self, Self),
    ) -> bool;

    /// Reads the source address of the network header at `offset`, and the destination.
    fn load_pair<P: Packet>(packet: &P, offset: u32) -> Option<(Self, Self)>;

    /// Writes both addresses into the network header at `offset`.
    fn store_pair<P: Packet>(packet: &mut P, offset: u32, source: Self, destination: Self) -> bool;

    fn flows<T: Tables>(tables: &T, bucket: u32) -> Option<&Cells<Self, T::Word>>;
    fn flow_mask(control: &Control) -> u32;
    /// Inserts `work.entry` under `work.key`, which has the hash.
    fn insert<T: Tables>(tables: &T, work: &Work<Self>, hash: u64) -> Result<Inserted, DropReason>;
    /// What backends see instead of clients; `None` where the node has no address.
    fn masquerade(node: &Node) -> Option<Self>;

    /// Loopback, unspecified and multicast: what no host may send a routed packet from.
    fn is_martian_source(self) -> bool;
    fn is_loopback(self) -> bool;
    /// Multicast, broadcast or IPv6 link-local: never routed, so never policy's business. IPv4
    /// link-local is not among them: clouds serve credentials there.
    fn is_local_scope(self) -> bool;
}

impl V4 {
    #[inline(always)]
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(bytes))
    }

    /// The address as a number: its first byte is the most significant.
    #[inline(always)]
    const fn bits(self) -> u32 {
        u32::from_be(self.0)
    }
}

impl V6 {
    #[inline(always)]
    pub const fn new([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> Self {
        Self([
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        ])
    }

    #[inline(always)]
    fn bytes(self) -> [u8; 16] {
        // SAFETY: two words are sixteen bytes, and any bytes are an array of bytes.
        unsafe { core::mem::transmute(self.0) }
    }

    /// The first two bytes as a number.
    #[inline(always)]
    const fn prefix(self) -> u16 {
        let [high, _] = self.0;
        (u64::from_be(high) >> 48) as u16
    }
}

impl Address for V4 {
    type Entry<W: 'static> = [W; WORDS4];

    const V6: bool = false;
    const LOOPBACK: Self = Self::new([127, 0, 0, 1]);
    const PAIR: usize = 1;
    const HEADER: u32 = 20;
    const TUNNEL: u8 = 4;

    #[inline(always)]
    fn pair(source: Self, destination: Self) -> [u64; 4] {
        let (V4(source), V4(destination)) = (source, destination);
        let word = if cfg!(target_endian = "little") {
            source as u64 | (destination as u64) << 32
        } else {
            (source as u64) << 32 | destination as u64
        };
        [word, 0, 0, 0]
    }

    #[inline(always)]
    fn unpair([word, ..]: [u64; 4]) -> (Self, Self) {
        let (low, high) = (V4(word as u32), V4((word >> 32) as u32));
        if cfg!(target_endian = "little") { (low, high) } else { (high, low) }
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        checksum::halves(self.0)
    }

    #[inline(always)]
    fn parse<P: Packet>(
        packet: &P,
        offset: u32,
        reading: Reading,
    ) -> Result<Network<Self>, DropReason> {
        parse::ipv4(packet, offset, reading)
    }

    #[inline(always)]
    fn number(self) -> (u64, u64) {
        (0, self.bits().into())
    }

    #[inline(always)]
    fn leaf<T: Tables>(self, tables: &Context<'_, T>) -> Option<Leaf> {
        let number = self.bits();
        let step = |word: u32| tables.word(Table::Addresses4, word).map(Leaf);
        let chunk = |chunk: u32, byte: u32| {
            (LEVEL1 as u32).wrapping_add(chunk.wrapping_mul(CHUNK as u32)).wrapping_add(byte)
        };
        let leaf = step(number >> 16)?;
        let Some(second) = leaf.as_chunk() else { return Some(leaf) };
        let leaf = step(chunk(second, number >> 8 & 0xff))?;
        let Some(third) = leaf.as_chunk() else { return Some(leaf) };
        step(chunk(third, number & 0xff))
    }

    #[inline(always)]
    fn frontend_key(self, port: Port, protocol: u8, side: u32) -> FrontendKey {
        let [a, b, c, d] = self.0.to_ne_bytes();
        let address = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        FrontendKey { address, port: port.0.to_ne_bytes(), protocol, side: side as u8 }
    }

    #[inline(always)]
    fn from_field(&[a, b, c, d, ..]: &[u8; 16]) -> Self {
        Self::new([a, b, c, d])
    }

    #[inline(always)]
    fn field(self) -> [u32; 4] {
        [self.0, 0, 0, 0]
    }

    #[inline(always)]
    fn of_field([address, ..]: [u32; 4]) -> Self {
        Self(address)
    }

    #[inline(always)]
    fn traffic_class<P: Packet>(packet: &P, offset: u32) -> Option<u8> {
        packet.load(offset + 1)
    }

    #[inline(always)]
    fn write_outer<P: Packet>(
        packet: &mut P,
        offset: u32,
        class: u8,
        length: u32,
        (source, destination): (Self, Self),
    ) -> bool {
        let first = 0x45 << 24 | (class as u32) << 16 | (length + Self::HEADER) & 0xffff;
        let first = first.to_be();
        let dont_fragment = 0x4000_u32.to_be();
        let [protocol, hop_limit] = [Self::TUNNEL, HOP_LIMIT];
        let sum = checksum::halves(first)
            + checksum::halves(dont_fragment)
            + checksum::bytes(hop_limit, protocol)
            + source.sum()
            + destination.sum();
        packet.store(offset, first)
            && packet.store(offset + 4, dont_fragment)
            && packet.store(offset + 8, u16::from_ne_bytes([hop_limit, protocol]))
            && packet.store(offset + 10, checksum::finish(sum))
            && Self::store_pair(packet, offset, source, destination)
    }

    #[inline(always)]
    fn load_pair<P: Packet>(packet: &P, offset: u32) -> Option<(Self, Self)> {
        let [source, destination] = packet.load_array(offset + 12)?;
        Some((V4(source), V4(destination)))
    }

    #[inline(always)]
    fn store_pair<P: Packet>(packet: &mut P, offset: u32, source: Self, destination: Self) -> bool {
        packet.store_array(offset + 12, [source.0, destination.0])
    }

    #[inline(always)]
    fn flows<T: Tables>(tables: &T, bucket: u32) -> Option<&Cells<Self, T::Word>> {
        tables.flows4(bucket)
    }

    #[inline(always)]
    fn flow_mask(control: &Control) -> u32 {
        control.flow4_mask
    }

    #[inline(always)]
    fn insert<T: Tables>(tables: &T, work: &Work<Self>, hash: u64) -> Result<Inserted, DropReason> {
        tables.insert4(work, hash)
    }

    #[inline(always)]
    fn masquerade(node: &Node) -> Option<Self> {
        let address = Self::from_field(&node.masquerade4);
        (address.bits() != 0).then_some(address)
    }

    #[inline(always)]
    fn is_martian_source(self) -> bool {
        let first = self.bits() >> 24;
        first == 127 || first >= 224 || first == 0
    }

    #[inline(always)]
    fn is_loopback(self) -> bool {
        self.bits() >> 24 == 127
    }

    #[inline(always)]
    fn is_local_scope(self) -> bool {
        self.bits() >> 24 >= 224
    }
}

impl Address for V6 {
    type Entry<W: 'static> = [W; WORDS6];

    const V6: bool = true;
    const LOOPBACK: Self = Self([0, 1_u64.to_be()]);
    const PAIR: usize = 4;
    const HEADER: u32 = 40;
    const TUNNEL: u8 = 41;

    #[inline(always)]
    fn pair(V6([a, b]): Self, V6([c, d]): Self) -> [u64; 4] {
        [a, b, c, d]
    }

    #[inline(always)]
    fn unpair([a, b, c, d]: [u64; 4]) -> (Self, Self) {
        (V6([a, b]), V6([c, d]))
    }

    #[inline(always)]
    fn sum(self) -> u32 {
        let [high, low] = self.0;
        checksum::quarters(high) + checksum::quarters(low)
    }

    #[inline(always)]
    fn parse<P: Packet>(
        packet: &P,
        offset: u32,
        reading: Reading,
    ) -> Result<Network<Self>, DropReason> {
        parse::ipv6(packet, offset, reading)
    }

    #[inline(always)]
    fn number(self) -> (u64, u64) {
        let [high, low] = self.0;
        (u64::from_be(high), u64::from_be(low))
    }

    #[inline(always)]
    fn leaf<T: Tables>(self, tables: &Context<'_, T>) -> Option<Leaf> {
        let key = Address6Key { address: self.bytes(), side: tables.side };
        if let Some(leaf) = tables.tables.address6(&key) {
            return Some(leaf);
        }
        if tables.control.flags & Control::PREFIXES6 == 0 {
            return Some(Leaf::default());
        }
        let key = Prefix6Key {
            prefix_len: Prefix6Key::SIDE_BITS + 128,
            side: tables.side as u8,
            address: self.bytes(),
            padding: [0; 7],
        };
        Some(tables.tables.prefix6(&key).unwrap_or_default())
    }

    #[inline(always)]
    fn frontend_key(self, port: Port, protocol: u8, side: u32) -> FrontendKey {
        FrontendKey {
            address: self.bytes(),
            port: port.0.to_ne_bytes(),
            protocol,
            side: side as u8 | FrontendKey::V6,
        }
    }

    #[inline(always)]
    fn from_field(field: &[u8; 16]) -> Self {
        Self::new(*field)
    }

    #[inline(always)]
    fn field(self) -> [u32; 4] {
        // SAFETY: two words are four halves, and any bytes are integers.
        unsafe { core::mem::transmute(self.0) }
    }

    #[inline(always)]
    fn of_field(field: [u32; 4]) -> Self {
        // SAFETY: as above.
        Self(unsafe { core::mem::transmute::<[u32; 4], [u64; 2]>(field) })
    }

    #[inline(always)]
    fn traffic_class<P: Packet>(packet: &P, offset: u32) -> Option<u8> {
        Some((u16::from_be(packet.load(offset)?) >> 4) as u8)
    }

    #[inline(always)]
    fn write_outer<P: Packet>(
        packet: &mut P,
        offset: u32,
        class: u8,
        length: u32,
        (source, destination): (Self, Self),
    ) -> bool {
        let first = 6 << 28 | (class as u32) << 20;
        let second = length << 16 | (Self::TUNNEL as u32) << 8 | HOP_LIMIT as u32;
        packet.store(offset, first.to_be())
            && packet.store(offset + 4, second.to_be())
            && Self::store_pair(packet, offset, source, destination)
    }

    #[inline(always)]
    fn load_pair<P: Packet>(packet: &P, offset: u32) -> Option<(Self, Self)> {
        let [a, b, c, d] = packet.load_array(offset + 8)?;
        Some((V6([a, b]), V6([c, d])))
    }

    #[inline(always)]
    fn store_pair<P: Packet>(
        packet: &mut P,
        offset: u32,
        V6([a, b]): Self,
        V6([c, d]): Self,
    ) -> bool {
        packet.store_array(offset + 8, [a, b, c, d])
    }

    #[inline(always)]
    fn flows<T: Tables>(tables: &T, bucket: u32) -> Option<&Cells<Self, T::Word>> {
        tables.flows6(bucket)
    }

    #[inline(always)]
    fn flow_mask(control: &Control) -> u32 {
        control.flow6_mask
    }

    #[inline(always)]
    fn insert<T: Tables>(tables: &T, work: &Work<Self>, hash: u64) -> Result<Inserted, DropReason> {
        tables.insert6(work, hash)
    }

    #[inline(always)]
    fn masquerade(node: &Node) -> Option<Self> {
        let address = Self::from_field(&node.masquerade6);
        let Self([upper, lower]) = address;
        (upper | lower != 0).then_some(address)
    }

    #[inline(always)]
    fn is_martian_source(self) -> bool {
        self.prefix() >> 8 == 0xff || self.is_loopback() || self.0 == [0, 0]
    }

    #[inline(always)]
    fn is_loopback(self) -> bool {
        self == Self::LOOPBACK
    }

    #[inline(always)]
    fn is_local_scope(self) -> bool {
        self.prefix() >> 8 == 0xff || self.prefix() & 0xffc0 == 0xfe80
    }
}
