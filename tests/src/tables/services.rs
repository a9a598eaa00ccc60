//! Frontends, what they offer to whom, and the backends behind them.
//!
//! A record of a service is named by the first frontend that leads to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use abi::{
    frontend::FrontendKey,
    record::{Backend, INTERVAL_WORDS, Intervals, Range, Service},
    table::Table,
};
use zonegate::image::Image;

use super::{Lines, blocks};

pub(super) struct Records<'i> {
    image: &'i Image,
    /// Names by the number of the record.
    names: BTreeMap<u32, String>,
    /// By the number under which clients are remembered: the first of the records that say so.
    affinities: BTreeMap<u32, String>,
}

impl<'i> Records<'i> {
    pub(super) fn new(image: &'i Image) -> Self {
        let mut names = BTreeMap::new();
        for (key, id) in image.frontends.iter().filter(|(key, _)| !key.is_tunnelled()) {
            names.entry(*id).or_insert_with(|| frontend(key));
        }
        let mut affinities: BTreeMap<u32, String> = BTreeMap::new();
        for id in names.keys() {
            let Service { affinity, .. } = image.record(Table::Services, *id);
            let name = affinities.entry(affinity).or_insert_with(|| names[id].clone());
            if names[id] < *name {
                name.clone_from(&names[id]);
            }
        }
        affinities.remove(&0);
        Self { image, names, affinities }
    }

    pub(super) fn say(&self, lines: &mut Lines) {
        for (key, id) in &self.image.frontends {
            if key.is_tunnelled() {
                let [high, low] = key.port;
                let service = u32::from(key.protocol) << 16 | u32::from_be_bytes([0, 0, high, low]);
                let at = address(key.address, key.side & FrontendKey::V6 != 0);
                let what = format!("tunnel end {at} of {}", self.name(service));
                lines.say(what, self.backend(*id).to_string());
            } else {
                lines.say(format!("frontend {}", frontend(key)), format!("of {}", self.name(*id)));
            }
        }
        // A record of zeros, which refuses everybody, is one if a frontend leads there.
        let ids: BTreeSet<u32> =
            (0..blocks(self.image, Table::Services)).chain(self.names.keys().copied()).collect();
        for id in ids {
            let record: Service = self.image.record(Table::Services, id);
            if record != Service::default() || self.names.contains_key(&id) {
                self.say_service(id, &record, lines);
            }
        }
        for id in 0..blocks(self.image, Table::Backends) {
            let record: Backend = self.image.record(Table::Backends, id);
            if record != Backend::default() {
                self.say_backend(id, &record, lines);
            }
        }
        for address in self.image.next_hops.values() {
            lines.say(format!("next hop {address}"), "is kept".to_owned());
        }
        let slots = self.image.words(Table::Slots).iter().filter(|word| **word != 0).count();
        lines.say("words of slots".to_owned(), slots.to_string());
    }

    fn say_service(&self, id: u32, record: &Service, lines: &mut Lines) {
        let name = self.name(id);
        let audiences =
            [("pods", record.pods), ("the node", record.node), ("outsiders", record.outside)];
        for (audience, range) in audiences {
            lines.say(format!("what {audience} get of {name}"), self.range(range));
        }
        let affinity = match record.affinity {
            0 => "no affinity".to_owned(),
            number => {
                format!("affinity of {} for {} s", self.affinity(number), record.affinity_timeout)
            }
        };
        let sources = self.intervals(record.sources);
        let pods = self.intervals(record.pod_prefixes);
        let flags = record.flags;
        lines.say(
            format!("service {name}"),
            format!("flags {flags:#x}, sources {sources}, pod prefixes {pods}, {affinity}"),
        );
    }

    fn say_backend(&self, id: u32, record: &Backend, lines: &mut Lines) {
        let what = format!("backend {} of {}", self.backend(id), self.name(record.service));
        let hop = match record.next_hop {
            0 => "the kernel's way".to_owned(),
            hop => self
                .image
                .next_hops
                .get(&hop)
                .map_or_else(|| format!("nobody's next hop {hop}"), |it| format!("by {it}")),
        };
        let affinity = match record.affinity {
            0 => String::new(),
            number => format!(", affinity of {}", self.affinity(number)),
        };
        lines.say(what, format!("flags {:#x}, {hop}{affinity}", record.flags));
    }

    /// The order of backends in slots is part of what is said.
    fn range(&self, range: Range) -> String {
        match range {
            Range::REJECT => return "a refusal".to_owned(),
            Range::DROP => return "nothing".to_owned(),
            _ => {}
        }
        let turns: Vec<SocketAddr> = turns(self.image, range).collect();
        let distinct: BTreeSet<SocketAddr> = turns.iter().copied().collect();
        let indices: BTreeMap<SocketAddr, usize> =
            distinct.iter().enumerate().map(|(index, at)| (*at, index)).collect();
        let order: Vec<String> = turns.iter().map(|turn| indices[turn].to_string()).collect();
        let snat = if range.snat() { ", translated" } else { "" };
        let mark = range.mark();
        format!("{distinct:?} in the order {} (mark {mark}{snat})", order.join(""))
    }

    fn intervals(&self, intervals: Intervals) -> String {
        let word = |index: u32| self.image.word(Table::Intervals, index as usize);
        let number = |at: u32| u128::from(word(at)) << 64 | u128::from(word(at + 1));
        let ranges = (intervals.start()..intervals.start() + intervals.count()).map(|range| {
            let [first, last] = [0, 2].map(|part| number(range * INTERVAL_WORDS + part));
            format!("{}-{}", Ipv6Addr::from(first), Ipv6Addr::from(last))
        });
        format!("{:?}", ranges.collect::<Vec<_>>())
    }

    fn name(&self, record: u32) -> String {
        self.names.get(&record).cloned().unwrap_or_else(|| "a service without frontends".to_owned())
    }

    fn affinity(&self, number: u32) -> &str {
        self.affinities.get(&number).map_or("nobody", String::as_str)
    }

    fn backend(&self, id: u32) -> SocketAddr {
        backend(self.image, id)
    }
}

/// The backends of some slots, in their order.
pub(super) fn turns(image: &Image, range: Range) -> impl Iterator<Item = SocketAddr> {
    (range.start()..range.start() + range.size()).map(|slot| {
        let id = (image.word(Table::Slots, slot as usize / 2) >> (slot % 2 * 32)) as u32;
        backend(image, id)
    })
}

fn backend(image: &Image, id: u32) -> SocketAddr {
    let record: Backend = image.record(Table::Backends, id);
    let is_ipv6 = record.address[4..] != [0; 12];
    SocketAddr::new(address(record.address, is_ipv6), u16::from_be_bytes(record.port))
}

fn frontend(key: &FrontendKey) -> String {
    let address = address(key.address, key.side & FrontendKey::V6 != 0);
    format!("{}/{}", SocketAddr::new(address, u16::from_be_bytes(key.port)), key.protocol)
}

fn address(octets: [u8; 16], is_ipv6: bool) -> IpAddr {
    let [a, b, c, d, ..] = octets;
    if is_ipv6 { IpAddr::from(octets) } else { IpAddr::from([a, b, c, d]) }
}
