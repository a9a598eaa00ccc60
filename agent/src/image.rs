//! What the maps should hold: the compiler's answer, before any side or system call.

use std::{collections::BTreeMap, net::IpAddr};

use abi::{
    address::Leaf,
    frontend::FrontendKey,
    table::{BLOCK_WORDS, Block, Table},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The content of one side of every sided table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Indexed by `Table as usize`; words beyond the end are zero.
    words: [Vec<u64>; Table::ALL.len()],
    pub addresses6: BTreeMap<[u8; 16], Leaf>,
    /// By address and length in bits.
    pub prefixes6: BTreeMap<([u8; 16], u8), Leaf>,
    /// Keys have `side` 0, or [`FrontendKey::V6`]; values are service ids.
    pub frontends: BTreeMap<FrontendKey, u32>,
    /// Ports to attach to: interface name by local endpoint id.
    pub ports: BTreeMap<u16, Port>,
    /// The address behind each next-hop id that backends name.
    pub next_hops: BTreeMap<u32, IpAddr>,
}

/// A local workload's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub workload: String,
    /// Empty where the kernel's route to `address` says which it is.
    pub interface: String,
    /// Only where `interface` is empty.
    pub address: Option<IpAddr>,
}

impl Image {
    pub fn words(&self, table: Table) -> &[u64] {
        &self.words[table as usize]
    }

    /// Word `index` of a table.
    pub fn word(&self, table: Table, index: usize) -> u64 {
        self.words[table as usize].get(index).copied().unwrap_or(0)
    }

    pub fn set_word(&mut self, table: Table, index: usize, word: u64) {
        let words = &mut self.words[table as usize];
        if words.len() <= index {
            words.resize((index + 1).next_multiple_of(BLOCK_WORDS), 0);
        }
        words[index] = word;
    }

    /// Block `index` of a table as its record type.
    pub fn record<R: FromBytes>(&self, table: Table, index: u32) -> R {
        let start = index as usize * BLOCK_WORDS;
        let block = Block(std::array::from_fn(|word| self.word(table, start + word)));
        let Ok(record) = R::read_from_bytes(block.as_bytes()) else {
            unreachable!("records are one block long")
        };
        record
    }

    pub fn set_record<R: IntoBytes + Immutable + KnownLayout>(
        &mut self,
        table: Table,
        index: u32,
        record: &R,
    ) {
        for (word, value) in words(index, record) {
            self.set_word(table, word, value);
        }
    }
}

/// An address as tables have it: IPv4 in the first four bytes, the rest zero.
pub(crate) fn octets(address: IpAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(address) => octets[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => octets = address.octets(),
    }
    octets
}

/// The address of [`octets`].
pub(crate) fn address(octets: [u8; 16], is_ipv6: bool) -> IpAddr {
    let [a, b, c, d, ..] = octets;
    if is_ipv6 { IpAddr::from(octets) } else { IpAddr::from([a, b, c, d]) }
}

/// The words of block `index` of a table that holds a record there.
pub(crate) fn words<R: IntoBytes + Immutable + KnownLayout>(
    index: u32,
    record: &R,
) -> impl Iterator<Item = (usize, u64)> + use<R> {
    let Ok(block) = Block::read_from_bytes(record.as_bytes()) else {
        unreachable!("records are one block long")
    };
    (index as usize * BLOCK_WORDS..).zip(block.0)
}
