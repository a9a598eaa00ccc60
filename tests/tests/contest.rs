//! Two processors and the agent at the same few buckets: packets of both directions of few flows, in
//! an order that a seed gives, through the kernel's programs. Every packet and every entry has to be
//! what the addresses alone say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use abi::control::Timeouts;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use testbed::{
    packet::{self, PacketBuilder},
    programs::{Case, Contest, Places, Tally, Worlds, admit},
    report,
};
use zonegate::{
    dataplane::Flow,
    maps::{FlowTables, Jiffies},
    model::{AddressSet, Prefix, Resource},
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where an end of a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Wire,
    Pod(&'static str),
}

/// A client, whom it asks, and who answers.
#[derive(Debug, Clone, Copy)]
struct Conversation {
    protocol: u8,
    client: SocketAddr,
    service: SocketAddr,
    server: SocketAddr,
    sides: [Side; 2],
}

impl Conversation {
    /// `number` makes it another one of the same kinds.
    fn all(places: &Places, number: u16) -> [Self; 5] {
        let Places { web, shop, pod, outsider, vip, local_vip, .. } = *places;
        let at = SocketAddr::new;
        let client = |address: IpAddr, kind: u16| at(address, 1000 * kind + number);
        let (there, here) = (at(pod, Places::HTTP_BACKEND), at(shop, Places::HTTP_BACKEND));
        let (web_side, shop_side) = (Side::Pod("web"), Side::Pod("shop"));
        let of = |protocol, client, service, server, sides| Self {
            protocol,
            client,
            service,
            server,
            sides,
        };
        let https = at(shop, 443);
        [
            of(TCP, client(outsider, 4), https, https, [Side::Wire, shop_side]),
            of(TCP, client(outsider, 5), at(local_vip, 80), here, [Side::Wire, shop_side]),
            of(TCP, client(web, 6), at(vip, 80), there, [web_side, Side::Wire]),
            of(
                UDP,
                client(web, 7),
                at(vip, 53),
                at(pod, Places::DNS_BACKEND),
                [web_side, Side::Wire],
            ),
            of(TCP, client(web, 8), https, https, [web_side, shop_side]),
        ]
    }

    /// Its packets at all hooks that they come by, by what they are.
    fn cases(&self) -> Vec<(Part, Case)> {
        let Self { protocol, client, service, server, sides: [client_side, server_side] } = *self;
        let mut cases = Vec::new();
        let mut add = |part, what: &str, make: &dyn Fn(SocketAddr, SocketAddr) -> PacketBuilder| {
            let what = format!("{what}, {client} to {service}");
            let (sent, arriving) = (make(client, service), make(client, server));
            let (answer, answered) = (make(server, client), make(service, client));
            // The client's side translates in both directions.
            if part == Part::Server {
                cases.push((part, comes_in(server_side, &what, &answer)));
                cases.push((part, goes_out(client_side, &what, &answer).becomes(&answered)));
                return;
            }
            cases.push((part, comes_in(client_side, &what, &sent).becomes(&arriving)));
            // Without its flow it would open another there, to the backend itself.
            if service == server {
                cases.push((part, goes_out(server_side, &what, &arriving)));
            }
        };
        if protocol == UDP {
            add(Part::Open, "ask", &|from, to| packet::udp(from, to).payload("?"));
            add(Part::Server, "answer", &|from, to| packet::udp(from, to).payload("!!"));
            return cases;
        }
        add(Part::Open, "SYN", &|from, to| packet::tcp(from, to).syn());
        add(Part::Server, "SYN-ACK", &|from, to| packet::tcp(from, to).syn_ack());
        for part in [Part::Client, Part::Server] {
            add(part, "ACK", &|from, to| packet::tcp(from, to).payload("data"));
            add(part, "FIN", &|from, to| packet::tcp(from, to).fin_ack());
            add(part, "RST", &|from, to| packet::tcp(from, to).rst());
        }
        add(Part::Server, "SYN of the server", &|from, to| packet::tcp(from, to).syn());
        cases
    }

    /// What both entries have to say.
    fn entries(&self) -> [(Key, Entry); 2] {
        let Self { protocol, client, service, server, .. } = *self;
        let is_service = service != server;
        [
            (
                (protocol, client, service),
                Entry { becomes: (client, server), reply: false, is_service },
            ),
            (
                (protocol, server, client),
                Entry { becomes: (service, client), reply: true, is_service },
            ),
        ]
    }
}

/// What a packet is in its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The client's first.
    Open,
    Client,
    Server,
}

