//! How long backends take to answer: which connections are timed, and between which packets.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use abi::reason::PassReason;
use testbed::{
    packet,
    programs::{Case, Node, Places, Worlds},
};

const NEW: PassReason = PassReason::NewFlow;
const ESTABLISHED: PassReason = PassReason::Established;
const DELAY: Duration = Duration::from_millis(30);
/// Times are kept to one part in 256.
const PRECISION: u32 = 256;

/// A client on this node, what it asks, and who answers from the wire.
struct Ends {
    client: SocketAddr,
    vip: SocketAddr,
    backend: SocketAddr,
}

impl Ends {
    fn tcp(places: &Places, port: u16) -> Self {
        Self {
            client: SocketAddr::new(places.web, port),
            vip: SocketAddr::new(places.vip, Places::HTTP),
            backend: SocketAddr::new(places.pod, Places::HTTP_BACKEND),
        }
    }

    fn syn(&self, node: &Node, what: &str, reason: PassReason) {
        let translated = packet::tcp(self.client, self.backend).syn();
        let syn = Case::from("web", what, &packet::tcp(self.client, self.vip).syn());
        node.check(syn.passes(reason).becomes(&translated));
    }

    fn syn_ack(&self, node: &Node, what: &str) {
        let syn_ack = packet::tcp(self.backend, self.client).syn_ack();
        node.check(Case::from_wire(what, &syn_ack).passes(ESTABLISHED));
    }
}

#[test]
fn an_answer_is_timed_from_the_first_syn() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let ends = Ends::tcp(&places, 4000);
        let started = Instant::now();
        ends.syn(&node, "open", NEW);
        thread::sleep(DELAY);
        assert!(node.handshakes().is_empty(), "nobody has answered");
        ends.syn(&node, "a retransmission", ESTABLISHED);
        thread::sleep(DELAY);
        ends.syn_ack(&node, "answer");
        let longest = started.elapsed();
        let times = node.handshakes();
        let [time] = times[..] else { panic!("{times:?}") };
        assert!(time + time / PRECISION > 2 * DELAY && time <= longest, "{time:?} of {longest:?}");

        thread::sleep(DELAY);
        ends.syn_ack(&node, "the answer again");
        assert_eq!(node.handshakes(), [time], "only the first counts");
        let (packets, ..) = node.counted(ends.backend, ends.client);
        assert_eq!(packets, 2, "the time is not taken for packets");
        node.forget_flows();
    }
}

#[test]
fn a_second_connection_with_the_same_ports_is_timed_anew() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let ends = Ends::tcp(&places, 4000);
        ends.syn(&node, "open", NEW);
        thread::sleep(DELAY);
        ends.syn_ack(&node, "answer");
        let fin = packet::tcp(ends.client, ends.vip).fin_ack();
        let translated = packet::tcp(ends.client, ends.backend).fin_ack();
        node.check(Case::from("web", "end", &fin).passes(ESTABLISHED).becomes(&translated));
        let started = Instant::now();
        ends.syn(&node, "again", NEW);
        ends.syn_ack(&node, "answer");
        let times = node.handshakes();
        let [time] = times[..] else { panic!("{times:?}") };
        assert!(time <= started.elapsed(), "{time:?}");
        node.forget_flows();
    }
}

#[test]
fn what_is_no_answered_connection_to_a_service_is_not_timed() {
    let node = Node::of(&Worlds::plain());
    for places in Places::both() {
        let refused = Ends::tcp(&places, 4000);
        refused.syn(&node, "open", NEW);
        let rst = packet::tcp(refused.backend, refused.client).rst();
        node.check(Case::from_wire("refused", &rst).passes(ESTABLISHED));
        refused.syn_ack(&node, "too late");

        let (dns, client) = (SocketAddr::new(places.vip, Places::DNS), refused.client);
        let backend = SocketAddr::new(places.pod, Places::DNS_BACKEND);
        let [question, translated] = [dns, backend].map(|to| packet::udp(client, to));
        node.check_all([
            Case::from("web", "a question", &question).passes(NEW).becomes(&translated),
            Case::from_wire("its answer", &packet::udp(backend, client)).passes(ESTABLISHED),
        ]);

        let direct = SocketAddr::new(places.outsider, 443);
        node.check_all([
            Case::from("web", "no service", &packet::tcp(client, direct).syn()).passes(NEW),
            Case::from_wire("its answer", &packet::tcp(direct, client).syn_ack())
                .passes(ESTABLISHED),
        ]);
        assert!(node.handshakes().is_empty());
        assert_eq!(node.counted(refused.backend, refused.client).0, 2);
        assert_eq!(node.counted(backend, client).0, 1);
        node.forget_flows();
    }
}

#[test]
fn about_one_in_so_many_is_timed() {
    const CONNECTIONS: u16 = 256;
    let node = Node::of(&Worlds::plain());
    for (sample, least, most) in [(0, 0, 0), (1, 256, 256), (8, 12, 60)] {
        node.sample_handshakes(sample);
        for places in Places::both() {
            let mut timed = 0;
            for port in 4000..4000 + CONNECTIONS {
                let ends = Ends::tcp(&places, port);
                ends.syn(&node, "open", NEW);
                ends.syn_ack(&node, "answer");
                timed += node.handshakes().len();
                node.forget_flows();
            }
            assert!((least..=most).contains(&timed), "{timed} of {CONNECTIONS}, 1 in {sample}");
        }
    }
}
