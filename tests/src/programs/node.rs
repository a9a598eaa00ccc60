//! A node in the kernel and in memory, and packets that go through both.

use std::{
    net::{IpAddr, SocketAddr},
    sync::MutexGuard,
    time::Duration,
};

use abi::next_hop::NextHop;
use abi::tail::HANDOVER;
use datapath::Verdict;
use zonegate::{
    compile::{Compiler, Limits},
    dataplane::Flow,
    image::Image,
    model::World,
    simulate::{self, Frame, SimulatedTables},
};

use super::{
    case::Case,
    kernel::Programs,
    verdict::{action, counters},
    world::HERE,
};
use crate::packet::{assert_packet_eq, summary, verify_checksums};

/// The node whose programs are run; one exists at a time.
pub struct Node {
    programs: MutexGuard<'static, Programs>,
    simulated: SimulatedTables,
    compiler: Compiler,
    image: Image,
}

impl Node {
    /// A node that holds a world.
    pub fn of(world: &World) -> Self {
        let mut node = Self::before_the_first_commit();
        node.commit(world);
        node
    }

    pub fn before_the_first_commit() -> Self {
        Self {
            programs: Programs::acquire(),
            simulated: SimulatedTables::empty(),
            compiler: Compiler::new(HERE.to_owned(), Limits::default()),
            image: Image::default(),
        }
    }

    /// Goes on to another world; flows stay.
    pub fn commit(&mut self, world: &World) {
        self.image = self.compiler.compile(world).expect("a world that compiles");
        self.programs.commit(&self.image).expect("committing");
        self.simulated.commit(&self.image);
        for (endpoint, port) in &self.image.ports {
            let interface = self.programs.interface(&port.interface);
            self.programs.plug(*endpoint, interface);
            self.simulated.set_interface(*endpoint, interface);
        }
    }

    /// Makes the way to a remote backend known: by an interface, to a link address, up to a size.
    pub fn resolve(&mut self, backend: IpAddr, interface: &str, to: [u8; 6], mtu: u32) {
        let id = self.image.next_hops.iter().find(|(_, address)| **address == backend);
        let (id, _) = id.unwrap_or_else(|| panic!("{backend} is no remote backend"));
        let [a, b, c, d, e, f] = to;
        let [g, h, i, j, k, l] = Self::MAC;
        let hop = NextHop {
            destination: [a, b, c, d, e, f, 1, 0],
            source: [g, h, i, j, k, l, 0, 0],
            interface: self.programs.interface(interface),
            mtu,
            padding: 0,
        };
        self.programs.set_next_hop(*id, &hop);
        self.simulated.set_next_hop(*id, hop);
    }

    /// What [`Self::resolve`] has frames come from.
    pub const MAC: [u8; 6] = [2, b'n', b'o', b'd', b'e', 0];

    /// The index of an interface such as `zg-web`.
    pub fn interface(&self, name: &str) -> u32 {
        self.programs.interface(name)
    }

    pub fn cut_tail_calls(&self) {
        self.programs.cut_tail_calls().expect("emptying the tail-call maps");
    }

    /// Leaves no entry of the kernel's flow tables to new flows; those that are known stay.
    pub fn claim_flow_tables(&self) {
        self.programs.claim_flow_tables();
    }

    /// Ends every flow.
    pub fn forget_flows(&self) {
        self.programs.forget_flows();
        self.simulated.forget_flows();
    }

    /// Has the kernel time the handshake of one in so many connections.
    pub fn sample_handshakes(&self, sample: u32) {
        self.programs.sample_handshakes(sample);
    }

    /// How long the connections that the kernel's flow tables hold took to be answered, as far as
    /// that was timed.
    pub fn handshakes(&self) -> Vec<Duration> {
        self.flows().into_iter().filter_map(|flow| flow.handshake).collect()
    }

    /// Packets and bytes that the kernel's entry for these ends has counted.
    pub fn counted(&self, source: SocketAddr, destination: SocketAddr) -> (u64, u64) {
        let mut flows = self.flows().into_iter();
        let flow = flows.find(|it| (it.source, it.destination) == (source, destination));
        let flow = flow.unwrap_or_else(|| panic!("no flow from {source} to {destination}"));
        (flow.packets, flow.bytes)
    }

    fn flows(&self) -> Vec<Flow> {
        self.programs.live_flows().expect("reading the kernel's clock")
    }

    /// Sends every packet of a table, in its order.
    #[track_caller]
    pub fn check_all(&self, cases: impl IntoIterator<Item = Case>) {
        for case in cases {
            self.check(case);
        }
    }

    /// Sends a packet through kernel and host; panics unless both do what the case says. Gives
    /// the packet that comes out, whose checksums are right if those of the packet in are.
    #[track_caller]
    pub fn check(&self, case: Case) -> Vec<u8> {
        let out = self.send(&case);
        if !matches!(case.verdict, Verdict::Drop(_)) {
            eprintln!("{}: {} came out", case.what, summary(&out));
            assert_packet_eq(case.out.as_ref().unwrap_or(&case.frame), &out);
        }
        out
    }

    /// Like [`Self::check`], but leaves the packet that comes out to the caller to judge.
    #[track_caller]
    pub fn send(&self, case: &Case) -> Vec<u8> {
        let Case { what, hook, frame, verdict, .. } = case;
        let interface = self.programs.interface(&case.interface);
        let mut simulated = Frame(frame.clone());
        let on_host = simulate::send(&self.simulated, *hook, interface, &mut simulated);
        let run = self.programs.run(*hook, interface, 0, frame);
        let (mut run, counted) = run.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        if matches!(verdict, Verdict::Handover(_)) {
            let word: Vec<u8> = run.frame.drain(..size_of::<u32>()).collect();
            assert_eq!(word, HANDOVER.to_ne_bytes(), "{what}: metadata");
        }

        let did = (run.action, counted);
        let wanted = (action(*hook, *verdict), counters(*verdict));
        assert!(
            did == wanted && on_host == *verdict,
            "{what}: {}\n  wanted {verdict:?}, which is {wanted:?}\n  the kernel did {did:?}\n  \
             the host build {on_host:?}",
            summary(frame),
        );
        if !matches!(verdict, Verdict::Drop(_)) {
            eprintln!("{what}: kernel (actual) against host build (expected)");
            assert_packet_eq(&simulated.0, &run.frame);
            if verify_checksums(frame).is_ok() {
                assert_eq!(verify_checksums(&run.frame), Ok(()), "{what}");
            }
        }
        run.frame
    }

    /// Runs a tc hook on a frame with a mark, in the kernel alone: the host build has no marks.
    /// Gives the action, the mark afterwards and the counters that moved.
    pub fn run_marked(&self, case: &Case, mark: u32) -> (i32, u32, Vec<(&'static str, u64)>) {
        let interface = self.programs.interface(&case.interface);
        let run = self.programs.run(case.hook, interface, mark, &case.frame);
        let (run, counted) = run.expect("a test run");
        (run.action, run.mark, counted)
    }

    /// Runs a hook in the kernel alone, where the host build differs by design; panics unless
    /// the programs do what the case says.
    #[track_caller]
    pub fn check_in_kernel(&self, case: &Case) {
        let (did, _, counted) = self.run_marked(case, 0);
        let wanted = (action(case.hook, case.verdict), counters(case.verdict));
        assert_eq!((did, counted), wanted, "{}", case.what);
    }
}
