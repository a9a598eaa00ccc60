//! The ports of local workloads, kept in step with the kernel's links rather than with commits.

use std::sync::Arc;

use abi::port::{PORTS_MAP, Port};
use zerocopy::{FromBytes, IntoBytes};

use super::mapping::Mapping;

/// Ports by endpoint id.
#[derive(Clone)]
pub struct Ports(Arc<Mapping>);

const WORDS: usize = size_of::<Port>() / size_of::<u64>();

impl Ports {
    pub const NAME: &'static str = PORTS_MAP;

    pub fn new(mapping: Mapping) -> Self {
        Self(Arc::new(mapping))
    }

    /// Ids that have a place.
    pub fn capacity(&self) -> usize {
        self.0.words().len() / WORDS
    }

    pub fn read(&self, id: u16) -> Port {
        let words: [u64; WORDS] = std::array::from_fn(|word| self.0.load(place(id) + word));
        Port::read_from_bytes(words.as_bytes()).unwrap_or_default()
    }

    /// Replaces a port. The interface is in the first word, which is zero while the second
    /// changes.
    pub fn write(&self, id: u16, port: &Port) {
        if self.read(id) == *port {
            return;
        }
        let Ok([interface, rest]) = <[u64; WORDS]>::read_from_bytes(port.as_bytes()) else {
            return;
        };
        self.0.store(place(id), 0);
        self.0.store(place(id) + 1, rest);
        self.0.store(place(id), interface);
    }

    /// Takes all interfaces but those of these endpoints, also what an earlier agent has written.
    pub fn retain(&self, keep: impl Fn(u16) -> bool) {
        for id in (0..=u16::MAX).take(self.capacity()) {
            if self.0.load(place(id)) != 0 && !keep(id) {
                self.write(id, &Port::default());
            }
        }
    }
}

const fn place(id: u16) -> usize {
    id as usize * WORDS
}
