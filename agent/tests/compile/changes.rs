//! What stays and what moves from one compilation to the next.

use std::collections::BTreeSet;

use abi::{record::Backend as BackendRecord, table::Table};
use zonegate::{
    compile::{Compiler, Limits},
    image::Image,
    model::{
        Action, Key, Kind, Policy, PortMatch, PortRange, Protocol, Resource, Rule, Tier, World,
    },
    store::Compile,
};

use crate::{
    lookup::{endpoint, endpoint_id, node_epoch},
    world::{HERE, admit, backend, compiler, node, service, set, workload, world},
};

const WEB: &str = "web";
const DATABASE: &str = "database";

/// `web` is isolated, `database` is not.
fn base() -> World {
    world(
        [
            node(HERE, "a", &["192.0.2.1"]),
            node("far", "b", &["192.0.2.2"]),
            workload(WEB, HERE, &["10.0.0.1", "fd00::1"]),
            workload(DATABASE, HERE, &["10.0.0.2"]),
            set("webs", &["10.0.0.1"]),
            set("friends", &["10.9.0.0/16"]),
            set("others", &["10.8.0.0/16"]),
            admit("admit-friends", "webs", &["friends"]),
            guard(|_| {}),
        ]
        .into_iter()
        .chain(service(
            "shop",
            &["10.96.0.1:80"],
            vec![backend("10.9.0.1:80", "far"), backend("10.9.0.2:80", "far")],
        )),
    )
}

/// An admin policy that denies `others` a port of `web`, but for a change.
fn guard(change: impl Fn(&mut Policy)) -> Resource {
    let ports = PortMatch { protocol: Protocol::Tcp, range: PortRange::new(80, 90).unwrap() };
    let mut policy = Policy {
        name: "guard".into(),
        tier: Tier::Admin,
        priority: 0,
        subjects: vec!["webs".into()],
        ingress: Some(vec![Rule {
            name: String::new(),
            action: Action::Deny,
            peers: Some(vec!["others".into()]),
            ports: Some(vec![ports]),
        }]),
        egress: None,
    };
    change(&mut policy);
    Resource::Policy(policy)
}

/// A [`guard`] with another rule.
fn guard_rule(change: impl Fn(&mut Rule)) -> Resource {
    guard(|policy| change(&mut policy.ingress.as_mut().unwrap()[0]))
}

fn guard_port(protocol: Protocol, first: u32, last: u32) -> Resource {
    let range = PortRange::new(first, last).unwrap();
    guard_rule(|rule| rule.ports = Some(vec![PortMatch { protocol, range }]))
}

fn gone(kind: Kind, name: &str) -> impl Fn(&mut World) {
    move |world| assert!(world.remove(&Key { kind, name: name.into() }))
}

fn put(resource: Resource) -> impl Fn(&mut World) {
    move |world| world.upsert(resource.clone())
}

fn backends(change: impl Fn(&mut Vec<zonegate::model::Backend>)) -> impl Fn(&mut World) {
    move |world| change(&mut world.backend_sets.get_mut("shop").unwrap().backends)
}

type Change = Box<dyn Fn(&mut World)>;

