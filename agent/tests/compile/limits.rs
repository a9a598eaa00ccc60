//! Every limit is refused by name, blaming a resource, and leaves the ids as they were.

use abi::table::Table;
use zonegate::{
    compile::{Compiler, Limits},
    model::{PortMatch, PortRange, Protocol, Resource, World},
};

use crate::world::{HERE, admit, backend, node, service, set, workload, world};

fn full_world() -> World {
    let mut policy = admit("policy", "webs", &["friends", "friends6"]);
    if let Resource::Policy(policy) = &mut policy {
        policy.ingress.as_mut().unwrap()[0].ports = Some(vec![PortMatch {
            protocol: Protocol::Tcp,
            range: PortRange::new(80, 80).unwrap(),
        }]);
    }
    world(
        [
            node(HERE, "a", &["192.0.2.1"]),
            workload("one", HERE, &["10.0.0.1", "fd00::1"]),
            workload("two", HERE, &["10.0.1.1"]),
            set("webs", &["10.0.0.0/8"]),
            set("friends", &["10.9.0.0/24"]),
            set("friends6", &["fd09::/64", "fd08::/64"]),
            policy,
        ]
        .into_iter()
        .chain(service(
            "shop",
            &["10.96.0.1:80", "10.96.0.1:81", "[fd01::1]:80"],
            vec![
                backend("10.9.0.1:80", ""),
                backend("10.9.0.2:80", ""),
                backend("[fd09::1]:80", ""),
            ],
        )),
    )
}

type Set = Box<dyn Fn(&mut Limits)>;

#[test]
fn limits_are_refused_by_name() {
    let blocks =
        |table: Table, room| move |limits: &mut Limits| limits.blocks[table as usize] = room;
    let rows: Vec<(Set, &str)> = vec![
        (
            Box::new(|it| it.endpoints = 1),
            "Workload \"two\": limit endpoints: needs 2, has room for 1",
        ),
        (
            Box::new(blocks(Table::Endpoints, 2)),
            "Workload \"two\": limit endpoints: needs 2, has room for 1",
        ),
        (
            Box::new(blocks(Table::Services, 2)),
            "Service \"shop\": limit services: needs 2, has room for 1",
        ),
        (
            Box::new(blocks(Table::Backends, 3)),
            "BackendSet \"shop\": limit backends: needs 3, has room for 2",
        ),
        (
            Box::new(|it| it.next_hops = 2),
            "BackendSet \"shop\": limit next hops: needs 3, has room for 2",
        ),
        (
            Box::new(|it| it.frontends = 2),
            "Service \"shop\": limit frontends: needs 3, has room for 2",
        ),
        (
            Box::new(blocks(Table::Slots, 1)),
            "BackendSet \"shop\": limit slots: needs 20, has room for 16",
        ),
        (
            Box::new(|it| it.classes = 1),
            "Policy \"policy\": limit classes: needs 2, has room for 1",
        ),
        (
            Box::new(blocks(Table::Rows, 0)),
            "Policy \"policy\": limit rows: needs 8, has room for 0",
        ),
        (
            Box::new(blocks(Table::PortSets, 0)),
            "Policy \"policy\": limit port sets: needs 3, has room for 0",
        ),
        (
            Box::new(blocks(Table::Pages, 127)),
            "Policy \"policy\": limit port pages: needs 1, has room for 0",
        ),
        (
            Box::new(blocks(Table::Addresses4, 8192 + 32)),
            "AddressSet \"friends6\": limit IPv4 address chunks: needs 8, has room for 1",
        ),
        (
            Box::new(|it| it.addresses6 = 1),
            "AddressSet \"friends6\": limit IPv6 addresses: needs 2, has room for 1",
        ),
        (
            Box::new(|it| it.prefixes6 = 1),
            "AddressSet \"friends6\": limit IPv6 prefixes: needs 2, has room for 1",
        ),
    ];
    let world = full_world();
    for (set, expected) in rows {
        let mut limits = Limits::default();
        set(&mut limits);
        let mut compiler = Compiler::new(HERE.into(), limits);
        let before = compiler.ids().clone();
        let refusals = compiler.compile(&world).unwrap_err();
        assert_eq!(refusals[0].to_string(), expected);
        assert_eq!(*compiler.ids(), before, "{expected}");
    }
    Compiler::new(HERE.into(), Limits::default()).compile(&world).unwrap();
}
