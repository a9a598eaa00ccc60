//! Who leaves a full bucket, against a model that says it in another way.

use std::sync::atomic::{AtomicU64, Ordering};

use abi::{
    control::{Control, Timeouts},
    flow::{WAYS, seen, tag},
};
use datapath::{
    Port, Tuple, V4,
    flow::{
        Flow, Key, Looks, Rewrite,
        bucket::{self, Inserted},
        entry::{Epochs, Target},
    },
};
use proptest::prelude::*;

const HASH: u64 = 0x1234_5678_9abc_0000;
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

/// Those of `known` of which one has to leave for `newcomer`; empty if it finds no room.
fn leavers(known: &[Known], newcomer: Known) -> Vec<u16> {
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
        let bucket: [[AtomicU64; 8]; WAYS] = Default::default();
        let is_there = |entry: &Known| {
            let (key, _) = flow(*entry);
            bucket::find::<V4, AtomicU64>(&bucket, HASH, &key).is_some()
        };
        let control = Control { timeouts: TIMEOUTS, fresh: 40, ..Control::default() };
        let mut known: Vec<Known> = Vec::new();
        for newcomer in newcomers {
            let (key, flow) = flow(newcomer);
            let inserted = bucket::insert::<V4, AtomicU64>(&bucket, HASH, &key, &flow, &control);
            let is_in = matches!(inserted, Inserted::New(_));
            let left: Vec<u16> =
                known.iter().filter(|entry| !is_there(entry)).map(|entry| entry.port).collect();
            if known.len() < WAYS {
                prop_assert!(is_in && left.is_empty(), "there was room for {newcomer:?}");
            } else {
                let candidates = leavers(&known, newcomer);
                prop_assert_eq!(is_in, !candidates.is_empty(), "{:?} of {:?}", newcomer, known);
                prop_assert_eq!(left.len(), usize::from(is_in));
                let is_right = left.iter().all(|port| candidates.contains(port));
                prop_assert!(is_right, "{left:?} left, not one of {candidates:?}");
            }
            known.retain(|entry| !left.contains(&entry.port));
            if is_in {
                known.push(newcomer);
            }
            let tags = bucket.iter().map(|entry| entry[0].load(Ordering::SeqCst));
            prop_assert_eq!(tags.filter(|it| it & tag::STATE == tag::LIVE).count(), known.len());
        }
    }
}
