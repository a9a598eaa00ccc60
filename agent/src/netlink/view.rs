//! What the kernel knows of links, neighbours and routes, read afresh.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use futures::TryStreamExt;
use rtnetlink::{
    Error, Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        link::{LinkAttribute, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState},
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType},
    },
};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    /// Zero where the link has none of six bytes.
    pub mac: [u8; 6],
}

/// Where a packet to an address leaves the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub interface: u32,
    /// The gateway, or the address itself where it is on the link.
    pub neighbour: IpAddr,
}

pub async fn links(handle: &Handle) -> Result<BTreeMap<String, Link>, Error> {
    let mut links = BTreeMap::new();
    let mut messages = handle.link().get().execute();
    while let Some(message) = messages.try_next().await? {
        links.extend(link(&message));
    }
    Ok(links)
}

/// The interface that a message is about, with its name.
pub fn link(message: &LinkMessage) -> Option<(String, Link)> {
    let mut link = Link { index: message.header.index, mtu: 0, mac: [0; 6] };
    let mut name = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(address) => {
                link.mac = address.as_slice().try_into().unwrap_or_default();
            }
            _ => {}
        }
    }
    Some((name?, link))
}

/// Link addresses that the kernel would use now, by interface and address.
pub async fn neighbours(handle: &Handle) -> Result<HashMap<(u32, IpAddr), [u8; 6]>, Error> {
    let mut neighbours = HashMap::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut messages = handle.neighbours().get().set_address_family(family).execute();
        while let Some(message) = messages.try_next().await? {
            let known = matches!(
                message.header.state,
                NeighbourState::Reachable
                    | NeighbourState::Stale
                    | NeighbourState::Delay
                    | NeighbourState::Probe
                    | NeighbourState::Permanent
            );
            let (mut address, mut mac) = (None, None);
            for attribute in message.attributes {
                match attribute {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(it)) => {
                        address = Some(IpAddr::V4(it));
                    }
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(it)) => {
                        address = Some(IpAddr::V6(it));
                    }
                    NeighbourAttribute::LinkLayerAddress(it) => mac = it.try_into().ok(),
                    _ => {}
                }
            }
            if let (true, Some(address), Some(mac)) = (known, address, mac) {
                neighbours.insert((message.header.ifindex, address), mac);
            }
        }
    }
    Ok(neighbours)
}

/// The interface that an address by itself is routed to, with nothing in between; `None` where
/// no such route leads to it.
pub async fn host_route(handle: &Handle, address: IpAddr) -> Option<u32> {
    let mut request = request(address);
    // The answer is the route, and not what becomes of the address by it (Linux 4.13).
    request.header.flags |= RouteFlags::FibMatch;
    let route = handle.route().get(request).execute().try_next().await.ok().flatten()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let header = &route.header;
    if header.kind != RouteType::Unicast || header.destination_prefix_length != bits {
        return None;
    }
    let mut interface = None;
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(index),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => return None,
            _ => {}
        }
    }
    interface
}

/// The way to an address by the kernel's routes; `None` where there is none.
pub async fn way(handle: &Handle, address: IpAddr) -> Option<Way> {
    // "No route to host" is an answer like any other.
    let route = handle.route().get(request(address)).execute().try_next().await.ok().flatten()?;
    let mut interface = None;
    let mut neighbour = address;
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(index),
            RouteAttribute::Gateway(RouteAddress::Inet(it)) => neighbour = it.into(),
            RouteAttribute::Gateway(RouteAddress::Inet6(it)) => neighbour = it.into(),
            _ => {}
        }
    }
    Some(Way { interface: interface?, neighbour })
}

fn request(address: IpAddr) -> RouteMessage {
    match address {
        IpAddr::V4(it) => {
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().destination_prefix(it, 32).build()
        }
        IpAddr::V6(it) => {
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().destination_prefix(it, 128).build()
        }
    }
}
