//! Epochs: numbers that make live flows be looked at again.
//!
//! A flow remembers the sum of three epochs: the node's (of endpoint 0) and those of its local
//! endpoints. None of them ever decreases, not even when an endpoint goes away, so the sum
//! changes whenever one of them does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::{
    record::{Endpoint, Node},
    table::{BLOCK_WORDS, Table},
};
use serde::{Deserialize, Serialize};

use super::{chains::EndpointRows, digest::Digest};
use crate::{
    draft::Draft,
    image::{Image, octets},
};

/// The epochs, and what they were last derived from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epochs {
    /// Moves with what can change the course of any flow: a backend stops serving, or an address
    /// becomes or ceases to be a local endpoint's or this node's.
    node: u32,
    /// By endpoint id; those of former endpoints too.
    endpoints: BTreeMap<u16, u32>,
    /// The policy of the present endpoints.
    policies: BTreeMap<u16, Digest>,
    local_addresses: Digest,
    /// Where epochs start.
    first: u32,
}

impl Epochs {
    /// Moves the epochs of everything that changed; `lost`: some backend serves no more.
    pub(super) fn advance(
        &mut self,
        policies: BTreeMap<u16, Digest>,
        local_addresses: Digest,
        lost: bool,
    ) {
        let first = self.first.max(1);
        let moved = lost || local_addresses != self.local_addresses;
        if self.node == 0 {
            self.node = first;
        } else if moved {
            self.node = self.node.wrapping_add(1);
        }
        let ids: BTreeSet<u16> = self.policies.keys().chain(policies.keys()).copied().collect();
        for id in ids {
            if self.policies.get(&id) != policies.get(&id) {
                let bump = |epoch: &mut u32| *epoch = epoch.wrapping_add(1);
                self.endpoints.entry(id).and_modify(bump).or_insert(first);
            }
        }
        self.policies = policies;
        self.local_addresses = local_addresses;
    }

    /// Starts above every epoch of an adopted image.
    pub(super) fn start_after(&mut self, adopted: &Image) {
        let records = (adopted.words(Table::Endpoints).len() / BLOCK_WORDS) as u32;
        let held: Vec<(u16, u32)> = (0..records)
            .map(|id| (id as u16, adopted.record::<Endpoint>(Table::Endpoints, id).epoch))
            .filter(|(_, epoch)| *epoch != 0)
            .collect();
        let highest = held.iter().map(|(_, epoch)| *epoch).max().unwrap_or(0);
        self.first = self.first.max(highest.wrapping_add(1));
        let above = |epoch: u32| epoch.max(self.first);
        self.node = above(self.node);
        for (id, _) in held.into_iter().filter(|(id, _)| *id != 0) {
            self.endpoints
                .entry(id)
                .and_modify(|epoch| *epoch = above(*epoch))
                .or_insert(self.first);
        }
    }

    /// Writes the node's record, with its `addresses`, and the endpoints'; `rows` are those of the
    /// present endpoints.
    pub(super) fn write(
        &self,
        draft: &mut Draft,
        addresses: &[IpAddr],
        rows: &BTreeMap<u16, EndpointRows>,
    ) {
        let first = |v6: bool| {
            let address = addresses.iter().find(|address| address.is_ipv6() == v6);
            address.map_or([0; 16], |address| octets(*address))
        };
        let node = Node {
            epoch: self.node,
            masquerade4: first(false),
            masquerade6: first(true),
            ..Node::default()
        };
        draft.set_record(Table::Endpoints, 0, &node);
        let mut write = |id: u16, epoch: u32| {
            let rows = rows.get(&id).copied().unwrap_or(EndpointRows::UNRESTRICTED);
            let [ingress_row, egress_row] = rows.judged;
            let [ingress_exempt_row, egress_exempt_row] = rows.exempt;
            let record = Endpoint {
                epoch,
                ingress_row,
                egress_row,
                ingress_exempt_row,
                egress_exempt_row,
                ..Endpoint::default()
            };
            draft.set_record(Table::Endpoints, id as u32, &record);
        };
        for (id, epoch) in &self.endpoints {
            write(*id, *epoch);
        }
    }
}
