//! The counters, summed over processors.

use std::io;

use abi::reason::{COUNTERS_MAP, DropReason, PassReason};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use super::error::system;
use crate::dataplane::Counter;

/// The per-CPU counters map.
pub struct Counters(MapHandle);

impl Counters {
    pub const NAME: &'static str = COUNTERS_MAP;

    pub fn new(map: MapHandle) -> Self {
        Self(map)
    }

    /// All counters that have a reason, zeros included.
    pub fn read(&self) -> io::Result<Vec<Counter>> {
        let passed = PassReason::ALL.iter().map(|reason| (*reason as u32, reason.name(), false));
        let dropped = DropReason::ALL.iter().map(|reason| (*reason as u32, reason.name(), true));
        passed
            .chain(dropped)
            .map(|(slot, name, drop)| Ok(Counter { name, drop, packets: self.sum(slot)? }))
            .collect()
    }

    fn sum(&self, slot: u32) -> io::Result<u64> {
        let values = self
            .0
            .lookup_percpu(&slot.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| system(&error))?
            .unwrap_or_default();
        let words = values.iter().filter_map(|value| value.first_chunk());
        Ok(words.map(|value| u64::from_ne_bytes(*value)).fold(0, u64::wrapping_add))
    }
}