#[test]
fn epochs_move_with_what_concerns_them() {
    // Does the node's epoch move, that of `web`, that of `database`?
    let rows: Vec<(&str, Change, [bool; 3])> = vec![
        ("nothing", Box::new(|_| {}), [false, false, false]),
        (
            "another service",
            Box::new(|world| {
                for resource in service("new", &["10.96.0.9:80"], vec![backend("10.9.0.9:1", "")]) {
                    world.upsert(resource);
                }
            }),
            [false, false, false],
        ),
        ("a set nobody names", Box::new(put(set("more", &["10.7.0.0/16"]))), [false; 3]),
        (
            "the same set in other words",
            Box::new(put(set("friends", &["10.9.0.0/17", "10.9.128.0/17"]))),
            [false; 3],
        ),
        ("a peer set grows", Box::new(put(set("friends", &["10.8.0.0/15"]))), [false, true, false]),
        (
            "a peer set shrinks at its end",
            Box::new(put(set("friends", &["10.9.0.0/17"]))),
            [false, true, false],
        ),
        (
            "another action",
            Box::new(put(guard_rule(|it| it.action = Action::Pass))),
            [false, true, false],
        ),
        ("another tier", Box::new(put(guard(|it| it.tier = Tier::Baseline))), [false, true, false]),
        (
            "a rule's name alone",
            Box::new(put(guard_rule(|it| it.name = "other".into()))),
            [false; 3],
        ),
        ("a priority alone", Box::new(put(guard(|it| it.priority = 7))), [false; 3]),
        (
            "the other direction",
            Box::new(put(guard(|it| std::mem::swap(&mut it.ingress, &mut it.egress)))),
            [false, true, false],
        ),
        ("any peer", Box::new(put(guard_rule(|it| it.peers = None))), [false, true, false]),
        ("no peer", Box::new(put(guard_rule(|it| it.peers = Some(vec![])))), [false, true, false]),
        ("any port", Box::new(put(guard_rule(|it| it.ports = None))), [false, true, false]),
        ("no port", Box::new(put(guard_rule(|it| it.ports = Some(vec![])))), [false, true, false]),
        (
            "another protocol",
            Box::new(put(guard_port(Protocol::Udp, 80, 90))),
            [false, true, false],
        ),
        (
            "another first port",
            Box::new(put(guard_port(Protocol::Tcp, 81, 90))),
            [false, true, false],
        ),
        (
            "another last port",
            Box::new(put(guard_port(Protocol::Tcp, 80, 91))),
            [false, true, false],
        ),
        ("a policy goes", Box::new(gone(Kind::Policy, "admit-friends")), [false, true, false]),
        ("a policy comes", Box::new(put(admit("also", "webs", &["others"]))), [false, true, false]),
        (
            "another is isolated",
            Box::new(put(set("webs", &["10.0.0.1", "10.0.0.2"]))),
            [false, false, true],
        ),
        (
            "a backend comes",
            Box::new(backends(|them| them.push(backend("10.9.0.3:80", "")))),
            [false; 3],
        ),
        ("a backend goes", Box::new(backends(|them| drop(them.pop()))), [true, false, false]),
        ("a backend is not ready", Box::new(backends(|them| them[0].ready = false)), [false; 3]),
        ("a backend drains", Box::new(backends(|them| them[0].draining = true)), [false; 3]),
        (
            "a backend stops serving",
            Box::new(backends(|them| (them[0].ready, them[0].serving) = (false, false))),
            [true, false, false],
        ),
        ("a remote workload comes", Box::new(put(workload("x", "far", &["10.9.0.7"]))), [false; 3]),
        (
            "a local workload comes",
            Box::new(put(workload("x", HERE, &["10.0.0.7"]))),
            [true, false, false],
        ),
        (
            "an address is added",
            Box::new(put(workload(WEB, HERE, &["10.0.0.1", "fd00::1", "10.0.0.8"]))),
            [true, false, false],
        ),
        (
            "the node's address",
            Box::new(put(node(HERE, "a", &["192.0.2.9"]))),
            [true, false, false],
        ),
    ];
    for (name, change, moves) in rows {
        let (mut compiler, mut world) = (compiler(), base());
        let epochs = |image: &Image| {
            [node_epoch(image), endpoint(image, WEB).epoch, endpoint(image, DATABASE).epoch]
        };
        let before = epochs(&compiler.compile(&world).unwrap());
        assert_eq!(before, [1; 3]);
        change(&mut world);
        let after = epochs(&compiler.compile(&world).unwrap());
        let expected = moves.map(|moved| 1 + u32::from(moved));
        assert_eq!(after, expected, "{name}");
    }
}

#[test]
fn a_sum_of_epochs_never_comes_back() {
    let (mut compiler, mut world) = (compiler(), base());
    let image = compiler.compile(&world).unwrap();
    let id = endpoint_id(&image, WEB);
    let sum = |image: &Image| {
        let record: abi::record::Endpoint = image.record(Table::Endpoints, id.into());
        node_epoch(image) + record.epoch
    };
    let before = sum(&image);
    gone(Kind::Workload, WEB)(&mut world);
    assert!(sum(&compiler.compile(&world).unwrap()) > before);
}

#[test]
fn ids_do_not_depend_on_what_else_there_is() {
    let (mut compiler, mut world) = (compiler(), base());
    let before = compiler.compile(&world).unwrap();
    for resource in [
        workload("a-first", HERE, &["10.0.0.9"]),
        set("a-first", &["0.0.0.0/0"]),
        admit("a-first", "webs", &["a-first"]),
    ] {
        world.upsert(resource);
    }
    for resource in service("a-first", &["10.96.0.2:80"], vec![backend("10.9.0.0:80", "far")]) {
        world.upsert(resource);
    }
    let after = compiler.compile(&world).unwrap();

    assert_eq!(endpoint_id(&after, WEB), endpoint_id(&before, WEB));
    for (key, id) in &before.frontends {
        assert_eq!(after.frontends[key], *id);
        assert_eq!(service_words(&after, *id), service_words(&before, *id));
    }
    for (id, address) in &before.next_hops {
        assert_eq!(after.next_hops[id], *address);
    }
    for id in 1..=2 {
        let record = |image: &Image| image.record::<BackendRecord>(Table::Backends, id);
        assert_eq!(record(&after), record(&before));
    }
}

