//! What every address is: class, flags and endpoint of ranges of IPv4 and prefixes of IPv6.
//!
//! A class is named by the first address that is of it, so that the names are the same where the
//! same addresses are of one class.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use abi::{
    address::{CHUNK, LEVEL1, Leaf},
    table::Table,
};
use zonegate::image::Image;

use super::{Lines, workload};

pub(super) struct Addresses {
    /// The first address of each range of equal leaves, ascending.
    ranges4: Vec<(u32, Leaf)>,
    prefixes6: Vec<(String, Leaf)>,
    /// Names by class.
    classes: BTreeMap<u32, String>,
    /// Chunks that the first level leads to.
    chunks: BTreeSet<u32>,
}

impl Addresses {
    pub(super) fn new(image: &Image) -> Self {
        let mut walk = Walk { image, ranges: Vec::new(), chunks: BTreeSet::new() };
        for upper in 0..LEVEL1 {
            walk.visit(upper, (upper as u32) << 16, 8);
        }
        let Walk { ranges, chunks, .. } = walk;
        let exact = image.addresses6.iter().map(|(address, leaf)| (*address, 128, *leaf));
        let prefixes = image.prefixes6.iter().map(|((at, length), leaf)| (*at, *length, *leaf));
        let named = |kind: &str, (address, length, leaf): ([u8; 16], u8, Leaf)| {
            (format!("{kind} {}/{length}", Ipv6Addr::from(address)), leaf)
        };
        let exact = exact.map(|it| named("address", it));
        let prefixes6: Vec<_> = exact.chain(prefixes.map(|it| named("prefix", it))).collect();
        let mut classes = BTreeMap::new();
        for (first, leaf) in &ranges {
            classes.entry(leaf.class()).or_insert_with(|| Ipv4Addr::from(*first).to_string());
        }
        for (name, leaf) in &prefixes6 {
            classes.entry(leaf.class()).or_insert_with(|| name.clone());
        }
        Self { ranges4: ranges, prefixes6, classes, chunks }
    }

    /// Names of the classes that some address is of.
    pub(super) fn classes(&self) -> impl Iterator<Item = (u32, &str)> {
        self.classes.iter().map(|(class, name)| (*class, name.as_str()))
    }

    pub(super) fn say(&self, image: &Image, lines: &mut Lines) {
        let ends = self.ranges4.iter().skip(1).map(|(first, _)| first - 1).chain([u32::MAX]);
        for ((first, leaf), last) in self.ranges4.iter().zip(ends) {
            let [first, last] = [*first, last].map(Ipv4Addr::from);
            lines.say(format!("addresses {first}-{last}"), self.leaf(image, *leaf));
        }
        for (name, leaf) in &self.prefixes6 {
            lines.say(name.clone(), self.leaf(image, *leaf));
        }
        lines.say("chunks of IPv4 addresses".to_owned(), self.chunks.len().to_string());
    }

    fn leaf(&self, image: &Image, leaf: Leaf) -> String {
        let flags = [
            (Leaf::FRONTEND, "frontend"),
            (Leaf::THIS_NODE, "this-node"),
            (Leaf::SERVICE_ONLY, "service-only"),
            (Leaf::WORKLOAD, "workload"),
            (Leaf::OTHER_NODE, "other-node"),
        ];
        let flags = flags.into_iter().filter(|(flag, _)| leaf.has(*flag)).map(|(_, name)| name);
        let flags: Vec<&str> = flags.collect();
        let class = self.classes.get(&leaf.class()).map_or("none", String::as_str);
        format!("[{}] {} class of {class}", flags.join(" "), workload(image, leaf.endpoint()))
    }
}

/// Collects the leaves of the IPv4 table in ascending order.
struct Walk<'i> {
    image: &'i Image,
    ranges: Vec<(u32, Leaf)>,
    chunks: BTreeSet<u32>,
}

impl Walk<'_> {
    /// `below`: the shift of the byte that the next level is indexed by.
    fn visit(&mut self, word: usize, first: u32, below: u32) {
        let leaf = Leaf(self.image.word(Table::Addresses4, word));
        if let Some(chunk) = leaf.as_chunk() {
            self.chunks.insert(chunk);
            for byte in 0..CHUNK {
                let word = LEVEL1 + chunk as usize * CHUNK + byte;
                self.visit(word, first | (byte as u32) << below, below.saturating_sub(8));
            }
        } else if self.ranges.last().is_none_or(|(_, before)| *before != leaf) {
            self.ranges.push((first, leaf));
        }
    }
}
