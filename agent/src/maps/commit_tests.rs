//! Commits that die at every step, and readers that look after every step.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use abi::{address::Leaf, frontend::FrontendKey};
use proptest::prelude::*;

use super::*;
use crate::{draft::Changes, image::Port, maps::memory::Memory};

/// A backing that stops working after some steps, as if the agent had been killed, and shows
/// the tables to a reader after each.
struct Mortal<'a> {
    memory: &'a mut Memory,
    steps_left: usize,
    reader: &'a dyn Fn(&Memory),
}

impl Mortal<'_> {
    fn step(&mut self, change: impl FnOnce(&mut Memory) -> io::Result<()>) -> io::Result<()> {
        let Some(left) = self.steps_left.checked_sub(1) else {
            return Err(io::Error::other("killed"));
        };
        self.steps_left = left;
        change(self.memory)?;
        (self.reader)(self.memory);
        Ok(())
    }
}

impl Backing for Mortal<'_> {
    fn words(&self, table: Table) -> usize {
        self.memory.words(table)
    }

    fn entries_capacity(&self, keyed: Keyed) -> usize {
        self.memory.entries_capacity(keyed)
    }

    fn load(&self, table: Table, side: u32, word: usize) -> u64 {
        self.memory.load(table, side, word)
    }

    fn store(&mut self, table: Table, side: u32, word: usize, value: u64) {
        let _ = self.step(|memory| {
            memory.store(table, side, word, value);
            Ok(())
        });
    }

    fn entries(&self, keyed: Keyed) -> io::Result<Entries> {
        self.memory.entries(keyed)
    }

    fn entry(&self, keyed: Keyed, key: &[u8]) -> io::Result<Option<Box<[u8]>>> {
        self.memory.entry(keyed, key)
    }

    fn remove(&mut self, keyed: Keyed, keys: &[&[u8]]) -> io::Result<()> {
        keys.iter().try_for_each(|key| self.step(|memory| memory.remove(keyed, &[key])))
    }

    fn insert(&mut self, keyed: Keyed, entries: &[(&[u8], &[u8])]) -> io::Result<()> {
        entries.iter().try_for_each(|entry| self.step(|memory| memory.insert(keyed, &[*entry])))
    }

    fn control(&self) -> Control {
        self.memory.control()
    }

    fn set_control(&mut self, field: Field) {
        let _ = self.step(|memory| {
            memory.set_control(field);
            Ok(())
        });
    }

    fn grace_period(&mut self) -> io::Result<()> {
        self.step(|_| Ok(()))
    }
}

/// Tables over `memory` that work for as long as they are needed.
fn tables(memory: &mut Memory) -> Tables<Mortal<'_>> {
    Tables::adopt(Mortal { memory, steps_left: usize::MAX, reader: &|_| {} })
}

fn memory() -> Memory {
    Memory::new(|_| 4 * BLOCK_WORDS)
}

/// What a reader sees of one side.
fn side(memory: &Memory, side: u32) -> Image {
    let mut image = Image::default();
    for table in Table::ALL {
        for word in 0..memory.words(table) {
            match memory.load(table, side, word) {
                0 => {}
                value => image.set_word(table, word, value),
            }
        }
    }
    for keyed in Keyed::ALL {
        let mut entries = memory.entries(keyed).unwrap();
        entries.retain(|key, _| keyed.side(key) == side);
        keyed.decode(&entries, &mut image);
    }
    image
}

fn visible(memory: &Memory) -> Image {
    let control = memory.control();
    if control.generation == 0 {
        Image::default()
    } else {
        side(memory, control.generation as u32 & 1)
    }
}

fn stamp(revision: u64) -> Stamp {
    Stamp { lineage: 7 << 64 | 9, revision }
}

fn images() -> impl Strategy<Value = Image> {
    let words = prop::collection::vec((0..Table::ALL.len(), 0..4 * BLOCK_WORDS, 1..9u64), 0..12);
    let keys = prop::collection::vec((0..4u8, 1..9u64), 0..4);
    (words, keys.clone(), keys.clone(), keys).prop_map(|(words, addresses, prefixes, frontends)| {
        let mut image = Image::default();
        for (table, word, value) in words {
            image.set_word(Table::ALL[table], word, value);
        }
        for (key, value) in addresses {
            image.addresses6.insert([key; 16], Leaf(value));
            image.next_hops.insert(u32::from(key), IpAddr::from([key; 16]));
        }
        for (key, value) in prefixes {
            image.prefixes6.insert(([key; 16], key * 16), Leaf(value));
            let address = (value % 2 == 0).then(|| IpAddr::from([key; 4]));
            let interface = if address.is_some() { String::new() } else { format!("veth{value}") };
            let port = Port { workload: format!("shop/{key}"), interface, address };
            image.ports.insert(u16::from(key), port);
        }
        for (key, value) in frontends {
            let mut address = [0; 16];
            address[0] = key;
            let v6 = if value % 2 == 0 { FrontendKey::V6 } else { 0 };
            let key = FrontendKey { address, port: [0, 80], protocol: 6, side: v6 };
            image.frontends.insert(key, value as u32);
        }
        trim(image)
    })
}

/// The image without blocks of zeros at the end of a table: what reading it back gives.
fn trim(image: Image) -> Image {
    let mut trimmed = Image::default();
    for table in Table::ALL {
        for (word, value) in image.words(table).iter().enumerate().filter(|(_, value)| **value != 0)
        {
            trimmed.set_word(table, word, *value);
        }
    }
    trimmed.addresses6 = image.addresses6;
    trimmed.prefixes6 = image.prefixes6;
    trimmed.frontends = image.frontends;
    trimmed.ports = image.ports;
    trimmed.next_hops = image.next_hops;
    trimmed
}

