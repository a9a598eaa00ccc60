//! Where entries go, and who leaves full buckets, against a model that says it in another way.

use std::sync::atomic::{AtomicU64, Ordering};

use abi::{
    control::{Control, Timeouts},
    flow::{WAYS, seen, tag},
};
use datapath::{
    Port, Tuple, V4,
    flow::{
        Flow, Key, Looks, Rewrite,
        bucket::{self, Cells, Inserted},
        entry::{Epochs, Target},
    },
};
use proptest::prelude::*;

const TIMEOUTS: Timeouts =
    Timeouts { tcp_new: 10, tcp_established: 100, tcp_closing: 20, udp: 60, other: 15, refresh: 4 };

/// What the model knows of an entry.
#[derive(Debug, Clone, Copy)]
struct Known {
    port: u16,
    protocol: u8,
    state: u8,
    seen: u32,
}

/// Why an entry may go; in the order in which they do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hold {
    Expired,
    Unconfirmed,
    Asleep,
    Fresh,
}

impl Known {
    fn idle(self, now: u32) -> u32 {
        u32::try_from(now.wrapping_sub(self.seen).cast_signed()).unwrap_or(0)
    }

    fn hold(self, now: u32) -> Hold {
        let confirmed = self.state & seen::CONFIRMED != 0;
        let closing = self.state & (seen::FIN | seen::RST) != 0;
        let limit = match (self.protocol, closing, confirmed) {
            (6, true, _) => 20,
            (6, false, true) => 100,
            (6, false, false) => 10,
            (17 | 132, ..) => 60,
            _ => 15,
        };
        if self.idle(now) > limit {
            Hold::Expired
        } else if closing || !confirmed {
            Hold::Unconfirmed
        } else if self.idle(now) > 40 {
            Hold::Asleep
        } else {
            Hold::Fresh
        }
    }
}

/// Those of full buckets of which one has to leave for `newcomer`; empty if it finds no room. Whoever has
/// no claim to the first bucket goes before anybody leaves the second.
fn leavers(buckets: &[Vec<Known>; 2], newcomer: Known) -> Vec<u16> {
    let [first, second] = buckets;
    let goes_anyway = |entry: &Known| entry.hold(newcomer.seen) <= Hold::Unconfirmed;
    if first.iter().any(goes_anyway) {
        return leavers_of(first, newcomer);
    }
    leavers_of(&[first.as_slice(), second].concat(), newcomer)
}

fn leavers_of(known: &[Known], newcomer: Known) -> Vec<u16> {
    let now = newcomer.seen;
    let rank = |entry: &Known| {
        // A confirmed newcomer does not ask for how long the confirmed ones have slept.
        let hold = match entry.hold(now) {
            Hold::Fresh if newcomer.state & seen::CONFIRMED != 0 => Hold::Asleep,
            hold => hold,
        };
        // Of those that are over anyway, any may go.
        let youth = if hold == Hold::Expired { 0 } else { u32::MAX - entry.idle(now) };
        (hold, youth)
    };
    let first = known.iter().map(rank).filter(|(hold, _)| *hold != Hold::Fresh).min();
    known.iter().filter(|entry| Some(rank(entry)) == first).map(|entry| entry.port).collect()
}

fn tuple(port: u16, protocol: u8) -> Tuple<V4> {
    Tuple {
        source: V4::new([10, 0, 0, 1]),
        destination: V4::new([10, 0, 0, 2]),
        source_port: Port::new(port),
        destination_port: Port::new(80),
        protocol,
    }
}

/// All have the same buckets, and tags of their own.
fn hash(known: Known) -> u64 {
    u64::from(known.port) << 16
}

fn flow(known: Known) -> (Key, Flow<V4>) {
    let tuple = tuple(known.port, known.protocol);
    let flow = Flow {
        rewrite: Rewrite::between(&tuple, &tuple),
        looks: Looks { seen: known.seen, next_hop: 0, state: known.state },
        epochs: Epochs { sum: 0, source: 0, destination: 0 },
        target: Target { backend: 0, service: 0, kind: 0 },
    };
    (Key::of(&tuple), flow)
}

fn entries() -> impl Strategy<Value = Vec<Known>> {
    let protocol = prop_oneof![Just(6), Just(17), Just(132), Just(1)];
    let state = prop_oneof![
        4 => Just(seen::CONFIRMED),
        2 => prop_oneof![Just(0), Just(seen::AWAITED)],
        1 => 0u8..16,
    ];
    let start = prop_oneof![Just(0u32), Just(u32::MAX - 60), Just(1 << 31)];
    let one = (protocol, state, 0..30u32);
    (start, prop::collection::vec(one, 1..40)).prop_map(|(start, steps)| {
        let mut now = start;
        let known = steps.into_iter().zip(1000..).map(|((protocol, state, later), port)| {
            now = now.wrapping_add(later);
            Known { port, protocol, state, seen: now }
        });
        known.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_newcomer_takes_the_place_that_the_model_gives_it(newcomers in entries()) {
        let homes: [Cells<V4, AtomicU64>; 2] = Default::default();
        let [first, second] = &homes;
        let is_there = |entry: &Known| {
            let (key, _) = flow(*entry);
            bucket::find::<V4, AtomicU64>(first, || Some(second), hash(*entry), &key).is_some()
        };
        let control = Control { timeouts: TIMEOUTS, fresh: 40, ..Control::default() };
        let mut known: [Vec<Known>; 2] = Default::default();
        for newcomer in newcomers {
            let (key, flow) = flow(newcomer);
            let inserted = bucket::insert::<V4, AtomicU64, false>(
                [first, second], hash(newcomer), &key, &flow, &control,
            );
            let went_to = inserted.ok().map(|Inserted { place, is_new }| {
                assert!(is_new, "nobody else has its key");
                place / WAYS
            });
            let [here, there] = known.each_ref().map(Vec::len);
            let left: Vec<Known> =
                known.iter().flatten().filter(|entry| !is_there(entry)).copied().collect();
            if here + there < 2 * WAYS {
                // The emptier, once there is one place left in the first.
                let expected = usize::from(here >= WAYS - 1 && there < here);
                prop_assert_eq!(went_to, Some(expected), "{:?} into {:?}", newcomer, known);
                prop_assert!(left.is_empty(), "there was room for {newcomer:?}");
            } else {
                let candidates = leavers(&known, newcomer);
                let is_in = went_to.is_some();
                prop_assert_eq!(is_in, !candidates.is_empty(), "{:?} of {:?}", newcomer, known);
                prop_assert_eq!(left.len(), usize::from(is_in));
                let is_right = left.iter().all(|it| candidates.contains(&it.port));
                prop_assert!(is_right, "{left:?} left, not one of {candidates:?}");
            }
            for bucket in &mut known {
                bucket.retain(|entry| left.iter().all(|it| it.port != entry.port));
            }
            if let Some(bucket) = went_to {
                known[bucket].push(newcomer);
            }
            for (bucket, known) in homes.iter().zip(&known) {
                let tags = bucket.heads.iter().map(|head| head.tag.load(Ordering::SeqCst));
                let live = tags.filter(|it| it & tag::STATE == tag::LIVE).count();
                prop_assert_eq!(live, known.len());
            }
        }
    }
}
