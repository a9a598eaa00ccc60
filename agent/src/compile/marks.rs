//! What single addresses are, apart from their class.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use abi::address::Leaf;

use super::{
    frontends::{self, Place},
    ids::Ids,
};
use crate::model::{FrontendKind, Key, Kind, Service};

/// Flags and local endpoint of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub flags: u8,
    pub endpoint: u16,
}

impl Mark {
    pub(super) fn leaf(self, class: u32) -> Leaf {
        Leaf::new(class, self.endpoint, self.flags)
    }
}

/// Every address of which more is known than its class.
#[derive(Debug, Default)]
pub(super) struct Marks {
    sums: BTreeMap<IpAddr, Mark>,
    /// All that somebody has said about an address.
    claims: HashMap<IpAddr, Vec<Claim>>,
    /// By resource, the addresses that it says something about.
    claimed: HashMap<Key, Vec<(IpAddr, Claim)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Frontend,
    ThisNode,
    OtherNode,
    /// Of a local workload its endpoint, of others 0.
    Workload(u16),
}

impl Marks {
    /// Follows a change of these resources; gives the addresses that are no longer what they
    /// were.
    pub(super) fn update<'k>(
        &mut self,
        place: Place<'_>,
        changed: impl Iterator<Item = &'k Key>,
        ids: &Ids,
    ) -> BTreeSet<IpAddr> {
        let Place { world, node, .. } = place;
        let mut touched = BTreeSet::new();
        let mut keys: BTreeSet<Key> = changed.cloned().collect();
        if keys.iter().any(|key| key.kind == Kind::Node && key.name == node) {
            // Node and host ports are at the node's addresses.
            keys.extend(world.services.values().filter(|it| has_own_port(it)).map(key_of));
        }
        for key in &keys {
            let claims = claims(place, key, ids);
            let before = if claims.is_empty() {
                self.claimed.remove(key)
            } else {
                self.claimed.insert(key.clone(), claims.clone())
            };
            for (address, claim) in before.into_iter().flatten() {
                self.withdraw(address, claim);
                touched.insert(address);
            }
            for (address, claim) in claims {
                self.claims.entry(address).or_default().push(claim);
                touched.insert(address);
            }
        }
        touched.retain(|address| self.mark(*address));
        touched
    }

    pub(super) fn get(&self, address: IpAddr) -> Option<Mark> {
        self.sums.get(&address).copied()
    }

    /// The marks of a range of addresses of one family, ascending.
    pub(super) fn range(
        &self,
        first: IpAddr,
        last: IpAddr,
    ) -> impl Iterator<Item = (IpAddr, Mark)> {
        self.sums.range(first..=last).map(|(address, mark)| (*address, *mark))
    }

    fn withdraw(&mut self, address: IpAddr, claim: Claim) {
        if let Some(claims) = self.claims.get_mut(&address) {
            if let Some(index) = claims.iter().position(|it| *it == claim) {
                claims.swap_remove(index);
            }
            if claims.is_empty() {
                self.claims.remove(&address);
            }
        }
    }

    /// Brings an address' mark up to date; says whether it is another.
    fn mark(&mut self, address: IpAddr) -> bool {
        let mark = self.claims.get(&address).map_or_else(Mark::default, |claims| sum(claims));
        let before = if mark == Mark::default() {
            self.sums.remove(&address)
        } else {
            self.sums.insert(address, mark)
        };
        before.unwrap_or_default() != mark
    }
}

fn sum(claims: &[Claim]) -> Mark {
    let mut mark = Mark::default();
    // An address that somebody answers to is no mere service address.
    let mut taken = false;
    for claim in claims {
        match claim {
            Claim::Frontend => mark.flags |= Leaf::FRONTEND,
            Claim::ThisNode => mark.flags |= Leaf::THIS_NODE,
            Claim::OtherNode => mark.flags |= Leaf::OTHER_NODE,
            Claim::Workload(endpoint) => {
                mark.flags |= Leaf::WORKLOAD;
                mark.endpoint = mark.endpoint.max(*endpoint);
            }
        }
        taken |= *claim != Claim::Frontend;
    }
    if mark.flags & Leaf::FRONTEND != 0 && !taken {
        mark.flags |= Leaf::SERVICE_ONLY;
    }
    mark
}

fn has_own_port(service: &Service) -> bool {
    let mut kinds = service.frontends.iter().map(|frontend| frontend.kind);
    kinds.any(|kind| matches!(kind, FrontendKind::NodePort | FrontendKind::HostPort))
}

fn key_of(service: &Service) -> Key {
    Key { kind: Kind::Service, name: service.name.clone() }
}

/// What a resource says about addresses.
fn claims(place: Place<'_>, key: &Key, ids: &Ids) -> Vec<(IpAddr, Claim)> {
    let Place { world, node, .. } = place;
    let of = |addresses: &[IpAddr], claim| addresses.iter().map(|it| (*it, claim)).collect();
    match key.kind {
        Kind::Node => world.nodes.get(&key.name).map(|it| {
            let claim = if it.name == node { Claim::ThisNode } else { Claim::OtherNode };
            of(&it.addresses, claim)
        }),
        Kind::Workload => world.workloads.get(&key.name).map(|it| {
            let endpoint = if it.node == node { ids.endpoint(&it.name) } else { 0 };
            of(&it.addresses, Claim::Workload(endpoint))
        }),
        Kind::Service => world.services.get(&key.name).map(|it| {
            let frontends = it.frontends.iter();
            let addresses =
                frontends.flat_map(|frontend| frontends::addresses(place, it, frontend));
            let addresses: BTreeSet<IpAddr> = addresses.collect();
            addresses.into_iter().map(|address| (address, Claim::Frontend)).collect()
        }),
        Kind::AddressSet | Kind::Policy | Kind::BackendSet => None,
    }
    .unwrap_or_default()
}
