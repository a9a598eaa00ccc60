//! The pinned maps as a [`Backing`].

use std::{io, mem::offset_of, path::Path};

use abi::{
    control::{CONTROL_MAP, Control},
    next_hop::NEIGHBOURS_MAP,
    table::{BLOCK_WORDS, Table, element},
};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    accounts::Accounts,
    backing::{Backing, Field},
    counters::Counters,
    error::{MapError, system},
    flows::{Family, FlowTable, FlowTables},
    grace::GracePeriod,
    keyed::{Entries, Keyed},
    mapping::Mapping,
    next_hops::NextHops,
    peers::Peers,
    ports::Ports,
};

/// The sided tables and the control record, opened from where the loader pinned them.
pub struct KernelMaps {
    control: ControlRecord,
    tables: [Mapping; Table::ALL.len()],
    keyed: [MapHandle; Keyed::ALL.len()],
    grace: GracePeriod,
}

/// Words of the control record.
const CONTROL_WORDS: usize = size_of::<Control>() / size_of::<u64>();

impl KernelMaps {
    /// Opens the maps pinned in `directory`.
    pub fn open(directory: &Path) -> Result<Self, MapError> {
        let [a, b, c, d, e, f, g, h, i] =
            Table::ALL.map(|table| mapping(directory, table.map_name()));
        let [j, k, l, m, n] = Keyed::ALL.map(|keyed| open(directory, keyed.map_name()));
        Ok(Self {
            control: Self::control_record(directory)?,
            tables: [a?, b?, c?, d?, e?, f?, g?, h?, i?],
            keyed: [j?, k?, l?, m?, n?],
            grace: GracePeriod::new()?,
        })
    }

    pub fn control_record(directory: &Path) -> Result<ControlRecord, MapError> {
        Ok(ControlRecord(mapping(directory, CONTROL_MAP)?))
    }

    pub fn flows(directory: &Path) -> Result<FlowTables, MapError> {
        let table =
            |family: Family| Ok(FlowTable { buckets: mapping(directory, family.map())?, family });
        let (v4, v6) = (table(Family::V4)?, table(Family::V6)?);
        Ok(FlowTables { v4, v6, accounts: Accounts::default() })
    }

    pub fn counters(directory: &Path) -> Result<Counters, MapError> {
        Ok(Counters::new(open(directory, Counters::NAME)?))
    }

    pub fn next_hops(directory: &Path) -> Result<NextHops, MapError> {
        Ok(NextHops::new(mapping(directory, NextHops::NAME)?))
    }

    /// The table of neighbours, which are next hops as well.
    pub fn neighbours(directory: &Path) -> Result<NextHops, MapError> {
        Ok(NextHops::new(mapping(directory, NEIGHBOURS_MAP)?))
    }

    pub fn ports(directory: &Path) -> Result<Ports, MapError> {
        Ok(Ports::new(mapping(directory, Ports::NAME)?))
    }

    pub fn peers(directory: &Path) -> Result<Peers, MapError> {
        let table = |table: Table| mapping(directory, table.map_name());
        Ok(Peers {
            known: open(directory, Peers::NAME)?,
            frontends: open(directory, Keyed::Frontends.map_name())?,
            services: table(Table::Services)?,
            slots: table(Table::Slots)?,
            backends: table(Table::Backends)?,
            control: Self::control_record(directory)?,
        })
    }

    /// Any other pinned array whose values are whole words.
    pub fn array(directory: &Path, name: &'static str) -> Result<Mapping, MapError> {
        mapping(directory, name)
    }

    /// Writes the whole control record of maps that are new; the ABI version comes last, so that
    /// a half-written record is not taken for a whole one.
    pub fn initialise(&self, control: &Control) {
        let unversioned = Control { abi_version: 0, ..*control };
        for control in [&unversioned, control] {
            self.control.write(control, 0, CONTROL_WORDS);
        }
    }

    /// Writes what the configuration says: [`Control::masquerade`], [`Control::midstream`],
    /// [`Control::handshake_sample`] and [`Control::fresh`]. The rest of their words is as it was.
    pub fn configure(&self, control: &Control) {
        let first = offset_of!(Control, masquerade) / size_of::<u64>();
        self.control.write(control, first, 3);
    }

    fn handle(&self, keyed: Keyed) -> &MapHandle {
        &self.keyed[keyed as usize]
    }
}

/// The record that every packet reads first.
pub struct ControlRecord(Mapping);

