//! Connections, as the datapath over the pinned maps decides about them.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use rand::{SeedableRng, rngs::StdRng, seq::IndexedRandom};
use testbed::tables::Datapath;
use zonegate::{
    compile::{Connection, Direction, explain},
    image::Image,
    model::{Protocol, Workload, World},
};

use super::truth::Compiled;

/// Asks about clients of every frontend, and about connections of local workloads. What a service
/// offers is held against a fresh image; what policy says against the policies themselves, which
/// [`explain`] walks. Says how many were asked about.
pub fn ask(found: &Image, expected: &Compiled, world: &World, seed: u64) -> Result<usize> {
    let [found, fresh] = [found, &expected.image].map(Datapath::new);
    Ok(offers(&found, &fresh, world)? + verdicts(&found, world, seed)?)
}

fn offers(found: &Datapath<'_>, fresh: &Datapath<'_>, world: &World) -> Result<usize> {
    let mut clients: Vec<IpAddr> = OUTSIDERS.iter().flat_map(|it| it.parse()).collect();
    clients.extend(world.nodes.values().flat_map(|node| &node.addresses));
    clients.extend(world.workloads.values().step_by(3).flat_map(|it| &it.addresses));
    let own = world.nodes.values().flat_map(|node| &node.addresses).copied();
    let own: Vec<IpAddr> = own.collect();
    let mut probes = 0;
    for frontend in world.services.values().flat_map(|service| &service.frontends) {
        let at: Vec<IpAddr> = match frontend.address {
            address if address.is_unspecified() => own.clone(),
            address => vec![address],
        };
        for address in at {
            let destination = SocketAddr::new(address, frontend.port);
            for client in clients.iter().filter(|it| it.is_ipv4() == address.is_ipv4()) {
                let [found, expected] = [found, fresh].map(|datapath| {
                    datapath.offer(*client, destination, frontend.protocol.number())
                });
                if found != expected {
                    bail!("{client} to {destination}: expected {expected}, found {found}");
                }
                probes += 1;
            }
        }
    }
    Ok(probes)
}

fn verdicts(found: &Datapath<'_>, world: &World, seed: u64) -> Result<usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let ends: Vec<(IpAddr, Option<&Workload>)> = {
        let workloads = world.workloads.values();
        let pods = workloads.flat_map(|it| it.addresses.iter().map(move |at| (*at, Some(it))));
        let others = OUTSIDERS.iter().flat_map(|it| it.parse::<IpAddr>());
        pods.chain(others.map(|it| (it, None))).collect()
    };
    let mut probes = 0;
    for _ in 0..PROBES {
        let (Some(from), Some(to)) = (ends.choose(&mut random), ends.choose(&mut random)) else {
            break;
        };
        let traffic = TRAFFIC.choose(&mut random).copied().flatten();
        let same = from.1.is_some_and(|one| to.1.is_some_and(|other| one.name == other.name));
        if from.0.is_ipv4() != to.0.is_ipv4() || same {
            continue;
        }
        let expected = allowed(world, *from, *to, traffic, found);
        let (protocol, port) = traffic.map_or((1, 0), |(it, port)| (it.number(), port));
        let destination = SocketAddr::new(to.0, port);
        let says = found.allows(from.0, destination, protocol);
        if says != expected {
            let traffic = traffic.map_or("no ports".to_owned(), |(it, _)| it.to_string());
            bail!(
                "{} to {destination} with {traffic}: allowed is {says} and not {expected}",
                from.0
            );
        }
        probes += 1;
    }
    Ok(probes)
}

/// What the policies of those ends say that are local.
fn allowed(
    world: &World,
    from: (IpAddr, Option<&Workload>),
    to: (IpAddr, Option<&Workload>),
    traffic: Option<(Protocol, u16)>,
    found: &Datapath<'_>,
) -> bool {
    let says = |end: Option<&Workload>, direction, peer| {
        let local = end.filter(|it| found.is_local(&it.name));
        let connection = Connection { peer, traffic, exempt: false };
        local.is_none_or(|workload| explain(world, workload, direction, connection).allowed)
    };
    says(from.1, Direction::Egress, to.0) && says(to.1, Direction::Ingress, from.0)
}

const PROBES: usize = 1000;
const OUTSIDERS: [&str; 5] =
    ["198.51.100.7", "198.51.100.200", "2001:db8:64::7", "203.0.113.250", "10.77.0.1"];
const TRAFFIC: [Option<(Protocol, u16)>; 6] = [
    Some((Protocol::Tcp, 8080)),
    Some((Protocol::Tcp, 80)),
    Some((Protocol::Udp, 53)),
    Some((Protocol::Sctp, 7000)),
    Some((Protocol::Tcp, 8100)),
    None,
];