fn comes_in(side: Side, what: &str, packet: &PacketBuilder) -> Case {
    match side {
        Side::Wire => Case::from_wire(what, packet),
        Side::Pod(name) => Case::from(name, what, packet),
    }
}

fn goes_out(side: Side, what: &str, packet: &PacketBuilder) -> Case {
    match side {
        Side::Wire => Case::to_wire(what, packet),
        Side::Pod(name) => Case::to(name, what, packet),
    }
}

/// Protocol, source and destination.
type Key = (u8, SocketAddr, SocketAddr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    becomes: (SocketAddr, SocketAddr),
    reply: bool,
    is_service: bool,
}

/// What entries there may be.
struct Expected(BTreeMap<Key, Entry>);

impl Expected {
    fn of(conversations: &[Conversation]) -> Self {
        Self(conversations.iter().flat_map(Conversation::entries).collect())
    }

    /// Panics unless an entry is one of them, in every field.
    fn check(&self, flow: &Flow) -> Key {
        let key = (flow.protocol, flow.source, flow.destination);
        let found = Entry {
            becomes: (flow.translated_source, flow.translated_destination),
            reply: flow.reply,
            is_service: flow.service != 0,
        };
        assert_eq!(self.0.get(&key), Some(&found), "{flow:?}");
        assert_eq!(flow.backend != 0, found.is_service, "{flow:?}");
        key
    }

    /// Panics unless the tables hold what they may, once, and nothing is half done. Gives the
    /// keys of the entries, and those whose partner is missing.
    fn check_all(&self, contest: &Contest) -> (Vec<Key>, Vec<Key>) {
        assert_eq!(contest.claimed(), 0, "claimed for good");
        let mut keys: Vec<_> = contest.flows().iter().map(|flow| self.check(flow)).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "two entries have one key");
        let partner = |(protocol, source, destination): &Key| {
            let (from, to) = self.0[&(*protocol, *source, *destination)].becomes;
            (*protocol, to, from)
        };
        let alone = keys.iter().filter(|key| keys.binary_search(&partner(key)).is_err());
        let alone = alone.copied().collect();
        (keys, alone)
    }
}

/// Only clients may open flows, so that every address tells its part.
fn contest(buckets: u32) -> Contest {
    let prefixes = Places::both().map(|it| Prefix::host(it.outsider)).to_vec();
    let outside = AddressSet { name: "outside".to_owned(), prefixes, except: Vec::new() };
    let world = Worlds::with([
        Resource::AddressSet(outside),
        admit("shop", &["outside", "web"], &[], &[]),
        admit("web", &[], &["pod", "shop"], &[]),
    ]);
    Contest::of(&world, buckets)
}

fn conversations(numbers: u16) -> Vec<Conversation> {
    let places = Places::both();
    let all = places.iter().flat_map(|it| (0..numbers).flat_map(|n| Conversation::all(it, n)));
    all.collect()
}

/// Two lists of packets. At most places both are of one conversation, so that they meet at its entries.
fn packets<'a>(
    cases: &'a [Vec<(Part, Case)>],
    count: usize,
    random: &mut StdRng,
) -> [Vec<&'a Case>; 2] {
    let mut lists = [Vec::new(), Vec::new()];
    for _ in 0..count {
        let mut of = cases.choose(random).unwrap();
        for list in &mut lists {
            if random.random_ratio(1, 8) {
                of = cases.choose(random).unwrap();
            }
            let part = if random.random() { Part::Open } else { Part::Client };
            let part = if random.random_ratio(1, 3) { Part::Server } else { part };
            let some: Vec<_> = of.iter().filter(|(it, _)| *it == part).collect();
            let (_, case) = some.choose(random).unwrap_or(&of.first().unwrap());
            list.push(case);
        }
    }
    lists
}

/// As the agent does, but with no patience for some of the flows.
fn age(flows: &FlowTables, jiffies: &Jiffies, random: &mut StdRng) {
    const LONG: u32 = 1 << 30;
    let mut limit = || if random.random_ratio(1, 4) { 0 } else { LONG };
    let timeouts = Timeouts {
        tcp_new: limit(),
        tcp_established: limit(),
        tcp_closing: limit(),
        udp: limit(),
        other: LONG,
        refresh: 0,
    };
    for part in 0..flows.parts() {
        flows.age(part, jiffies.now().unwrap().wrapping_add(1), &timeouts);
    }
}

