//! The ranges of address sets, computed once until a set changes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::ranges::SetRanges;
use crate::model::World;

/// Ranges by the names of sets.
#[derive(Debug, Default)]
pub(super) struct Sets(HashMap<String, Arc<SetRanges>>);

impl Sets {
    /// The ranges of a set; an unknown one is empty.
    pub(super) fn get(&mut self, world: &World, name: &str) -> Arc<SetRanges> {
        if let Some(ranges) = self.0.get(name) {
            return Arc::clone(ranges);
        }
        let ranges = world.address_sets.get(name).map_or_else(SetRanges::default, SetRanges::new);
        let ranges = Arc::new(ranges);
        self.0.insert(name.to_owned(), Arc::clone(&ranges));
        ranges
    }

    /// Says that a set is not what it was.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether any of the addresses is in any of the sets.
    pub(super) fn meet(&mut self, world: &World, names: &[String], addresses: &[IpAddr]) -> bool {
        names.iter().any(|name| {
            let ranges = self.get(world, name);
            addresses.iter().any(|address| ranges.contains(*address))
        })
    }
}