impl ControlRecord {
    pub fn read(&self) -> Control {
        let words: [u64; CONTROL_WORDS] = std::array::from_fn(|word| self.0.load(word));
        Control::read_from_bytes(words.as_bytes()).unwrap_or_default()
    }

    /// Has every flow looked at again, whatever it remembers of routes.
    pub fn routes_changed(&self) {
        let control = self.read();
        let routes = control.routes.wrapping_add(1);
        let word = offset_of!(Control, routes) / size_of::<u64>();
        self.write(&Control { routes, ..control }, word, 1);
    }

    /// Stores `length` words of a record from word `start` on.
    fn write(&self, control: &Control, start: usize, length: usize) {
        let words: [u64; CONTROL_WORDS] =
            FromBytes::read_from_bytes(control.as_bytes()).unwrap_or_default();
        for (index, word) in words.into_iter().enumerate().skip(start).take(length) {
            self.0.store(index, word);
        }
    }
}

impl Backing for KernelMaps {
    fn words(&self, table: Table) -> usize {
        self.tables[table as usize].words().len() / 2
    }

    fn entries_capacity(&self, keyed: Keyed) -> usize {
        self.handle(keyed).max_entries() as usize
    }

    fn load(&self, table: Table, side: u32, word: usize) -> u64 {
        self.tables[table as usize].load(place(side, word))
    }

    fn store(&mut self, table: Table, side: u32, word: usize, value: u64) {
        self.tables[table as usize].store(place(side, word), value);
    }

    fn entries(&self, keyed: Keyed) -> io::Result<Entries> {
        let mut entries = Entries::new();
        for key in self.handle(keyed).keys() {
            if let Some(value) = self.entry(keyed, &key)? {
                entries.insert(key.into(), value);
            }
        }
        Ok(entries)
    }

    fn entry(&self, keyed: Keyed, key: &[u8]) -> io::Result<Option<Box<[u8]>>> {
        let value = self.handle(keyed).lookup(key, MapFlags::ANY);
        Ok(value.map_err(|error| system(&error))?.map(Into::into))
    }

    fn remove(&mut self, keyed: Keyed, keys: &[&[u8]]) -> io::Result<()> {
        self.handle(keyed)
            .delete_batch(&keys.concat(), keys.len() as u32, MapFlags::ANY, MapFlags::ANY)
            .map_err(|error| system(&error))
    }

    fn insert(&mut self, keyed: Keyed, entries: &[(&[u8], &[u8])]) -> io::Result<()> {
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = entries.iter().copied().unzip();
        let (keys, values) = (keys.concat(), values.concat());
        self.handle(keyed)
            .update_batch(&keys, &values, entries.len() as u32, MapFlags::ANY, MapFlags::ANY)
            .map_err(|error| system(&error))
    }

    fn control(&self) -> Control {
        self.control.read()
    }

    fn set_control(&mut self, field: Field) {
        let control = self.control.read();
        let (start, control) = match field {
            Field::Generation(generation) => {
                (offset_of!(Control, generation), Control { generation, ..control })
            }
            // Half a word; the other half never changes after the maps were made.
            Field::Flags(flags) => (offset_of!(Control, flags), Control { flags, ..control }),
            Field::Intent(intent) => (offset_of!(Control, intent), Control { intent, ..control }),
            Field::Revision(revision) => {
                (offset_of!(Control, revision), Control { revision, ..control })
            }
            Field::Lineage(lineage) => {
                (offset_of!(Control, lineage), Control { lineage, ..control })
            }
        };
        let length = if matches!(field, Field::Lineage(_)) { 2 } else { 1 };
        self.control.write(&control, start / size_of::<u64>(), length);
    }

    fn grace_period(&mut self) -> io::Result<()> {
        self.grace.wait()
    }
}

/// The word of the map that holds a word of a side.
pub(super) const fn place(side: u32, word: usize) -> usize {
    let block = (word / BLOCK_WORDS) as u32;
    element(block, side) as usize * BLOCK_WORDS + word % BLOCK_WORDS
}

fn open(directory: &Path, name: &'static str) -> Result<MapHandle, MapError> {
    let path = directory.join(name);
    MapHandle::from_pinned_path(&path)
        .map_err(|error| MapError::Open { path, source: system(&error) })
}

fn mapping(directory: &Path, name: &'static str) -> Result<Mapping, MapError> {
    Mapping::new(name, &open(directory, name)?)
}
