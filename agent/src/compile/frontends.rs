//! Frontends: service addresses and the records that they lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::frontend::FrontendKey;

use super::{
    audience::Role,
    ids::ServiceIds,
    limits::within,
    ranges::Family,
    services::{Scene, octets},
    settings::Settings,
};
use crate::{
    image::Image,
    model::{Frontend, FrontendKind, Key, Kind, Service, World},
    refusal::Refusal,
};

/// A node of a world, as its settings have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub world: &'p World,
    pub node: &'p str,
    pub settings: &'p Settings,
}

/// Writes the frontends of all services.
///
/// A node port is at every address of this node that the settings leave, and for the node's own
/// processes at 127.0.0.1, as with kube-proxy, and at `::1`. What has the same address, port and
/// protocol without being a node port comes before it.
pub(super) fn write(
    image: &mut Image,
    scene: &Scene<'_>,
    ids: &ServiceIds,
) -> Result<(), Vec<Refusal>> {
    let Scene { limits, world, node, settings, .. } = *scene;
    let place = Place { world, node, settings };
    for node_ports in [true, false] {
        for (service, frontend) in all(world) {
            if (frontend.kind == FrontendKind::NodePort) != node_ports {
                continue;
            }
            let family = Family::of(frontend.address);
            let role = Role::of(frontend, service);
            let id = ids.services.id(&(service.name.clone(), family, role));
            let loopback = match family {
                Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            let loopback = Some(loopback).filter(|it| node_ports && settings.has_node_ports(*it));
            // Other nodes' ports, for what they send through tunnels.
            let others = (node_ports && role.is_tunnelled(service)).then_some(frontend.address);
            let own = addresses(place, frontend);
            for address in own.into_iter().chain(loopback).chain(others) {
                image.frontends.insert(key(address, frontend), id);
            }
        }
    }
    within("frontends", image.frontends.len(), limits.frontends as usize, || {
        let largest = world.services.values().max_by_key(|service| service.frontends.len());
        Key { kind: Kind::Service, name: largest.map_or_else(String::new, |it| it.name.clone()) }
    })
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

fn all(world: &World) -> impl Iterator<Item = (&Service, &Frontend)> {
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
