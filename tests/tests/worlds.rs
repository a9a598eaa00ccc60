//! The programs in the kernel against `zonegate check`: every probe of the worlds of policy, sent
//! through every hook on its way.
//!
//! A world's tables are committed once per node that its probes touch; the programs are loaded
//! once for all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use testbed::{
    cases::{self, World},
    programs::StandIn,
    report,
};
use zonegate::{
    check::{self, Checker, Cluster, Probe, Stop},
    compile::{Compiler, Limits},
    simulate::Frame,
};

/// The files of worlds about policy.
const FILES: [&str; 2] = ["netpol.json", "cnp.json"];
const LEAST_WORLDS: usize = 60;

#[test]
fn every_probe_of_every_policy_world_ends_in_the_kernel_as_check_says() {
    let mut programs = StandIn::acquire();
    let mut tally = Tally::default();
    for world in FILES.iter().flat_map(|name| cases::worlds(&cases::file(name)).unwrap()) {
        ask(&mut programs, &world, &mut tally);
    }
    let Tally { worlds, probes, packets, wrong } = tally;
    report(&format!("{worlds} worlds, {probes} probes, {packets} packets"));
    assert!(
        wrong.is_empty(),
        "{} wrong, for example:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
    assert!(worlds >= LEAST_WORLDS, "{worlds} worlds");
}

#[derive(Default)]
struct Tally {
    worlds: usize,
    probes: usize,
    packets: usize,
    wrong: Vec<String>,
}

/// A probe on its way.
struct Journey<'w> {
    probe: &'w Probe,
    packet: Frame,
    stops: Vec<Stop>,
    /// What each stop said that was reached on its node.
    verdicts: BTreeMap<usize, datapath::Verdict>,
}

impl Journey<'_> {
    /// Sends the packet through the hooks of one node, until one drops it. Says how many those
    /// were.
    fn visit(&mut self, node: &str, programs: &StandIn) -> usize {
        let mut packets = 0;
        for (index, stop) in self.stops.iter().enumerate().filter(|(_, stop)| stop.node == node) {
            let verdict = programs.judge(&stop.at, &self.packet);
            self.verdicts.insert(index, verdict);
            packets += 1;
            if matches!(verdict, datapath::Verdict::Drop(_)) {
                break;
            }
        }
        programs.forget_flows();
        packets
    }

    /// The end of the packet, in the words of `check`: what the first hook that keeps it says.
    fn end(&self) -> (check::Verdict, Option<&'static str>) {
        for verdict in self.verdicts.values() {
            match verdict {
                datapath::Verdict::Pass(_) => {}
                datapath::Verdict::Drop(reason) => {
                    return (check::Verdict::Drop, Some(reason.name()));
                }
                other => panic!("{:?}: {other:?}", self.probe),
            }
        }
        let nobody = self.stops.is_empty();
        (if nobody { check::Verdict::Pass } else { check::Verdict::Forward }, None)
    }
}

fn ask(programs: &mut StandIn, world: &World, tally: &mut Tally) {
    let mut checker = Checker::new(Cluster::new(&world.objects).unwrap());
    let journey = |probe| {
        let (packet, stops) = checker.way(probe).unwrap();
        Journey { probe, packet, stops, verdicts: BTreeMap::new() }
    };
    let mut journeys: Vec<_> = world.probes.iter().map(journey).collect();
    let stops = journeys.iter().flat_map(|journey| &journey.stops);
    let nodes: BTreeSet<String> = stops.map(|stop| stop.node.clone()).collect();
    for node in nodes {
        let mut compiler = Compiler::new(node.clone(), Limits::default());
        programs.become_node(&compiler.compile(&checker.cluster().world).unwrap());
        for journey in &mut journeys {
            tally.packets += journey.visit(&node, programs);
        }
    }
    for journey in journeys {
        let answer = checker.answer(journey.probe).unwrap();
        let (verdict, reason) = journey.end();
        let expected = &world.expect[&journey.probe.id];
        if (verdict, reason) != (answer.verdict, answer.reason) || !expected.is(verdict) {
            tally.wrong.push(format!(
                "{}: {:?}\n  the kernel: {:?}\n  check: {answer:?}\n  expected: {}",
                world.name, journey.probe, journey.verdicts, expected.verdict
            ));
        }
    }
    tally.worlds += 1;
    tally.probes += world.probes.len();
}
