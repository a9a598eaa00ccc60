//! Verdicts and leaves of random worlds, and epochs between two of them.

use std::net::IpAddr;

use abi::address::Leaf;
use proptest::prelude::*;
use zonegate::{
    image::Image,
    model::{Workload, World},
};

use crate::{
    lookup,
    oracle::{self, Direction, Relation},
    world::{HERE, any_world, compiler, probes},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_say_what_the_resources_say(world in any_world()) {
        check(&world, &compiler().compile(&world).unwrap());
    }

    #[test]
    fn an_epoch_moves_with_every_verdict(before in any_world(), after in any_world()) {
        // Only policy changes: what moves addresses moves the node's epoch as well.
        let after = World { policies: after.policies, address_sets: after.address_sets, ..before.clone() };
        let mut compiler = compiler();
        let old = compiler.compile(&before).unwrap();
        let new = compiler.compile(&after).unwrap();
        prop_assert_eq!(lookup::node_epoch(&new), lookup::node_epoch(&old));
        prop_assert_eq!(&compiler.compile(&after).unwrap(), &new);

        let (mut addresses, services) = probes(&before);
        addresses.extend(probes(&after).0);
        for (subject, direction, relation, peer) in questions(&before, &addresses) {
            let epoch = |image| lookup::endpoint(image, &subject.name).epoch;
            if epoch(&new) != epoch(&old) {
                continue;
            }
            for (protocol, port) in &services {
                let verdict = |world| {
                    oracle::allows(world, subject, direction, relation, peer, *protocol, *port)
                };
                prop_assert_eq!(verdict(&before), verdict(&after), "{}", &subject.name);
            }
        }
    }
}

/// Panics unless the image says of every address and connection what the world says.
pub fn check(world: &World, image: &Image) {
    check_leaves(world, image);
    let (addresses, services) = probes(world);
    for (subject, direction, relation, peer) in questions(world, &addresses) {
        for (protocol, port) in &services {
            let expected =
                oracle::allows(world, subject, direction, relation, peer, *protocol, *port);
            let name = &subject.name;
            let got = lookup::allows(image, name, direction, relation, peer, *protocol, *port);
            assert_eq!(got, expected, "{name} {direction:?} {relation:?} {peer} {protocol}/{port}");
        }
    }
}

/// Every local workload with each direction, and each peer in each relation it may have.
fn questions<'w>(
    world: &'w World,
    addresses: &'w [IpAddr],
) -> impl Iterator<Item = (&'w Workload, Direction, Relation, IpAddr)> {
    let subjects = world.workloads.values().filter(|it| it.node == HERE);
    subjects.flat_map(move |subject| {
        [Direction::Ingress, Direction::Egress].into_iter().flat_map(move |direction| {
            Relation::ALL.into_iter().flat_map(move |relation| {
                let peers = match relation {
                    Relation::Other => addresses,
                    Relation::Node => &world.nodes[HERE].addresses,
                    Relation::Itself | Relation::Hairpin => &subject.addresses,
                };
                peers.iter().map(move |peer| (subject, direction, relation, *peer))
            })
        })
    })
}

fn check_leaves(world: &World, image: &Image) {
    for address in probes(world).0 {
        let frontend = world
            .services
            .values()
            .any(|service| service.frontends.iter().any(|it| it.address == address));
        let node = |name: Option<&str>| {
            let mut nodes =
                world.nodes.values().filter(|node| name.is_none_or(|it| it == node.name));
            nodes.any(|node| node.addresses.contains(&address))
        };
        let mut owners = world.workloads.values().filter(|it| it.addresses.contains(&address));
        let workload = owners.clone().next().is_some();
        let endpoint =
            owners.find(|it| it.node == HERE).map_or(0, |it| lookup::endpoint_id(image, &it.name));

        let leaf = lookup::leaf(image, address);
        let flags = [
            (Leaf::FRONTEND, frontend),
            (Leaf::THIS_NODE, node(Some(HERE))),
            (Leaf::SERVICE_ONLY, frontend && !workload && !node(None)),
            (Leaf::WORKLOAD, workload),
        ];
        for (flag, expected) in flags {
            assert_eq!(leaf.has(flag), expected, "flag {flag} of {address}");
        }
        assert_eq!(leaf.endpoint(), endpoint, "endpoint of {address}");
    }
}
