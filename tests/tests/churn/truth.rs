//! What the apiserver holds, read without a watch and compiled by nobody who remembers anything.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;
use testbed::{control_plane::ControlPlane, tables};
use zonegate::{
    compile::{Compiler, Limits},
    image::Image,
    kubernetes::{Change, Effect, Object, ObjectKind, Options, Translator},
    model::World,
    store::Compile,
};

/// All objects of the kinds that are followed.
pub fn objects(plane: &ControlPlane) -> Result<Vec<Value>> {
    let lists = ObjectKind::ALL.map(|it| plane.list_all(it.api_version(), &it.to_string()));
    Ok(lists.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The resources that the apiserver's objects are.
pub fn world(plane: &ControlPlane) -> Result<World> {
    let mut changes = Vec::new();
    for object in objects(plane)? {
        changes.push(Change::Upsert(Object::parse(object)?));
    }
    let outcome = Translator::new(Options::default()).apply(changes);
    // Of what cannot be used, what was before may hold, which nobody can know from here.
    if let Some(problem) = outcome.problems.iter().find(|it| it.effect != Effect::FieldIgnored) {
        bail!("an object of the churn cannot be used: {problem}");
    }
    let mut world = World::default();
    for resource in outcome.upserts {
        world.upsert(resource);
    }
    Ok(world)
}

/// What a node should hold.
pub struct Compiled {
    pub image: Image,
    pub lines: BTreeMap<String, String>,
    /// How much of each limit is in use.
    pub usage: BTreeMap<String, u64>,
}

pub fn compile(world: &World, node: &str) -> Result<Compiled> {
    let mut compiler = Compiler::new(node.to_owned(), Limits::default());
    let image = match compiler.update(world, &world.keys().collect()) {
        Ok(compiled) => compiled.image.clone(),
        Err(refusals) => bail!("{node}: the cluster cannot be compiled: {refusals:?}"),
    };
    let usage = compiler.usage().into_iter().map(|it| (it.limit.to_owned(), it.used as u64));
    let usage = usage.collect();
    Ok(Compiled { lines: tables::lines(&image), usage, image })
}
