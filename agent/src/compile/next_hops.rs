//! Next hops: addresses of backends elsewhere, and the records that name them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::{record::Backend as Record, table::Table};

use super::service_ids::{Pool, Rooms, ServiceIds};
use crate::{
    draft::Draft,
    few::{self, Few},
};

/// Which backends have an address.
#[derive(Debug, Default)]
pub(super) struct NextHops {
    backends: BTreeMap<IpAddr, Few<u32>>,
    /// Addresses that the kernel delivers on this node: no next hop leads there.
    here: BTreeSet<IpAddr>,
    /// Addresses whose next hop or whose backends may be others now.
    touched: BTreeSet<IpAddr>,
}

/// There is no number left for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    pub address: IpAddr,
    pub needed: usize,
}

impl NextHops {
    /// Whether the kernel delivers an address on this node.
    pub(super) fn is_here(&self, address: IpAddr) -> bool {
        self.here.contains(&address)
    }

    pub(super) fn set_here(&mut self, here: BTreeSet<IpAddr>) {
        self.touched.extend(self.here.symmetric_difference(&here));
        self.here = here;
    }

    pub(super) fn touch(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        self.touched.extend(addresses);
    }

    pub(super) fn join(&mut self, address: IpAddr, backend: u32) {
        if few::insert(&mut self.backends, address, backend) {
            self.touched.insert(address);
        }
    }

    pub(super) fn leave(&mut self, address: IpAddr, backend: u32) {
        few::remove(&mut self.backends, &address, &backend);
        self.touched.insert(address);
    }

    /// Numbers the addresses that were touched and has their backends name them.
    pub(super) fn write(
        &mut self,
        ids: &mut ServiceIds,
        rooms: Rooms,
        now: u64,
        draft: &mut Draft,
    ) -> Result<(), Full> {
        for address in std::mem::take(&mut self.touched) {
            let backends = self.backends.get(&address);
            let wanted = backends.is_some() && !self.here.contains(&address);
            let before = ids.next_hop(address);
            let hop = ids
                .assign_next_hop(address, wanted, rooms, now)
                .map_err(|_: Pool| Full { address, needed: self.needed() })?;
            if let Some(id) = before.filter(|_| hop.is_none()) {
                draft.set_next_hop(id, None);
            }
            if let Some(id) = hop {
                draft.set_next_hop(id, Some(address));
            }
            for id in backends.into_iter().flatten() {
                let mut record: Record = draft.image().record(Table::Backends, *id);
                record.next_hop = hop.unwrap_or(0);
                draft.set_record(Table::Backends, *id, &record);
            }
        }
        Ok(())
    }

    fn needed(&self) -> usize {
        self.backends.keys().filter(|address| !self.here.contains(address)).count()
    }
}