/// Where two images differ.
fn changes(before: &Image, after: &Image) -> Changes {
    fn keys<K: Ord + Clone, V: PartialEq>(
        before: &BTreeMap<K, V>,
        after: &BTreeMap<K, V>,
    ) -> BTreeSet<K> {
        let keys = before.keys().chain(after.keys());
        keys.filter(|key| before.get(key) != after.get(key)).cloned().collect()
    }
    Changes {
        words: Table::ALL.map(|table| {
            let length = before.words(table).len().max(after.words(table).len());
            let differs = |word: &usize| before.word(table, *word) != after.word(table, *word);
            (0..length).filter(differs).map(|word| word as u32).collect()
        }),
        addresses6: keys(&before.addresses6, &after.addresses6),
        prefixes6: keys(&before.prefixes6, &after.prefixes6),
        frontends: keys(&before.frontends, &after.frontends),
        ports: keys(&before.ports, &after.ports),
        next_hops: keys(&before.next_hops, &after.next_hops),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_hold_the_last_image(
        sequence in prop::collection::vec((images(), any::<bool>()), 1..6),
    ) {
        let mut tables = Tables::adopt(memory());
        let mut before = Image::default();
        for (revision, (image, by_changes)) in (1..).zip(&sequence) {
            let changes = changes(&before, image);
            let changes = by_changes.then_some(&changes);
            tables.commit(Compiled { image, changes }, stamp(revision)).unwrap();
            before = image.clone();
            prop_assert_eq!(&side(tables.backing(), 0), image);
            prop_assert_eq!(&side(tables.backing(), 1), image);
            prop_assert_eq!(tables.held(), Some((image.clone(), stamp(revision))));
            let control = tables.backing().control();
            prop_assert_eq!(control.flags & Control::PREFIXES6 != 0, !image.prefixes6.is_empty());
        }
    }

    #[test]
    fn a_commit_killed_at_any_step_shows_the_old_or_the_new(
        before in images(), interrupted in images(), after in images(), by_changes in any::<bool>(),
    ) {
        let changes = changes(&before, &interrupted);
        let compiled =
            Compiled { image: &interrupted, changes: by_changes.then_some(&changes) };
        for steps_left in 0.. {
            let mut memory = memory();
            let switched = RefCell::new(false);
            let reader = |memory: &Memory| {
                let seen = visible(memory);
                let new = memory.control().generation == 2;
                assert!(new || !*switched.borrow(), "packets never go back");
                *switched.borrow_mut() |= new;
                assert_eq!(&seen, if new { &interrupted } else { &before });
                assert!(seen.prefixes6.is_empty() || memory.control().flags & Control::PREFIXES6 != 0);
                assert!(memory.control().revision < 2 || new, "the stamp comes last");
            };
            let mut dying = tables(&mut memory);
            dying.commit(&before, stamp(1)).unwrap();
            (dying.backing.steps_left, dying.backing.reader) = (steps_left, &reader);
            let result = dying.commit(compiled, stamp(2));
            let complete = dying.backing.steps_left > 0;

            // The next agent sees what packets see, and commits as if nothing had happened.
            let mut next = tables(&mut memory);
            let (held, _) = next.held().unwrap();
            prop_assert_eq!(&held, if *switched.borrow() { &interrupted } else { &before });
            prop_assert!(result.is_ok() || !*switched.borrow());
            next.settle();
            prop_assert_eq!(&side(next.backing().memory, 0), &held);
            prop_assert_eq!(&side(next.backing().memory, 1), &held);
            next.commit(&after, stamp(3)).unwrap();
            prop_assert_eq!(&side(&memory, 0), &after);
            prop_assert_eq!(&side(&memory, 1), &after);
            if complete {
                break;
            }
        }
    }
}

#[test]
fn a_failed_commit_leaves_what_was_and_the_next_one_works() {
    let mut memory = memory();
    let mut image = Image::default();
    image.set_word(Table::Rows, 3, 5);
    tables(&mut memory).commit(&image, stamp(1)).unwrap();
    let old = image.clone();
    image.next_hops.insert(4, IpAddr::from([10, 0, 0, 9]));
    let mortal = Mortal { memory: &mut memory, steps_left: 1, reader: &|_| {} };
    let mut tables = Tables::adopt(mortal);
    assert!(matches!(tables.commit(&image, stamp(2)), Err(CommitError::Write { .. })));
    assert_eq!(tables.held(), Some((old, stamp(1))));
    tables.backing.steps_left = usize::MAX;
    tables.commit(&image, stamp(2)).unwrap();
    assert_eq!(tables.held(), Some((image, stamp(2))));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let mut tables = Tables::adopt(memory());
    let mut image = Image::default();
    image.set_word(Table::Slots, 4 * BLOCK_WORDS, 1);
    let refused = tables.commit(&image, stamp(1)).unwrap_err();
    assert_eq!(refused.to_string(), "zg8_slots needs 40 entries and has room for 32");
    let mut image = Image::default();
    let interface = "interface-name-16".to_owned();
    let port = Port { workload: "a".into(), interface, address: None };
    image.ports.insert(1, port);
    let refused = tables.commit(&image, stamp(1)).unwrap_err();
    assert_eq!(refused.to_string(), "zg8_port_names needs 17 entries and has room for 15");
    assert_eq!(tables.held(), None);
    assert_eq!(tables.backing().control(), Control::default());
}
