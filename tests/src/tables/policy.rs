//! What local endpoints let every class of addresses do.

use std::collections::BTreeMap;

use abi::{
    record::{
        Endpoint, Node, PAGE_ALL, PAGE_FIRST, PAGE_NONE, PAGE_WORDS, PORT_SET_ALL, PORT_SET_NONE,
        PortSet, ROW_ALLOW,
    },
    table::Table,
};
use zonegate::image::Image;

use super::{Lines, addresses::Addresses, blocks};

pub(super) struct Rows<'i> {
    image: &'i Image,
    /// What port sets allow, by their number.
    texts: BTreeMap<u16, String>,
}

impl<'i> Rows<'i> {
    pub(super) fn new(image: &'i Image) -> Self {
        Self { image, texts: BTreeMap::new() }
    }

    pub(super) fn say(mut self, addresses: &Addresses, lines: &mut Lines) {
        let Node { masquerade4, masquerade6, .. } = self.image.record(Table::Endpoints, 0);
        lines.say("masquerade".to_owned(), format!("{masquerade4:?} {masquerade6:?}"));
        for id in 1..blocks(self.image, Table::Endpoints) {
            let record: Endpoint = self.image.record(Table::Endpoints, id);
            let rows = [
                ("ingress", record.ingress_row),
                ("egress", record.egress_row),
                ("exempt ingress", record.ingress_exempt_row),
                ("exempt egress", record.egress_exempt_row),
            ];
            let port = self.image.ports.get(&(id as u16));
            let former = record.epoch == 0 || rows.iter().all(|(_, row)| *row == ROW_ALLOW);
            if port.is_none() && former {
                continue;
            }
            let workload = port.map_or_else(|| "nobody".to_owned(), |it| it.workload.clone());
            for (direction, row) in rows {
                if row == ROW_ALLOW {
                    lines.say(format!("{direction} of {workload}"), "is not restricted".to_owned());
                    continue;
                }
                for (class, name) in addresses.classes() {
                    let what = format!("{direction} of {workload}, class of {name}");
                    let allowed = self.allowed(row, class);
                    lines.say(what, allowed);
                }
            }
        }
    }

    /// What a row allows to a class.
    fn allowed(&mut self, row: u32, class: u32) -> String {
        let word = self.image.word(Table::Rows, (row + class / 4) as usize);
        let set = (word >> (class % 4 * 16)) as u16;
        let image = self.image;
        self.texts.entry(set).or_insert_with(|| port_set(image, set)).clone()
    }
}

fn port_set(image: &Image, id: u16) -> String {
    if id == PORT_SET_NONE {
        return "nothing".to_owned();
    }
    if id == PORT_SET_ALL {
        return "everything".to_owned();
    }
    let set = PortSet(image.word(Table::PortSets, id.into()));
    let pages = [("TCP", set.tcp()), ("UDP", set.udp()), ("SCTP", set.sctp())];
    let mut texts: Vec<String> =
        pages.into_iter().map(|(name, number)| format!("{name} {}", page(image, number))).collect();
    if set.others() {
        texts.push("others".to_owned());
    }
    texts.join("; ")
}

fn page(image: &Image, number: u16) -> String {
    if number == PAGE_NONE {
        return "none".to_owned();
    }
    if number == PAGE_ALL {
        return "all".to_owned();
    }
    let start = usize::from(number - PAGE_FIRST) * PAGE_WORDS as usize;
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for word in 0..PAGE_WORDS as usize {
        let bits = image.word(Table::Pages, start + word);
        for bit in (0..64).filter(|bit| bits >> bit & 1 != 0) {
            let port = (word * 64 + bit) as u32;
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == port => *last = port,
                _ => ranges.push((port, port)),
            }
        }
    }
    let texts: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    texts.join(",")
}
