//! Rows, port sets and pages: what each local endpoint allows to each class.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use abi::{
    record::{PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PortSet, ROW_ALLOW},
    table::{BLOCK_WORDS, Table},
};

use super::{
    classes::Classes,
    limits::{Limits, within},
    ports::{Intervals, Ports},
    sets::{self, Selection},
    tiers::{Chain, Direction},
};
use crate::{
    image::Image,
    model::{Key, Kind, Policy},
    refusal::Refusal,
};

/// Port-set ids in one word of a row.
const IDS_PER_WORD: usize = 4;

/// The rows of each profile.
pub(super) type Rows = Vec<EndpointRows>;

/// Ingress and egress rows as an endpoint's record names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndpointRows {
    pub judged: [u32; 2],
    /// For what NetworkPolicy never blocks.
    pub exempt: [u32; 2],
}

impl EndpointRows {
    pub(super) const UNRESTRICTED: Self = Self { judged: [ROW_ALLOW; 2], exempt: [ROW_ALLOW; 2] };
}

/// Writes the policy tables.
pub(super) fn write(
    image: &mut Image,
    limits: &Limits,
    selection: &Selection<'_>,
    classes: &Classes,
) -> Result<Rows, Vec<Refusal>> {
    within("classes", classes.len(), limits.classes(), || {
        most(selection, |policy| sets::peers(policy).count())
    })?;

    let mut port_sets = Interner::new([Ports::none(), Ports::all()]);
    let mut rows = Interner::new([]);
    let mut placed = Vec::with_capacity(selection.profiles.len());
    for profile in &selection.profiles {
        let chains = Direction::ALL.map(|direction| Chain::new(profile, direction, selection));
        placed.push([false, true].map(|exempt| {
            chains.each_ref().map(|chain| {
                let row = row(chain, exempt, classes, &mut port_sets);
                row.iter().any(|set| *set != ALL).then(|| rows.intern(row))
            })
        }));
    }

    write_port_sets(image, limits, selection, &port_sets)?;
    let stride = classes.len().div_ceil(IDS_PER_WORD).next_multiple_of(BLOCK_WORDS);
    within("rows", rows.len() * stride, limits.words(Table::Rows), || {
        most(selection, |policy| sets::peers(policy).count())
    })?;
    for (row, index) in rows.iter() {
        for (word, ids) in row.chunks(IDS_PER_WORD).enumerate() {
            let packed = ids.iter().rev().fold(0, |packed, id| packed << 16 | *id as u64);
            image.set_word(Table::Rows, *index * stride + word, packed);
        }
    }
    let start = |row: Option<usize>| row.map_or(ROW_ALLOW, |row| (row * stride) as u32);
    let placed = placed.into_iter().map(|[judged, exempt]| EndpointRows {
        judged: judged.map(start),
        exempt: exempt.map(start),
    });
    Ok(placed.collect())
}

const ALL: usize = abi::record::PORT_SET_ALL as usize;

fn row(
    chain: &Chain,
    exempt: bool,
    classes: &Classes,
    port_sets: &mut Interner<Ports>,
) -> Vec<usize> {
    let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
    classes
        .members()
        .map(|members| {
            let matching = chain.matching(members);
            if let Some(set) = known.get(&matching) {
                return *set;
            }
            let set = port_sets.intern(chain.allowed(&matching, exempt));
            known.insert(matching, set);
            set
        })
        .collect()
}

fn write_port_sets(
    image: &mut Image,
    limits: &Limits,
    selection: &Selection<'_>,
    port_sets: &Interner<Ports>,
) -> Result<(), Vec<Refusal>> {
    let blamed = || {
        most(selection, |policy| {
            sets::rules(policy).filter_map(|rule| rule.ports.as_ref()).map(Vec::len).sum()
        })
    };
    within("port sets", port_sets.len(), limits.port_sets(), blamed)?;

    let mut pages: Interner<&Intervals> = Interner::new([]);
    for (ports, _) in port_sets.iter() {
        for intervals in ports.protocols() {
            if !intervals.is_none() && !intervals.is_all() {
                pages.intern(intervals);
            }
        }
    }
    within("port pages", pages.len(), limits.pages(), blamed)?;

    for (ports, index) in port_sets.iter() {
        let [tcp, udp, sctp] =
            ports.protocols().each_ref().map(|intervals| match pages.index(&intervals) {
                Some(page) => PAGE_FIRST + page as u16,
                None if intervals.is_none() => PAGE_NONE,
                None => PAGE_ALL,
            });
        let word = PortSet::new(tcp, udp, sctp, ports.others());
        image.set_word(Table::PortSets, *index, word.0);
    }
    for (intervals, page) in pages.iter() {
        write_page(image, *page * PAGE_WORDS as usize, intervals);
    }
    Ok(())
}

fn write_page(image: &mut Image, start: usize, intervals: &Intervals) {
    let mut words = [0_u64; PAGE_WORDS as usize];
    for &(first, last) in intervals.as_slice() {
        for word in first / 64..=last / 64 {
            let from = first.saturating_sub(word * 64).min(63);
            let to = (last - word * 64).min(63);
            words[word as usize] |= (u64::MAX << from) & (u64::MAX >> (63 - to));
        }
    }
    for (word, value) in words.into_iter().enumerate() {
        image.set_word(Table::Pages, start + word, value);
    }
}

/// The policy that has most of something.
fn most(selection: &Selection<'_>, count: impl Fn(&Policy) -> usize) -> Key {
    let policies = selection.profiles.iter().flatten();
    let name = policies.max_by_key(|policy| count(policy)).map_or("", |policy| &policy.name);
    Key { kind: Kind::Policy, name: name.to_owned() }
}

/// Numbers distinct values from 0 on, in the order in which they come.
struct Interner<T>(BTreeMap<T, usize>);

impl<T: Ord + Hash> Interner<T> {
    fn new(known: impl IntoIterator<Item = T>) -> Self {
        Self(known.into_iter().enumerate().map(|(index, value)| (value, index)).collect())
    }

    fn intern(&mut self, value: T) -> usize {
        let next = self.0.len();
        *self.0.entry(value).or_insert(next)
    }

    fn index(&self, value: &T) -> Option<usize> {
        self.0.get(value).copied()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn iter(&self) -> impl Iterator<Item = (&T, &usize)> {
        self.0.iter()
    }
}
