//! An image under construction that knows what is new in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::{address::Leaf, frontend::FrontendKey, table::Table};
use zerocopy::{Immutable, IntoBytes, KnownLayout};

use crate::image::{Image, Port, words};

/// An image under construction, and where it may differ from what was committed last.
#[derive(Debug, Default)]
pub struct Draft {
    image: Image,
    changes: Changes,
}

/// An image, and where it differs from the one that was committed last; `None`: anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Compiled<'d> {
    pub image: &'d Image,
    pub changes: Option<&'d Changes>,
}

impl<'d> From<&'d Image> for Compiled<'d> {
    fn from(image: &'d Image) -> Self {
        Self { image, changes: None }
    }
}

/// Where an image may differ from the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// By table; in no order, and possibly more than once.
    pub words: [Vec<u32>; Table::ALL.len()],
    pub addresses6: BTreeSet<[u8; 16]>,
    pub prefixes6: BTreeSet<([u8; 16], u8)>,
    pub frontends: BTreeSet<FrontendKey>,
    pub ports: BTreeSet<u16>,
    pub next_hops: BTreeSet<u32>,
}

impl Draft {
    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What is drafted so far is committed.
    pub fn settle(&mut self) {
        self.changes = Changes::default();
    }

    pub fn into_image(self) -> Image {
        self.image
    }

    pub fn set_word(&mut self, table: Table, index: usize, word: u64) {
        if self.image.word(table, index) != word {
            self.image.set_word(table, index, word);
            self.changes.words[table as usize].push(index as u32);
        }
    }

    pub fn set_record<R: IntoBytes + Immutable + KnownLayout>(
        &mut self,
        table: Table,
        index: u32,
        record: &R,
    ) {
        for (word, value) in words(index, record) {
            self.set_word(table, word, value);
        }
    }

    pub fn set_address6(&mut self, address: [u8; 16], leaf: Option<Leaf>) {
        set(&mut self.image.addresses6, &mut self.changes.addresses6, address, leaf);
    }

    pub fn set_prefix6(&mut self, prefix: ([u8; 16], u8), leaf: Option<Leaf>) {
        set(&mut self.image.prefixes6, &mut self.changes.prefixes6, prefix, leaf);
    }

    pub fn set_frontend(&mut self, frontend: FrontendKey, service: Option<u32>) {
        set(&mut self.image.frontends, &mut self.changes.frontends, frontend, service);
    }

    pub fn set_ports(&mut self, ports: &BTreeMap<u16, Port>) {
        replace(&mut self.image.ports, &mut self.changes.ports, ports);
    }

    pub fn set_next_hop(&mut self, id: u32, address: Option<IpAddr>) {
        set(&mut self.image.next_hops, &mut self.changes.next_hops, id, address);
    }
}

fn set<K: Ord + Clone, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    changed: &mut BTreeSet<K>,
    key: K,
    value: Option<V>,
) {
    if map.get(&key) == value.as_ref() {
        return;
    }
    changed.insert(key.clone());
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn replace<K: Ord + Clone, V: PartialEq + Clone>(
    map: &mut BTreeMap<K, V>,
    changed: &mut BTreeSet<K>,
    by: &BTreeMap<K, V>,
) {
    let gone: Vec<K> = map.keys().filter(|key| !by.contains_key(*key)).cloned().collect();
    for key in gone {
        set(map, changed, key, None);
    }
    for (key, value) in by {
        set(map, changed, key.clone(), Some(value.clone()));
    }
}