/// All that may become of packets where there is room. Of two that want the same place one is dropped.
const USUAL: [&str; 9] = [
    "new_flow",
    "established",
    "forwarded",
    "not_ours",
    "policy_egress",
    "policy_ingress",
    "reject",
    "rejected",
    "flow_race",
];

/// Panics if anything else than that, or what is `full`, became of packets.
fn check_reasons(tally: &Tally, full: &[&str]) {
    let is_known = |name: &&str| USUAL.contains(name) || full.contains(name);
    assert!(tally.counted.keys().all(is_known), "{tally:?}");
}

#[test]
fn entries_stay_whole_and_single_where_all_is_contended() {
    const ROUNDS: u64 = 20;
    const PACKETS: usize = 5_000;
    let conversations = conversations(3);
    let expected = Expected::of(&conversations);
    let cases: Vec<_> = conversations.iter().map(Conversation::cases).collect();
    // Too few places of each family for 30 keys, and nearly too few.
    for buckets in [2, 8] {
        let contest = contest(buckets);
        let (mut left, mut looks) = (0, 0_u64);
        for round in 0..ROUNDS {
            let mut random = StdRng::seed_from_u64(round);
            let [first, second] = packets(&cases, PACKETS, &mut random);
            let tally = contest.run([&first, &second], |flows, jiffies| {
                for flow in flows.list(usize::MAX, jiffies.now().unwrap(), jiffies) {
                    expected.check(&flow);
                    looks += 1;
                }
                // Not always, or nothing would be there to be replaced.
                if random.random_ratio(1, 8) {
                    age(flows, jiffies, &mut random);
                }
            });
            assert_eq!(tally.passed + tally.dropped, 2 * PACKETS as u64);
            check_reasons(&tally, &["flow_table_full"]);
            let (keys, alone) = expected.check_all(&contest);
            let (keys, alone) = (keys.len(), alone.len());
            report(&format!("{buckets} buckets: {keys} entries, {alone} alone, {tally:?}"));
            left += keys;
        }
        assert!(left > 0 && looks > 0, "nothing was there to look at");
    }
}

/// Nothing ages and nothing is replaced. What ends a flow may still meet what refreshes it, and leave half
/// a pair, but not for longer than until the client's next packet that is looked at.
#[test]
fn pairs_become_whole_where_there_is_room() {
    const ROUNDS: u64 = 10;
    const PACKETS: usize = 5_000;
    let conversations = conversations(3);
    let expected = Expected::of(&conversations);
    let cases: Vec<_> = conversations.iter().map(Conversation::cases).collect();
    let contest = contest(256);
    for round in 0..ROUNDS {
        let [first, second] = packets(&cases, PACKETS, &mut StdRng::seed_from_u64(round));
        let tally = contest.run([&first, &second], |flows, jiffies| {
            for flow in flows.list(usize::MAX, jiffies.now().unwrap(), jiffies) {
                expected.check(&flow);
            }
        });
        assert_eq!(tally.passed + tally.dropped, 2 * PACKETS as u64);
        check_reasons(&tally, &[]);
        let (keys, alone) = expected.check_all(&contest);
        report(&format!("{} entries, {} alone, {tally:?}", keys.len(), alone.len()));
        assert!(!keys.is_empty());
        contest.look_again();
        for key in alone {
            let of = conversations.iter().zip(&cases);
            let mut of = of.filter(|(it, _)| it.entries().iter().any(|(its, _)| *its == key));
            let (_, cases) = of.next().unwrap();
            // Without the client's entry nothing but another opening makes it whole.
            let part = if expected.0[&key].reply { Part::Open } else { Part::Client };
            let case = cases.iter().find(|(it, _)| *it == part).or(cases.first());
            assert!(contest.send(&case.unwrap().1), "{key:?} is in the way");
        }
        let (_, alone) = expected.check_all(&contest);
        assert_eq!(alone, [], "after round {round}");
    }
    for (part, case) in cases.iter().flatten() {
        let is_answered = *part != Part::Server;
        assert!(contest.send(case) || !is_answered, "{case:?}");
    }
}
