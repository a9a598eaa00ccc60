//! A cluster that keeps changing, without an apiserver or a kernel: translator, compiler and commits
//! follow change by change, and the tables say what a compiler makes of the last objects from
//! scratch. `ZONEGATE_FOLLOW_SEEDS` and `ZONEGATE_FOLLOW_STEPS` ask for more of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use testbed::{
    churn::{Churn, Machine, Operation, controller},
    tables,
};
use zonegate::{
    compile::{Compiler, Limits},
    dataplane::{Dataplane, Stamp},
    kubernetes::{Change, Effect, Object, ObjectKey, Options, Translator},
    maps::MemoryTables,
    model::{Key, World},
    store::Compile,
};

const NODE: &str = "node-1";

#[test]
fn tables_follow_change_by_change() {
    let number = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seeds = number("ZONEGATE_FOLLOW_SEEDS", 4);
    let steps = number("ZONEGATE_FOLLOW_STEPS", 250);
    for seed in 0..seeds {
        let mut node = Node::new(seed);
        for step in 0..steps {
            node.step();
            if step % 10 == 0 {
                node.compare(&format!("seed {seed}, step {step}"));
            }
        }
        node.delete_everything();
        node.compare(&format!("seed {seed}, everything deleted"));
    }
}

/// An agent's way from objects to tables.
struct Node {
    random: StdRng,
    churn: Churn,
    translator: Translator,
    compiler: Compiler,
    tables: MemoryTables,
    world: World,
    /// What is there by now, and the slices that a controller has made of it.
    objects: BTreeMap<ObjectKey, Value>,
    slices: BTreeMap<ObjectKey, Value>,
    created: u32,
    revision: u64,
    /// Objects that were heard of and are still to be taken in.
    waiting: Vec<Change>,
    /// What the tables were not told yet.
    changed: BTreeSet<Key>,
}

impl Node {
    fn new(seed: u64) -> Self {
        let machines = (1..5).map(|n| Machine {
            name: format!("node-{n}"),
            addresses: vec![format!("192.168.50.{n}"), format!("fd00:50::{n}")],
            pods4: format!("10.2.{n}."),
            pods6: format!("fd00:2:{n}::"),
        });
        Self {
            random: StdRng::seed_from_u64(seed),
            churn: Churn::new(seed, machines.collect()),
            translator: Translator::new(Options::default()),
            compiler: Compiler::new(NODE.to_owned(), Limits::default()),
            tables: MemoryTables::new(),
            world: World::default(),
            objects: BTreeMap::new(),
            slices: BTreeMap::new(),
            created: 0,
            revision: 0,
            waiting: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        let Some(step) = self.churn.step() else { return };
        for operation in &step.operations {
            self.carry_out(operation);
        }
        if self.random.random_ratio(3, 4) {
            self.control();
        }
        match self.random.random_range(0..20) {
            0..10 => self.commit(),
            10 => self.restart(),
            _ => {}
        }
    }

    fn carry_out(&mut self, operation: &Operation) {
        match operation {
            Operation::Apply(object) => {
                let mut object = object.clone();
                let Ok(parsed) = Object::parse(object.clone()) else { return };
                let key = parsed.key().clone();
                let created = match self.objects.get(&key) {
                    Some(held) => held["metadata"]["creationTimestamp"].clone(),
                    None => self.now(),
                };
                object["metadata"]["creationTimestamp"] = created;
                let object_of = || Object::parse(object.clone()).unwrap();
                let alone =
                    Translator::new(Options::default()).apply([Change::Upsert(object_of())]);
                // An apiserver would not have it either.
                if alone.problems.iter().any(|it| it.effect != Effect::FieldIgnored) {
                    return;
                }
                self.waiting.push(Change::Upsert(object_of()));
                self.objects.insert(key, object);
            }
            Operation::Terminate(object) if object["spec"]["nodeName"].is_string() => {}
            Operation::Terminate(object) | Operation::Delete(object) => {
                let key = Object::parse(object.clone()).unwrap().key().clone();
                self.objects.remove(&key);
                self.waiting.push(Change::Remove(key));
            }
        }
        self.churn.done(operation);
    }

    fn now(&mut self) -> Value {
        self.created += 1;
        json!(format!("2026-01-01T{:02}:{:02}:00Z", self.created / 60 % 24, self.created % 60))
    }

    /// Makes slices of services and pods, as the controller of Kubernetes does.
    fn control(&mut self) {
        let mut slices = BTreeMap::new();
        let of = |kind: &'static str| self.objects.values().filter(move |it| it["kind"] == kind);
        for service in of("Service") {
            for slice in controller::slices(service, of("Pod")) {
                let key = Object::parse(slice.clone()).unwrap().key().clone();
                slices.insert(key, slice);
            }
        }
        for (key, slice) in &slices {
            if self.slices.get(key) != Some(slice) {
                self.waiting.push(Change::Upsert(Object::parse(slice.clone()).unwrap()));
            }
        }
        let gone = self.slices.keys().filter(|key| !slices.contains_key(*key));
        self.waiting.extend(gone.cloned().map(Change::Remove));
        self.slices = slices;
    }

    fn commit(&mut self) {
        let outcome = self.translator.apply(self.waiting.drain(..));
        for resource in outcome.upserts {
            self.changed.insert(resource.key());
            self.world.upsert(resource);
        }
        for key in outcome.removes {
            self.world.remove(&key);
            self.changed.insert(key);
        }
        let compiled = self.compiler.update(&self.world, &self.changed).unwrap();
        self.revision += 1;
        self.tables.commit(compiled, Stamp { lineage: 1, revision: self.revision }).unwrap();
        self.compiler.committed();
        self.changed.clear();
    }

    /// The next agent has what the last one saved, and the tables.
    fn restart(&mut self) {
        self.commit();
        let memory = self.compiler.memory();
        self.compiler = Compiler::new(NODE.to_owned(), Limits::default());
        let held = self.tables.held().map(|(image, _)| image);
        assert!(self.compiler.recall(&memory, &self.world, held.as_ref()));
        self.changed.extend(self.world.keys());
        self.commit();
    }

    fn delete_everything(&mut self) {
        let objects: Vec<Value> = self.churn.objects().cloned().collect();
        for object in objects {
            self.carry_out(&Operation::Delete(object));
            if self.random.random_ratio(1, 4) {
                self.control();
                self.commit();
            }
        }
    }

    #[track_caller]
    fn compare(&mut self, when: &str) {
        self.control();
        self.commit();
        let objects = self.objects.values().chain(self.slices.values());
        let objects = objects.map(|it| Change::Upsert(Object::parse(it.clone()).unwrap()));
        let outcome = Translator::new(Options::default()).apply(objects);
        let mut world = World::default();
        for resource in outcome.upserts {
            world.upsert(resource);
        }
        assert_eq!(world, self.world, "{when}: the resources");
        let mut fresh = Compiler::new(NODE.to_owned(), Limits::default());
        let expected = fresh.compile(&world).unwrap();
        let (found, _) = self.tables.held().unwrap();
        let differing = tables::difference(&tables::lines(&expected), &tables::lines(&found));
        assert!(differing.is_empty(), "{when}:\n{}", differing.join("\n"));
    }
}