fn service_words(image: &Image, id: u32) -> [u64; 8] {
    std::array::from_fn(|word| image.word(Table::Services, id as usize * 8 + word))
}

#[test]
fn the_ids_of_a_snapshot_give_the_same_image() {
    let (mut first, mut world) = (compiler(), base());
    first.compile(&world).unwrap();
    gone(Kind::Workload, DATABASE)(&mut world);
    put(workload("new", HERE, &["10.0.0.3"]))(&mut world);
    let image = first.compile(&world).unwrap();

    let mut second = compiler();
    assert!(second.recall(&first.memory(), &world, Some(&image)));
    assert_eq!(second.compile(&world).unwrap(), image);
    assert_ne!(compiler().compile(&world).unwrap(), image);
}

#[test]
fn adopted_tables_are_stayed_clear_of() {
    let world = base();
    let mut old = compiler();
    let mut adopted = old.compile(&world).unwrap();
    let mut changed = world.clone();
    put(set("friends", &["10.8.0.0/15"]))(&mut changed);
    for next in [&changed, &world, &changed] {
        adopted = old.compile(next).unwrap();
    }

    let mut compiler = compiler();
    compiler.start_after(&adopted);
    let image = compiler.compile(&world).unwrap();
    let overlap = |old: BTreeSet<u32>, new: BTreeSet<u32>| old.intersection(&new).count();
    let ports = |image: &Image| image.ports.keys().map(|id| u32::from(*id)).collect();
    let services = |image: &Image| image.frontends.values().copied().collect();
    let next_hops = |image: &Image| image.next_hops.keys().copied().collect();
    let backends = |image: &Image| {
        let used = |id: &u32| {
            image.record::<BackendRecord>(Table::Backends, *id) != BackendRecord::default()
        };
        (1..64).filter(used).collect()
    };
    assert_eq!(overlap(ports(&adopted), ports(&image)), 0);
    assert_eq!(overlap(services(&adopted), services(&image)), 0);
    assert_eq!(overlap(next_hops(&adopted), next_hops(&image)), 0);
    assert_eq!(overlap(backends(&adopted), backends(&image)), 0);

    let highest = [WEB, DATABASE].map(|name| endpoint(&adopted, name).epoch).into_iter().max();
    let highest = highest.max(Some(node_epoch(&adopted))).unwrap();
    assert!(node_epoch(&image) > highest);
    for name in [WEB, DATABASE] {
        assert!(endpoint(&image, name).epoch > highest, "{name}");
        // Flows that name the former number of the endpoint are looked at again.
        let former = endpoint_id(&adopted, name).into();
        let record: abi::record::Endpoint = image.record(Table::Endpoints, former);
        assert!(record.epoch > highest, "former {name}");
    }
}

#[test]
fn a_refusal_changes_nothing() {
    let mut compiler: Compiler = compiler();
    let mut world = base();
    compiler.compile(&world).unwrap();
    let before = compiler.ids().clone();
    put(workload("a-first", HERE, &["10.0.0.9"]))(&mut world);
    put(workload("twin", HERE, &["10.0.0.2"]))(&mut world);
    let refusals = compiler.compile(&world).unwrap_err();
    assert_eq!(
        refusals[0].to_string(),
        "Workload \"twin\", addresses[0]: 10.0.0.2 belongs to workload \"database\" on the same node"
    );
    assert_eq!(*compiler.ids(), before);
}

#[test]
fn a_freed_id_rests_until_compilations_have_passed() {
    let mut compiler = Compiler::new(HERE.into(), Limits { endpoints: 2, ..Limits::default() });
    compiler.compile(&base()).unwrap();
    let mut world = base();
    gone(Kind::Workload, DATABASE)(&mut world);
    let next = |name: &str| {
        let mut world = world.clone();
        put(workload(name, HERE, &["10.0.0.3"]))(&mut world);
        world
    };
    compiler.compile(&world).unwrap();
    let mut waited = 0;
    let image = loop {
        match compiler.compile(&next("new")) {
            Ok(image) => break image,
            Err(refusals) => {
                let expected = "Workload \"new\": limit endpoints: needs 3, has room for 2";
                assert_eq!(refusals[0].to_string(), expected);
                compiler.compile(&world).unwrap();
                waited += 1;
            }
        }
    };
    assert_eq!(endpoint_id(&image, "new"), 1, "the id that was freed");
    assert!((8..32).contains(&waited), "{waited} compilations");
}
