//! Frontends: service addresses and the records that they lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use abi::frontend::FrontendKey;

use super::{audience::Role, ranges::Family, service_ids::Known, settings::Settings};
use crate::{
    draft::Draft,
    few::{self, Few},
    image::octets,
    model::{Frontend, FrontendKind, Service, World},
};

/// A node of a world, as its settings have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub world: &'p World,
    pub node: &'p str,
    pub settings: &'p Settings,
}

/// Who asks for which frontends.
///
/// A node port is at every address of this node that the settings leave, and for the node's own
/// processes at 127.0.0.1, as with kube-proxy, and at `::1`. So is a host port without an address,
/// whatever the settings leave; one with an address is at that, if it is this node's. What names
/// the same address, port and protocol comes before what is at all addresses.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    claims: BTreeMap<FrontendKey, Few<Claim>>,
    /// By service.
    claimed: BTreeMap<String, Box<[FrontendKey]>>,
}

/// Of several for one frontend, the greatest holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// It names its address.
    fixed: bool,
    service: String,
    record: u32,
}

impl Frontends {
    /// Makes the claims of a service what it asks for now; `None`: it is gone.
    pub(super) fn update(
        &mut self,
        place: Place<'_>,
        name: &str,
        service: Option<(&Service, &Known)>,
        draft: &mut Draft,
    ) {
        let before: BTreeSet<_> = self.claimed.remove(name).into_iter().flatten().collect();
        for key in &before {
            if let Some(claims) = self.claims.get_mut(key) {
                claims.retain(|claim| claim.service != name);
            }
        }
        let mut claimed = BTreeSet::new();
        for (frontend, known, service) in service.into_iter().flat_map(|(service, known)| {
            service.frontends.iter().map(move |it| (it, known, service))
        }) {
            let family = Family::of(frontend.address);
            let Some(record) = known.record(family, Role::of(frontend, service)) else { continue };
            let fixed = !frontend.address.is_unspecified();
            for key in keys(place, service, frontend) {
                let claim = Claim { fixed, service: name.to_owned(), record };
                few::insert(&mut self.claims, key, claim);
                claimed.insert(key);
            }
        }
        for key in before.union(&claimed) {
            let holder = self.claims.get(key).and_then(|claims| claims.last());
            draft.set_frontend(*key, holder.map(|claim| claim.record));
            if holder.is_none() {
                self.claims.remove(key);
            }
        }
        if !claimed.is_empty() {
            self.claimed.insert(name.to_owned(), claimed.into_iter().collect());
        }
    }
}

/// Where packets find a frontend on a node.
pub(super) fn addresses(place: Place<'_>, service: &Service, frontend: &Frontend) -> Vec<IpAddr> {
    let Place { world, node, settings } = place;
    let Frontend { kind, address, .. } = *frontend;
    let own = world.nodes.get(node).into_iter().flat_map(|node| &node.addresses);
    let own = own.filter(|it| it.is_ipv4() == address.is_ipv4()).copied();
    match kind {
        FrontendKind::Cluster | FrontendKind::LoadBalancer | FrontendKind::External => {
            vec![address]
        }
        FrontendKind::NodePort => own.filter(|it| settings.has_node_ports(*it)).collect(),
        FrontendKind::HostPort if !service.is_on(node, frontend) => Vec::new(),
        // Nobody but the node's own processes can name it.
        FrontendKind::HostPort if address.is_loopback() => Vec::new(),
        FrontendKind::HostPort => {
            own.filter(|it| address.is_unspecified() || *it == address).collect()
        }
    }
}

/// What a frontend is looked up by on a node, by packets and by its own processes.
pub(super) fn keys(place: Place<'_>, service: &Service, frontend: &Frontend) -> Vec<FrontendKey> {
    let node_port = frontend.kind == FrontendKind::NodePort;
    let loopback = match Family::of(frontend.address) {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let loopback = Some(loopback).filter(|it| match frontend.kind {
        FrontendKind::NodePort => place.settings.has_node_ports(*it),
        FrontendKind::HostPort => {
            let (here, at) = (service.is_on(place.node, frontend), frontend.address);
            here && (at.is_unspecified() || at == *it)
        }
        _ => false,
    });
    // Other nodes' ports, for what they send through tunnels.
    let tunnelled = node_port && Role::of(frontend, service).is_tunnelled(service);
    let others = tunnelled.then_some(frontend.address);
    let addresses = addresses(place, service, frontend).into_iter().chain(loopback).chain(others);
    addresses.map(|address| key(address, frontend)).collect()
}

pub(super) fn all(world: &World) -> impl Iterator<Item = (&Service, &Frontend)> {
    let services = world.services.values();
    services.flat_map(|service| service.frontends.iter().map(move |it| (service, it)))
}

fn key(address: IpAddr, frontend: &Frontend) -> FrontendKey {
    FrontendKey {
        address: octets(address),
        port: frontend.port.to_be_bytes(),
        protocol: frontend.protocol.number(),
        side: if address.is_ipv6() { FrontendKey::V6 } else { 0 },
    }
}
