//! What the flows of services carried since it was last asked: differences between passes over
//! the flow tables.
//!
//! A pass goes through one part of the tables. Programs count per entry; a pass adds what an entry counted since the one before to who talks
//! to which backend. Entries that were there before the first pass count from then on, so that a
//! restarted agent counts nothing twice. A pass comes before every ageing, so idle entries are
//! complete; one that a program gives up or makes anew loses at most what it carried since the
//! last pass.

use std::{
    collections::HashMap,
    mem,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::flows::FlowTable;
use crate::dataplane::{Conversation, Counts, Flow};

/// Counts that were not asked for yet.
#[derive(Default)]
pub struct Accounts(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// By part and address family: what entries had counted at the last pass. `None` before the first.
    seen: HashMap<u32, [Option<Vec<Seen>>; 2]>,
    carried: HashMap<Conversation, Counts>,
}

/// An entry at the last pass. They are in the order of their indices, which entries are read in:
/// in a hash table each would take twice the room.
struct Seen {
    index: u32,
    /// Its handshake was counted.
    timed: bool,
    tag: u64,
    packets: u64,
    bytes: u64,
}

impl Accounts {
    /// Adds what the flows of a part, given by their tables' buckets, carried since its last pass.
    pub(super) fn pass(&self, part: u32, tables: &[(&FlowTable, Range<usize>); 2]) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Open { seen, carried } = &mut *open;
        for (seen, (table, buckets)) in seen.entry(part).or_default().iter_mut().zip(tables) {
            *seen = Some(pass(seen.take(), read(table, buckets), carried));
        }
    }

    /// What was carried since it was last taken.
    pub fn take(&self) -> HashMap<Conversation, Counts> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).carried)
    }
}

/// Entries are found first and read then: the maker of a new one has zeroed its counts by then.
fn read<'t>(
    table: &'t FlowTable,
    buckets: &Range<usize>,
) -> impl Iterator<Item = (usize, u64, Flow)> + use<'t> {
    let found: Vec<(usize, u64)> = table.of_services(buckets).collect();
    found.into_iter().filter_map(|(index, tag)| Some((index, tag, table.flow_at(index, tag)?)))
}

/// Adds what entries, given by index and tag, counted since the pass before.
fn pass(
    before: Option<Vec<Seen>>,
    entries: impl Iterator<Item = (usize, u64, Flow)>,
    carried: &mut HashMap<Conversation, Counts>,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (index, tag, flow) in entries {
        let index = index as u32;
        let Flow { packets, bytes, handshake, .. } = flow;
        if let Some(before) = &before {
            // Counts that went back are those of another entry.
            let place = before.binary_search_by_key(&index, |it| it.index);
            let base = place.ok().map(|place| &before[place]);
            let base = base.filter(|it| it.tag == tag && it.packets <= packets);
            let (old_packets, old_bytes) = base.map_or((0, 0), |it| (it.packets, it.bytes));
            let time = handshake.filter(|_| base.is_none_or(|it| !it.timed));
            if packets > old_packets || time.is_some() {
                let bytes = bytes.saturating_sub(old_bytes);
                let (conversation, reply) = conversation(&flow);
                let counts = carried.entry(conversation).or_default();
                counts.add(reply, packets - old_packets, bytes);
                if let Some(time) = time {
                    counts.handshakes.record(time);
                }
            }
        }
        seen.push(Seen { index, timed: handshake.is_some(), tag, packets, bytes });
    }
    seen.shrink_to_fit();
    seen
}

/// Who talks to which backend, whichever way.
fn conversation(flow: &Flow) -> (Conversation, bool) {
    let (client, backend) = match flow.reply {
        true => (flow.translated_destination.ip(), flow.source),
        false => (flow.source.ip(), flow.translated_destination),
    };
    (Conversation { service: flow.service, client, backend }, flow.reply)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flow(reply: bool, packets: u64, bytes: u64) -> Flow {
        let [client, service, backend] =
            ["10.0.0.1:4000", "10.96.0.1:80", "10.0.0.2:8080"].map(|it| it.parse().unwrap());
        let (source, destination) = if reply { (backend, client) } else { (client, service) };
        let (translated_source, translated_destination) =
            if reply { (service, client) } else { (client, backend) };
        Flow {
            protocol: 6,
            source,
            destination,
            translated_source,
            translated_destination,
            reply,
            service: 3,
            backend: 4,
            idle: Duration::ZERO,
            packets,
            bytes,
            handshake: reply.then_some(Duration::from_micros(packets)),
        }
    }

    #[test]
    fn every_packet_is_counted_once() {
        let (old, new) = (0x10, 0x20);
        let (to, back) = (|packets| flow(false, packets, 100 * packets), |it| flow(true, it, it));
        let mut seen = None;
        // What there is at each pass, and what was carried since the one before, there and back,
        // with the time of the connections that were answered since.
        let passes = [
            (
                "what an earlier agent saw",
                vec![(7, old, to(50)), (8, old, back(40))],
                (0, 0, 0, 0),
                None,
            ),
            ("more of the same", vec![(7, old, to(53)), (8, old, back(41))], (3, 300, 1, 1), None),
            ("nothing more", vec![(7, old, to(53)), (8, old, back(41))], (0, 0, 0, 0), None),
            ("a new one in the same place", vec![(7, new, to(60))], (60, 6000, 0, 0), None),
            ("one whose tag came again", vec![(7, new, to(2))], (2, 200, 0, 0), None),
            ("none", vec![], (0, 0, 0, 0), None),
            ("and a new one", vec![(9, old, back(5))], (0, 0, 5, 5), Some(5)),
            ("more of it", vec![(9, old, back(6))], (0, 0, 1, 1), None),
            ("another in its place", vec![(9, new, back(7))], (0, 0, 7, 7), Some(7)),
        ];
        for (what, entries, expected, time) in passes {
            let mut carried = HashMap::new();
            seen = Some(pass(seen, entries.into_iter(), &mut carried));
            let all = carried.values().next().cloned().unwrap_or_default();
            let Counts { packets, bytes, reply_packets, reply_bytes, handshakes } = all;
            assert_eq!((packets, bytes, reply_packets, reply_bytes), expected, "{what}");
            assert_eq!(handshakes.mean(), time.map(Duration::from_micros), "{what}");
            assert_eq!(handshakes.count(), time.map_or(0, |_| 1), "{what}");
            let (client, backend) = ("10.0.0.1".parse().unwrap(), "10.0.0.2:8080".parse().unwrap());
            let only = Conversation { service: 3, client, backend };
            assert!(carried.keys().all(|it| *it == only), "{what}: {carried:?}");
        }
    }
}
