//! Models of the two buckets of a key: the interleavings of a few processors, with up to
//! [`PREEMPTIONS`] of them held up against their will.
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
        Flow, Hit, Key, Looks, Rewrite,
        bucket::{self, Cells, Head},
        entry::{Epochs, Target},
    },
};
use loom::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

type Bucket = Cells<V4, AtomicU64>;
/// First and second.
type Homes = [Bucket; 2];

const PREEMPTIONS: usize = 3;

const TIMEOUTS: Timeouts =
    Timeouts { tcp_new: 10, tcp_established: 100, tcp_closing: 5, udp: 20, other: 5, refresh: 4 };

fn model(scene: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = 10_000;
    builder.check(scene);
}

fn homes() -> Arc<Homes> {
    let word = || AtomicU64::new(0);
    let bucket = || Bucket {
        heads: std::array::from_fn(|_| Head { tag: word(), looks: word() }),
        entries: std::array::from_fn(|_| std::array::from_fn(|_| word())),
    };
    Arc::new([bucket(), bucket()])
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

/// All have the same buckets, and tags of their own.
fn hash(tuple: &Tuple<V4>) -> u64 {
    u64::from(tuple.source_port.number()) << 16
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

fn insert(homes: &Homes, tuple: &Tuple<V4>, flow: &Flow<V4>) -> bool {
    let control = Control { timeouts: TIMEOUTS, fresh: 50, ..Control::default() };
    let [first, second] = homes;
    let key = Key::of(tuple);
    bucket::insert::<V4, AtomicU64, false>([first, second], hash(tuple), &key, flow, &control)
        .is_ok()
}

fn find<'b>([first, second]: &'b Homes, tuple: &Tuple<V4>) -> Option<Hit<'b, V4, AtomicU64>> {
    bucket::find::<V4, AtomicU64>(first, || Some(second), hash(tuple), &Key::of(tuple))
}

fn retire(homes: &Homes, tuple: &Tuple<V4>) {
    if let Some(hit) = find(homes, tuple) {
        hit.retire();
    }
}

fn live_with_key(homes: &Homes, tuple: &Tuple<V4>) -> usize {
    let key = Key::of(tuple);
    let load = |word: &AtomicU64| word.load(Ordering::SeqCst);
    let all = homes.iter().flat_map(|bucket| bucket.heads.iter().zip(&bucket.entries));
    let is_it = |(head, [pair, ports, ..]): &(&Head<AtomicU64>, &[AtomicU64; 8])| {
        load(&head.tag) & tag::STATE == tag::LIVE
            && [load(pair), load(ports)] == [key.pair[0], key.ports]
    };
    all.filter(is_it).count()
}

#[test]
fn two_processors_that_open_the_same_flow_leave_one_entry() {
    model(|| {
        let homes = homes();
        let other = {
            let homes = Arc::clone(&homes);
            thread::spawn(move || insert(&homes, &tuple(1), &flow(7, 0)))
        };
        insert(&homes, &tuple(1), &flow(8, 0));
        other.join().unwrap();
        assert_eq!(live_with_key(&homes, &tuple(1)), 1);
    });
}

#[test]
fn so_do_two_that_choose_different_buckets() {
    model(|| {
        let homes = homes();
        for port in 2..5 {
            insert(&homes, &tuple(port), &flow(port, 0));
        }
        let other = {
            let homes = Arc::clone(&homes);
            thread::spawn(move || {
                // Now there is room in the first bucket.
                retire(&homes, &tuple(2));
                insert(&homes, &tuple(1), &flow(7, 0))
            })
        };
        insert(&homes, &tuple(1), &flow(8, 0));
        other.join().unwrap();
        assert_eq!(live_with_key(&homes, &tuple(1)), 1);
    });
}

#[test]
fn a_reader_never_sees_a_mixture_of_two_flows() {
    model(|| {
        let homes = homes();
        insert(&homes, &tuple(1), &flow(7, 0));
        let writer = {
            let homes = Arc::clone(&homes);
            thread::spawn(move || {
                retire(&homes, &tuple(1));
                insert(&homes, &tuple(2), &flow(9, 0));
            })
        };
        if let Some(hit) = find(&homes, &tuple(1)) {
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
    model(|| {
        let homes = homes();
        insert(&homes, &tuple(1), &flow(7, 0));
        let seen = homes[0].heads[0].tag.load(Ordering::SeqCst);
        let processor = {
            let homes = Arc::clone(&homes);
            thread::spawn(move || {
                retire(&homes, &tuple(1));
                insert(&homes, &tuple(2), &flow(9, 0))
            })
        };
        let freed = bucket::freed(seen);
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let done = homes[0].heads[0].tag.compare_exchange(seen, freed, order.0, order.1).is_ok();
        let inserted = processor.join().unwrap();
        // Whoever freed the old flow, the new one is whole.
        assert!(inserted || done);
        if inserted {
            assert_eq!(live_with_key(&homes, &tuple(2)), 1);
        }
    });
}

#[test]
fn newcomers_that_race_for_the_last_place_take_no_other() {
    model(|| {
        let homes = homes();
        for port in 1..8 {
            let mut confirmed = flow(port, 0);
            confirmed.looks.state = seen::CONFIRMED;
            insert(&homes, &tuple(port), &confirmed);
        }
        insert(&homes, &tuple(8), &flow(8, 0));
        let other = {
            let homes = Arc::clone(&homes);
            thread::spawn(move || insert(&homes, &tuple(9), &flow(9, 0)))
        };
        let inserted = insert(&homes, &tuple(10), &flow(10, 0));
        let others = other.join().unwrap();
        for port in 1..8 {
            assert_eq!(live_with_key(&homes, &tuple(port)), 1, "{port} was confirmed");
        }
        assert!(inserted || others, "somebody finds room");
        let live: usize = (8..11).map(|port| live_with_key(&homes, &tuple(port))).sum();
        assert_eq!(live, 1, "one place was to be had");
    });
}
