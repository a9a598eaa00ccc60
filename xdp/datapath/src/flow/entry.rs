//! The meaning of an entry's words after its key; the layout is in [`abi::flow`].

use abi::flow::{Packets, kind};

use super::bucket::{Hit, Key};
use crate::{Address, Tuple, Word, checksum, handshake, tuple::Port, word16};

/// Everything an entry says, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow<A> {
    pub rewrite: Rewrite<A>,
    pub looks: Looks,
    pub epochs: Epochs,
    pub target: Target,
}

/// The tuple after translation, and what that does to checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<A> {
    pub source: A,
    pub destination: A,
    pub source_port: Port,
    pub destination_port: Port,
    pub address_delta: u16,
    pub port_delta: u16,
}

/// What changes of an entry while it is live. It lies in the entry's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Jiffies when the slow path last looked at the flow.
    pub seen: u32,
    /// Below 2²⁴.
    pub next_hop: u32,
    /// [`abi::flow::seen`].
    pub state: u8,
}

/// What was in force when the flow was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    pub sum: u32,
    pub source: u16,
    pub destination: u16,
}

/// What the flow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub backend: u32,
    /// Below 2²⁴.
    pub service: u32,
    /// [`abi::flow::kind`].
    pub kind: u8,
}

impl Target {
    #[inline(always)]
    pub fn is_reply(&self) -> bool {
        self.kind & kind::REPLY != 0
    }

    #[inline(always)]
    pub fn is_translated(&self) -> bool {
        self.kind & (kind::DNAT | kind::SNAT) != 0
    }
}

impl<A: Address> Rewrite<A> {
    /// The rewrite that turns `from` into `to`.
    #[inline(always)]
    pub fn between(from: &Tuple<A>, to: &Tuple<A>) -> Self {
        let ports = |tuple: &Tuple<A>| tuple.source_port.0 as u32 + tuple.destination_port.0 as u32;
        Self {
            source: to.source,
            destination: to.destination,
            source_port: to.source_port,
            destination_port: to.destination_port,
            address_delta: checksum::delta(
                from.source.sum() + from.destination.sum(),
                to.source.sum() + to.destination.sum(),
            ),
            port_delta: checksum::delta(ports(from), ports(to)),
        }
    }

    /// What a packet with the entry's key becomes.
    #[inline(always)]
    pub fn tuple(&self, protocol: u8) -> Tuple<A> {
        Tuple {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol,
        }
    }
}

impl Looks {
    #[inline(always)]
    pub fn pack(self) -> u64 {
        self.seen as u64 | (self.next_hop as u64 & 0xff_ffff) << 32 | (self.state as u64) << 56
    }

    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self {
            seen: word as u32,
            next_hop: (word >> 32) as u32 & 0xff_ffff,
            state: (word >> 56) as u8,
        }
    }
}

impl Epochs {
    #[inline(always)]
    pub fn pack(self) -> u64 {
        self.sum as u64 | (self.source as u64) << 32 | (self.destination as u64) << 48
    }

    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self { sum: word as u32, source: (word >> 32) as u16, destination: (word >> 48) as u16 }
    }
}

impl Target {
    #[inline(always)]
    pub fn pack(self) -> u64 {
        self.backend as u64 | (self.service as u64 & 0xff_ffff) << 32 | (self.kind as u64) << 56
    }

    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self {
            backend: word as u32,
            service: (word >> 32) as u32 & 0xff_ffff,
            kind: (word >> 56) as u8,
        }
    }
}

/// Word numbers of an entry.
#[inline(always)]
const fn ports_word<A: Address>() -> usize {
    1 + 2 * A::PAIR
}

impl<A: Address> Flow<A> {
    /// Writes the words after the key through `put`; the looks are not among them.
    #[inline(always)]
    pub fn write(&self, mut put: impl FnMut(usize, u64)) {
        let rewrite = &self.rewrite;
        let pair = A::pair(rewrite.source, rewrite.destination);
        for (word, value) in pair.into_iter().take(A::PAIR).enumerate() {
            put(1 + A::PAIR + word, value);
        }
        let Rewrite { source_port, destination_port, address_delta, port_delta, .. } = *rewrite;
        let fields = [source_port.0, destination_port.0, address_delta, port_delta];
        put(ports_word::<A>(), word16::pack(fields));
        put(ports_word::<A>() + 1, 0);
        put(ports_word::<A>() + 2, self.epochs.pack());
        put(ports_word::<A>() + 3, self.target.pack());
        put(ports_word::<A>() + 4, Packets::default().0);
    }

    /// The entry of the other direction: its key, and what it says.
    #[inline(always)]
    pub fn mirror(&self, tuple: &Tuple<A>) -> (Key, Self) {
        let rewrite = Rewrite {
            source: tuple.destination,
            destination: tuple.source,
            source_port: tuple.destination_port,
            destination_port: tuple.source_port,
            address_delta: !self.rewrite.address_delta,
            port_delta: !self.rewrite.port_delta,
        };
        let partner = Self {
            rewrite,
            looks: Looks { next_hop: 0, state: handshake::partner(self.looks.state), ..self.looks },
            epochs: Epochs {
                sum: self.epochs.sum,
                source: self.epochs.destination,
                destination: self.epochs.source,
            },
            target: Target { kind: self.target.kind ^ kind::REPLY, ..self.target },
        };
        (Key::of(&self.rewrite.tuple(tuple.protocol).reversed()), partner)
    }
}

impl<A: Address, W: Word> Hit<'_, A, W> {
    #[inline(always)]
    pub fn rewrite(&self) -> Rewrite<A> {
        let word = |index: usize| if index < A::PAIR { self.word(1 + A::PAIR + index) } else { 0 };
        let (source, destination) = A::unpair([word(0), word(1), word(2), word(3)]);
        let [source_port, destination_port, address_delta, port_delta] =
            word16::unpack(self.word(ports_word::<A>()));
        Rewrite {
            source,
            destination,
            source_port: Port(source_port),
            destination_port: Port(destination_port),
            address_delta,
            port_delta,
        }
    }

    #[inline(always)]
    pub fn looks(&self) -> Looks {
        Looks::unpack(self.looks_cell().load())
    }

    /// Bytes that the entry carried.
    #[inline(always)]
    pub fn bytes(&self) -> &W {
        self.cell(ports_word::<A>() + 1)
    }

    #[inline(always)]
    pub fn epochs(&self) -> Epochs {
        Epochs::unpack(self.word(ports_word::<A>() + 2))
    }

    #[inline(always)]
    pub fn target(&self) -> Target {
        Target::unpack(self.word(ports_word::<A>() + 3))
    }

    /// [`Packets`].
    #[inline(always)]
    pub fn packets(&self) -> &W {
        self.cell(ports_word::<A>() + 4)
    }

    #[inline(always)]
    pub fn flow(&self) -> Flow<A> {
        Flow {
            rewrite: self.rewrite(),
            looks: self.looks(),
            epochs: self.epochs(),
            target: self.target(),
        }
    }

    /// Replaces the looks if they are still `old`; another processor's change wins.
    #[inline(always)]
    pub fn set_looks(&self, old: Looks, new: Looks) {
        if old != new && self.is_current() {
            self.looks_cell().compare_exchange(old.pack(), new.pack());
        }
    }

    /// Replaces the epochs if they are still `old`.
    #[inline(always)]
    pub fn set_epochs(&self, old: Epochs, new: Epochs) {
        if old != new && self.is_current() {
            self.cell(ports_word::<A>() + 2).compare_exchange(old.pack(), new.pack());
        }
    }
}
