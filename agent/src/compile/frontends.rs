//! Frontends: service addresses and the records that they lead to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use abi::frontend::FrontendKey;

use super::{
    audience::Role, ranges::Family, service_ids::Known, services::octets, settings::Settings,
};
use crate::{
    draft::Draft,
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
/// processes at 127.0.0.1, as with kube-proxy, and at `::1`. What has the same address, port and
/// protocol without being a node port comes before it.
#[derive(Debug, Default)]
pub(super) struct Frontends {
    claims: BTreeMap<FrontendKey, Vec<Claim>>,
    /// By service.
    claimed: BTreeMap<String, BTreeSet<FrontendKey>>,
}

/// Of several for one frontend, the greatest holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
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
        let before = self.claimed.remove(name).unwrap_or_default();
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
            let fixed = frontend.kind != FrontendKind::NodePort;
            for key in keys(place, service, frontend) {
                let claim = Claim { fixed, service: name.to_owned(), record };
                self.claims.entry(key).or_default().push(claim);
                claimed.insert(key);
            }
        }
        for key in before.union(&claimed) {
            let holder = self.claims.get(key).and_then(|claims| claims.iter().max());
            draft.set_frontend(*key, holder.map(|claim| claim.record));
            if holder.is_none() {
                self.claims.remove(key);
            }
        }
        if !claimed.is_empty() {
            self.claimed.insert(name.to_owned(), claimed);
        }
    }
}

/// Where packets find a frontend on a node.
pub(super) fn addresses(place: Place<'_>, frontend: &Frontend) -> Vec<IpAddr> {
    if frontend.kind != FrontendKind::NodePort {
        return vec![frontend.address];
    }
    let Place { world, node, settings } = place;
    let own = world.nodes.get(node).into_iter().flat_map(|node| &node.addresses);
    let own = own.filter(|it| it.is_ipv4() == frontend.address.is_ipv4());
    own.filter(|it| settings.has_node_ports(**it)).copied().collect()
}

/// What a frontend is looked up by on a node, by packets and by its own processes.
pub(super) fn keys(place: Place<'_>, service: &Service, frontend: &Frontend) -> Vec<FrontendKey> {
    let node_port = frontend.kind == FrontendKind::NodePort;
    let loopback = match Family::of(frontend.address) {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let loopback = Some(loopback).filter(|it| node_port && place.settings.has_node_ports(*it));
    // Other nodes' ports, for what they send through tunnels.
    let tunnelled = node_port && Role::of(frontend, service).is_tunnelled(service);
    let others = tunnelled.then_some(frontend.address);
    let addresses = addresses(place, frontend).into_iter().chain(loopback).chain(others);
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
