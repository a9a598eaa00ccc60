//! One image after another, each made from what changed alone.

use std::collections::BTreeSet;

use abi::table::Table;
use proptest::{collection::vec, prelude::*};
use zonegate::{
    compile::{Compiler, Limits},
    draft::Changes,
    image::Image,
    model::{Key, World},
    store::Compile,
};

use crate::{
    verdicts,
    world::{HERE, admit, any_world, compiler, node, set, workload, world},
};

/// What is in one of two worlds and not in the other, or not the same.
pub fn difference(before: &World, after: &World) -> BTreeSet<Key> {
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(key) != after.get(key)).collect()
}

/// `before` with what changed taken from `after`.
fn patched(before: &Image, after: &Image, changes: &Changes) -> Image {
    let mut image = before.clone();
    for table in Table::ALL {
        for word in &changes.words[table as usize] {
            image.set_word(table, *word as usize, after.word(table, *word as usize));
        }
    }
    macro_rules! patch {
        ($($map:ident),*) => {$(
            for key in &changes.$map {
                match after.$map.get(key) {
                    Some(value) => drop(image.$map.insert(key.clone(), value.clone())),
                    None => drop(image.$map.remove(key)),
                }
            }
        )*};
    }
    patch!(addresses6, prefixes6, frontends, ports, next_hops);
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_image_made_of_changes_says_what_the_world_says(
        worlds in vec((any_world(), proptest::bool::weighted(0.8)), 2..6),
    ) {
        let mut compiler = compiler();
        let (mut known, mut image) = (World::default(), Image::default());
        let mut known_tables = false;
        for (world, commits) in worlds {
            let compiled = compiler.update(&world, &difference(&known, &world)).unwrap();
            verdicts::check(&world, compiled.image);
            prop_assert_eq!(compiled.changes.is_some(), known_tables);
            if let Some(changes) = compiled.changes {
                prop_assert_eq!(&patched(&image, compiled.image, changes), compiled.image);
            }
            known_tables = commits;
            if commits {
                image = compiled.image.clone();
                compiler.committed();
                known = world;
            }
        }
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A node with `pods` in one set, of which `chosen` are in a set that may call its workload.
fn cluster(pods: u32, chosen: impl Iterator<Item = u32>) -> World {
    let prefix =
        |index: u32| format!("10.{}.{}.{}", 64 + (index >> 16), index >> 8 & 255, index & 255);
    let all: Vec<String> = (0..pods).map(prefix).collect();
    let chosen: Vec<String> = chosen.map(prefix).collect();
    world([
        node(HERE, "a", &["192.0.2.1"]),
        workload("web", HERE, &["10.0.0.1"]),
        set("webs", &["10.0.0.1"]),
        set("all", &strs(&all)),
        set("chosen", &strs(&chosen)),
        admit("chosen", "webs", &["chosen"]),
        admit("everybody", "webs", &["all"]),
    ])
}

#[test]
fn a_small_change_of_a_large_world_changes_few_words() {
    let mut compiler = compiler();
    let before = cluster(5000, 0..100);
    compiler.update(&before, &BTreeSet::new()).unwrap();
    compiler.committed();
    let after = cluster(5000, 0..101);
    let compiled = compiler.update(&after, &difference(&before, &after)).unwrap();
    let words: usize = compiled.changes.unwrap().words.iter().map(Vec::len).sum();
    // The leaf of the one address, and the epoch of the one workload.
    assert_eq!(words, 2);
}

#[test]
fn an_image_that_was_not_committed_is_forgotten() {
    let mut compiler = compiler();
    let before = cluster(4, 0..1);
    compiler.update(&before, &BTreeSet::new()).unwrap();
    compiler.committed();
    let ids = compiler.ids().clone();
    let after = cluster(4, 0..3);
    let changed = difference(&before, &after);
    assert!(compiler.update(&after, &changed).unwrap().changes.is_some());

    // The commit failed; the next change is another one.
    let compiled = compiler.update(&before, &BTreeSet::new()).unwrap();
    assert!(compiled.changes.is_none());
    verdicts::check(&before, compiled.image);
    compiler.committed();
    let endpoints = |ids| serde_json::to_value(ids).unwrap()["local"]["endpoints"].clone();
    assert_eq!(endpoints(compiler.ids()), endpoints(&ids));
}

#[test]
fn what_does_not_fit_by_changes_is_numbered_anew() {
    // Room for one row of eight words.
    let mut limits = Limits::default();
    limits.blocks[Table::Rows as usize] = 1;
    let mut compiler = Compiler::new(HERE.to_owned(), limits);
    let mut known = World::default();
    // Each world has few classes, but not the ones of the world before.
    for chosen in [0..4, 4..8, 8..12] {
        let sets: Vec<_> = chosen.map(|index| format!("10.9.{index}.0")).collect();
        let mut next = cluster(1, 0..1);
        for (index, address) in sets.iter().enumerate() {
            let name = format!("set-{index}");
            next.upsert(set(&name, &[address]));
            next.upsert(admit(&name, "webs", &[&name]));
        }
        let compiled = compiler.update(&next, &difference(&known, &next)).unwrap();
        verdicts::check(&next, compiled.image);
        compiler.committed();
        known = next;
    }
}
