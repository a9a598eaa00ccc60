//! Models of the flow table's bucket: every interleaving of a few processors.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p zonegate-datapath --test loom --release`.
#![cfg(loom)]

use abi::{
    control::{Control, Timeouts},
    flow::{seen, tag},
};
use datapath::{
    Port, Tuple, V4,
    flow::{
        Flow, Key, Looks, Rewrite,
        bucket::{self, Inserted},
        entry::{Epochs, Target},
    },
};
use loom::{
    sync::{Arc, atomic::AtomicU64},
    thread,
};

type Bucket = [[AtomicU64; 8]; 4];

const HASH: u64 = 0x1234_5678_9abc_0000;
const TIMEOUTS: Timeouts =
    Timeouts { tcp_new: 10, tcp_established: 100, tcp_closing: 5, udp: 20, other: 5, refresh: 4 };

fn bucket() -> Arc<Bucket> {
    Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))))
}

fn tuple(source_port: u16) -> Tuple<V4> {
    Tuple {
        source: V4::new([10, 0, 0, 1]),
        destination: V4::new([10, 0, 0, 2]),
        source_port: Port::new(source_port),
        destination_port: Port::new(80),
        protocol: 17,
    }
}

/// A flow whose words all tell the same backend, so that a mixture shows.
fn flow(backend: u16, seen: u32) -> Flow<V4> {
    Flow {
        rewrite: Rewrite::between(&tuple(backend), &tuple(backend)),
        looks: Looks { seen, next_hop: backend as u32, state: 0 },
        epochs: Epochs { sum: backend as u32, source: backend, destination: backend },
        target: Target { backend: backend as u32, service: backend as u32, kind: 0 },
    }
}

fn insert(bucket: &Bucket, tuple: &Tuple<V4>, flow: &Flow<V4>) -> Option<u32> {
    let control = Control { timeouts: TIMEOUTS, fresh: 50, ..Control::default() };
    match bucket::insert::<V4, AtomicU64>(bucket, HASH, &Key::of(tuple), flow, &control) {
        Inserted::New(hit) | Inserted::Existing(hit) => Some(hit.target().backend),
        Inserted::Full => None,
    }
}

fn live_with_key(bucket: &Bucket, tuple: &Tuple<V4>) -> usize {
    let key = Key::of(tuple);
    bucket
        .iter()
        .filter(|entry| {
            let load = |word: usize| {
                let [a, b, c, ..] = *entry;
                [a, b, c][word].load(loom::sync::atomic::Ordering::SeqCst)
            };
            load(0) & tag::STATE == tag::LIVE && load(1) == key.pair[0] && load(2) == key.ports
        })
        .count()
}

#[test]
fn two_processors_that_open_the_same_flow_leave_one_entry() {
    loom::model(|| {
        let bucket = bucket();
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || insert(&bucket, &tuple(1), &flow(7, 0)))
        };
        insert(&bucket, &tuple(1), &flow(8, 0));
        other.join().unwrap();
        assert!(live_with_key(&bucket, &tuple(1)) <= 1);
    });
}

#[test]
fn a_reader_never_sees_a_mixture_of_two_flows() {
    loom::model(|| {
        let bucket = bucket();
        insert(&bucket, &tuple(1), &flow(7, 0));
        let writer = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || {
                let key = Key::of(&tuple(1));
                if let Some(hit) = bucket::find::<V4, AtomicU64>(&bucket, HASH, &key) {
                    hit.retire();
                }
                insert(&bucket, &tuple(2), &flow(9, 0));
            })
        };
        let key = Key::of(&tuple(1));
        if let Some(hit) = bucket::find::<V4, AtomicU64>(&bucket, HASH, &key) {
            let (epochs, target) = (hit.epochs(), hit.target());
            if hit.is_current() {
                assert_eq!((epochs.sum, target.backend), (7, 7));
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn the_agent_frees_an_entry_only_as_it_saw_it() {
    loom::model(|| {
        let bucket = bucket();
        insert(&bucket, &tuple(1), &flow(7, 0));
        let seen = bucket[0][0].load(loom::sync::atomic::Ordering::SeqCst);
        let processor = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || {
                let key = Key::of(&tuple(1));
                if let Some(hit) = bucket::find::<V4, AtomicU64>(&bucket, HASH, &key) {
                    hit.retire();
                }
                insert(&bucket, &tuple(2), &flow(9, 0))
            })
        };
        let freed = bucket[0][0]
            .compare_exchange(
                seen,
                bucket::freed(seen),
                loom::sync::atomic::Ordering::AcqRel,
                loom::sync::atomic::Ordering::Acquire,
            )
            .is_ok();
        let inserted = processor.join().unwrap();
        // Whoever freed the old flow, the new one is whole.
        assert!(inserted.is_some() || freed);
        if inserted.is_some() {
            assert_eq!(live_with_key(&bucket, &tuple(2)), 1);
        }
    });
}

#[test]
fn newcomers_that_race_for_the_last_place_take_no_other() {
    loom::model(|| {
        let bucket = bucket();
        for port in 1..4 {
            let mut confirmed = flow(port, 0);
            confirmed.looks.state = seen::CONFIRMED;
            insert(&bucket, &tuple(port), &confirmed);
        }
        insert(&bucket, &tuple(4), &flow(4, 0));
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || insert(&bucket, &tuple(5), &flow(5, 0)))
        };
        let inserted = insert(&bucket, &tuple(6), &flow(6, 0));
        let others = other.join().unwrap();
        for port in 1..4 {
            assert_eq!(live_with_key(&bucket, &tuple(port)), 1, "{port} was confirmed");
        }
        assert!(inserted.is_some() || others.is_some(), "somebody finds room");
        let live: usize = (4..7).map(|port| live_with_key(&bucket, &tuple(port))).sum();
        assert_eq!(live, 1, "one place was to be had");
    });
}
