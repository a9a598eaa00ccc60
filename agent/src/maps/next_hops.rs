//! The next-hop table, kept in step with the kernel's neighbours rather than with commits.

use std::sync::Arc;

use abi::next_hop::{NEXT_HOPS_MAP, NextHop};
use zerocopy::{FromBytes, IntoBytes};

use super::mapping::Mapping;

/// Next hops by id.
#[derive(Clone)]
pub struct NextHops(Arc<Mapping>);

/// Words of a record: destination, source, interface with MTU, padding.
const WORDS: usize = size_of::<NextHop>() / size_of::<u64>();

impl NextHops {
    pub const NAME: &'static str = NEXT_HOPS_MAP;

    pub fn new(mapping: Mapping) -> Self {
        Self(Arc::new(mapping))
    }

    /// Ids that have a place.
    pub fn capacity(&self) -> usize {
        self.0.words().len() / WORDS
    }

    pub fn read(&self, id: u32) -> NextHop {
        let words: [u64; WORDS] = std::array::from_fn(|word| self.0.load(place(id) + word));
        NextHop::read_from_bytes(words.as_bytes()).unwrap_or_default()
    }

    /// Replaces a hop. Packets see the old one, none, or the new one: the destination is zero
    /// while the rest changes.
    pub fn write(&self, id: u32, hop: &NextHop) {
        if self.read(id) == *hop {
            return;
        }
        let Ok(words) = <[u64; WORDS]>::read_from_bytes(hop.as_bytes()) else { return };
        let [destination, rest @ ..] = words;
        self.0.store(place(id), 0);
        for (word, value) in (1..).zip(rest) {
            self.0.store(place(id) + word, value);
        }
        self.0.store(place(id), destination);
    }

    /// Leaves the way to the kernel: one store.
    pub fn clear(&self, id: u32) {
        self.0.store(place(id), 0);
    }

    /// Clears all but these, also what an earlier agent has written.
    pub fn retain(&self, keep: impl Fn(u32) -> bool) {
        for id in (0..=u32::MAX).take(self.capacity()) {
            if self.0.load(place(id)) != 0 && !keep(id) {
                self.clear(id);
            }
        }
    }
}

const fn place(id: u32) -> usize {
    id as usize * WORDS
}
