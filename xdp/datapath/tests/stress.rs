//! Threads that insert, look up, refresh and retire the same few flows, and one that lists and frees
//! them as the agent does. What loom proves of two or three steps, this tries with many.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread,
};

use abi::{
    control::{Control, Timeouts},
    flow::{seen, tag},
};
use datapath::{
    Address, Port, V4, V6, Word,
    flow::{
        Flow, Hit, Key, Looks, Rewrite,
        bucket::{self, Cells, freed},
        entry::{Epochs, Target},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Pairs of buckets.
const PAIRS: usize = 2;
/// The first pair has room for its half, the second has not.
const KEYS: u32 = 12;
const PROCESSORS: u64 = 3;
const ROUNDS: u64 = 300;
const STEPS: u32 = 100;
const TIMEOUTS: Timeouts =
    Timeouts { tcp_new: 10, tcp_established: 100, tcp_closing: 5, udp: 20, other: 5, refresh: 4 };

type Homes<A> = [Cells<A, Slow>; 2];

/// A word at which a processor may be held up, so that others come between any two steps of it.
#[derive(Default)]
struct Slow(AtomicU64);

impl Slow {
    fn hesitate() {
        thread_local!(static STEP: Cell<u32> = const { Cell::new(1) });
        let step = STEP.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        STEP.set(step);
        if step >> 26 == 0 {
            thread::yield_now();
        }
    }
}

impl Word for Slow {
    fn load(&self) -> u64 {
        Word::load(&self.0)
    }

    fn store(&self, value: u64) {
        Self::hesitate();
        Word::store(&self.0, value);
    }

    fn compare_exchange(&self, current: u64, new: u64) -> bool {
        Self::hesitate();
        Word::compare_exchange(&self.0, current, new)
    }
}

/// Numbers of flows; those with one key differ by a multiple of [`KEYS`].
struct Numbers(AtomicU32);

impl Numbers {
    fn next(&self, key: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) * KEYS + key
    }
}

fn key(number: u32) -> Key {
    let word = u64::from(number % KEYS) + 1;
    Key { pair: [word; 4], ports: word }
}

/// Its upper bits, which a tag has, are the key's own.
fn hash(number: u32) -> u64 {
    0x1234_5678_0000_0000 + (u64::from(number % KEYS) << 16)
}

fn find<A: Address>([first, second]: &Homes<A>, number: u32) -> Option<Hit<'_, A, Slow>> {
    bucket::find::<A, Slow>(first, || Some(second), hash(number), &key(number))
}

/// Every word says the number, so that a mixture of two flows shows.
fn flow<A: Address>(number: u32, seen: u32, state: u8) -> Flow<A> {
    let short = number as u16;
    let (source, destination) = A::unpair([u64::from(number); 4]);
    Flow {
        rewrite: Rewrite {
            source,
            destination,
            source_port: Port(short),
            destination_port: Port(short),
            address_delta: short,
            port_delta: short,
        },
        looks: Looks { seen, next_hop: number & 0xff_ffff, state },
        epochs: Epochs { sum: number, source: short, destination: short },
        target: Target { backend: number, service: number & 0xff_ffff, kind: 0 },
    }
}

/// Panics if what an entry says is not of one flow with this key.
fn check<A: Address>(hit: &Hit<'_, A, Slow>, wanted: &Key) {
    let found: Flow<A> = hit.flow();
    if !hit.is_current() {
        return;
    }
    let number = found.target.backend;
    assert_eq!(key(number), *wanted, "flow {number} under another's key");
    let Looks { seen, state, .. } = found.looks;
    let whole = flow::<A>(number, seen, state);
    assert!(whole.rewrite == found.rewrite, "the rewrite is not of flow {number}");
    assert_eq!(
        (found.looks, found.epochs, found.target),
        (whole.looks, whole.epochs, whole.target)
    );
}

fn processor<A: Address>(pairs: &[Homes<A>], numbers: &Numbers, now: u32, seed: u64) {
    let control = Control { timeouts: TIMEOUTS, fresh: 8, ..Control::default() };
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..STEPS {
        let at = random.random_range(0..PAIRS);
        let number = numbers.next(random.random_range(0..KEYS / if at == 0 { 2 } else { 1 }));
        let (homes, key) = (&pairs[at], key(number));
        match random.random_range(0..16) {
            0..12 => {
                let state = if random.random() { seen::CONFIRMED } else { 0 };
                let flow = flow::<A>(number, now, state);
                let both = homes.each_ref();
                let _refused =
                    bucket::insert::<A, Slow, false>(both, hash(number), &key, &flow, &control);
                if let Some(hit) = find::<A>(homes, number) {
                    check(&hit, &key);
                }
            }
            12..15 => {
                if let Some(hit) = find::<A>(homes, number) {
                    check(&hit, &key);
                    let old = hit.looks();
                    hit.set_looks(old, Looks { state: old.state | seen::CONFIRMED, ..old });
                }
            }
            _ => {
                if let Some(hit) = find::<A>(homes, number) {
                    hit.retire();
                }
            }
        }
    }
}

/// Frees what it finds, by the tag that it saw.
fn agent<A: Address>(pairs: &[Homes<A>], seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..STEPS / 16 {
        for head in pairs.iter().flatten().flat_map(|bucket| &bucket.heads) {
            let observed = head.tag.load();
            if observed & tag::STATE == tag::LIVE && random.random_range(0..4) == 0 {
                head.tag.compare_exchange(observed, freed(observed));
            }
        }
    }
}

/// Nobody is at work: what is live is whole, and of each key there is one.
fn verify<A: Address>(pairs: &[Homes<A>]) -> usize {
    let mut live = 0;
    for homes in pairs {
        let mut places = BTreeMap::new();
        let all = homes.iter().flat_map(|it| it.heads.iter().zip(&it.entries));
        for (place, (head, entry)) in all.enumerate() {
            let observed = head.tag.load();
            assert_ne!(observed & tag::STATE, tag::CLAIMED, "claimed for good");
            if observed & tag::STATE != tag::LIVE {
                continue;
            }
            let ports = entry.as_ref()[A::PAIR].load();
            assert_eq!((observed ^ hash(ports as u32 - 1)) & tag::HASH, 0);
            let before = places.insert(ports, place);
            assert_eq!(before, None, "place {place} has the key of another");
            live += 1;
        }
        for number in 0..KEYS {
            let found = find::<A>(homes, number);
            assert_eq!(found.is_some(), places.contains_key(&key(number).ports));
            if let Some(hit) = found {
                check(&hit, &key(number));
            }
        }
    }
    live
}

fn hammer<A: Address>()
where
    Homes<A>: Default + Sync,
{
    let pairs: [Homes<A>; PAIRS] = Default::default();
    let numbers = Numbers(AtomicU32::new(0));
    let mut live = 0;
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            let (pairs, numbers) = (&pairs, &numbers);
            for id in 0..PROCESSORS {
                let seed = round * PROCESSORS + id;
                scope.spawn(move || processor::<A>(pairs, numbers, round as u32, seed));
            }
            scope.spawn(move || agent::<A>(pairs, round));
        });
        live += verify::<A>(&pairs);
    }
    assert!(live > 0, "nothing was left to look at");
}

#[test]
fn entries_of_ipv4_stay_whole_and_single() {
    hammer::<V4>();
}

#[test]
fn entries_of_ipv6_stay_whole_and_single() {
    hammer::<V6>();
}
