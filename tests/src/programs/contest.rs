//! The kernel's programs on two processors at once, over flow tables of any size, while the agent
//! looks after the flows.

use std::{
    collections::BTreeMap,
    hint,
    os::fd::{AsFd, OwnedFd},
    panic::resume_unwind,
    sync::{
        MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use abi::{
    flow::tag,
    reason::{DropReason, PassReason},
};
use datapath::{Hook, Verdict};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use zonegate::{
    compile::{Compiler, Limits},
    dataplane::Flow,
    maps::{FlowTables, Jiffies},
    model::World,
};

use super::{
    case::Case,
    kernel::{Programs, program},
    run::{self, Run},
    verdict::action,
    world::HERE,
};
use crate::packet::summary;

/// The programs with the tables of one world; one exists at a time.
pub struct Contest {
    programs: MutexGuard<'static, Programs>,
    hooks: [(Hook, OwnedFd); 4],
}

/// What became of packets, by what the programs returned and by what they counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub dropped: u64,
    /// Counters that moved.
    pub counted: BTreeMap<&'static str, u64>,
}

impl Contest {
    /// A node that holds a world; its flow tables use so many of their 256 buckets: a power of two from
    /// two on.
    pub fn of(world: &World, buckets: u32) -> Self {
        let mut programs = Programs::acquire();
        programs.use_buckets(buckets);
        let mut compiler = Compiler::new(HERE.to_owned(), Limits::default());
        let image = compiler.compile(world).expect("a world that compiles");
        programs.commit(&image).expect("committing");
        for (endpoint, port) in &image.ports {
            programs.plug(*endpoint, programs.interface(&port.interface));
        }
        let hooks = HOOKS.map(|hook| {
            let program = programs.loaded.programs.fd(program(hook)).expect("a loaded program");
            (hook, program.as_fd().try_clone_to_owned().expect("another descriptor"))
        });
        Self { programs, hooks }
    }

    /// Sends two lists of packets, equally long, each from a processor of its own: those at the same
    /// place at about the same time. Meanwhile `agent` is called over and over.
    ///
    /// Panics if a packet that passes comes out as anything but what its case says, or if the
    /// programs' counters do not say the same of all packets as what they returned.
    pub fn run(
        &self,
        packets: [&[&Case]; 2],
        agent: impl FnMut(&FlowTables, &Jiffies) + Send,
    ) -> Tally {
        let Programs { netns, loaded, flows, counters, .. } = &*self.programs;
        let before = counters.read().expect("reading the counters");
        let mut tally = netns.run(|| {
            let (step, done) = (Step::default(), AtomicBool::new(false));
            thread::scope(|scope| {
                let senders = [0, 1].map(|own| {
                    let step = &step;
                    scope.spawn(move || self.send_all(packets[own], own, step))
                });
                let agent = scope.spawn(|| look_after(agent, flows, &loaded.jiffies, &done));
                let results = senders.map(thread::ScopedJoinHandle::join);
                done.store(true, Ordering::Relaxed);
                let agent = agent.join();
                let results = results.map(|it| it.unwrap_or_else(|cause| resume_unwind(cause)));
                agent.unwrap_or_else(|cause| resume_unwind(cause));
                results
            })
            .into_iter()
            .fold(Tally::default(), Tally::and)
        });
        let (mut passed, mut dropped) = (0, 0);
        for (before, after) in before.iter().zip(counters.read().expect("reading the counters")) {
            let moved = after.packets - before.packets;
            if moved != 0 {
                tally.counted.insert(after.name, moved);
            }
            match after.name {
                name if name == PassReason::Forwarded.name() => {}
                _ if after.drop => dropped += moved,
                _ => passed += moved,
            }
        }
        assert_eq!((passed, dropped), (tally.passed, tally.dropped), "{:?}", tally.counted);
        tally
    }

    /// Sends one packet; panics as [`Self::run`] does. `false`: it was dropped.
    pub fn send(&self, case: &Case) -> bool {
        self.programs.netns.run(|| self.judge(case))
    }

    /// Has every flow's next packet looked at, as one is anyway after the refresh time.
    pub fn look_again(&self) {
        self.programs.look_again();
    }

    /// All live entries of both flow tables.
    pub fn flows(&self) -> Vec<Flow> {
        self.programs.live_flows().expect("reading the kernel's clock")
    }

    /// Entries that somebody claimed and has not published.
    pub fn claimed(&self) -> usize {
        self.programs.tags().filter(|observed| observed & tag::STATE == tag::CLAIMED).count()
    }

    fn send_all(&self, cases: &[&Case], own: usize, step: &Step) -> Tally {
        pin(own);
        let _gone = Gone(&step.0[own]);
        let mut tally = Tally::default();
        for (number, case) in cases.iter().enumerate() {
            step.meet(own, number);
            match self.judge(case) {
                true => tally.passed += 1,
                false => tally.dropped += 1,
            }
        }
        tally
    }

    /// Runs a case's program in this thread's namespace, and looks at what comes out.
    fn judge(&self, case: &Case) -> bool {
        let Case { what, hook, frame, out, .. } = case;
        let interface = self.programs.interface(&case.interface);
        let program = self.hooks.iter().find(|(it, _)| it == hook).expect("a hook of packets");
        let program = program.1.as_fd();
        let run = match hook {
            Hook::UplinkIngress => run::xdp(program, interface, frame),
            _ => run::tc(program, interface, 0, frame),
        };
        let Run { action: did, frame: came_out, .. } = run.expect("a test run");
        if did == action(*hook, Verdict::Drop(DropReason::FlowRace)) {
            return false;
        }
        let wanted = out.as_ref().unwrap_or(frame);
        let is_right = if did == action(*hook, Verdict::Pass(PassReason::Established)) {
            // What no flow is known of leaves as it is.
            came_out == *wanted || (*hook == Hook::UplinkEgress && came_out == *frame)
        } else {
            // An answer to who sent it.
            did == action(*hook, Verdict::Transmit(PassReason::Rejected))
        };
        assert!(is_right, "{what}: {did}\n  {}\n  {}", summary(wanted), summary(&came_out));
        true
    }
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            dropped: self.dropped + other.dropped,
            counted: self.counted,
        }
    }
}

/// Keeps two threads in step, as long as both of them run.
#[derive(Default)]
struct Step([AtomicUsize; 2]);

impl Step {
    /// Waits for the other to get here as well, but not for long: it may have to wait itself.
    fn meet(&self, own: usize, step: usize) {
        let [mine, other] = if own == 0 { [0, 1] } else { [1, 0] }.map(|index| &self.0[index]);
        mine.store(step, Ordering::Release);
        for _ in 0..PATIENCE {
            if other.load(Ordering::Acquire) >= step {
                return;
            }
            hint::spin_loop();
        }
    }
}

/// Has nobody wait for a thread that is gone.
struct Gone<'a>(&'a AtomicUsize);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::Release);
    }
}

/// That packets come by.
const HOOKS: [Hook; 4] =
    [Hook::UplinkIngress, Hook::UplinkEgress, Hook::WorkloadIngress, Hook::WorkloadEgress];
/// Longer than a packet takes.
const PATIENCE: u32 = 10_000;

fn look_after(
    mut agent: impl FnMut(&FlowTables, &Jiffies),
    flows: &FlowTables,
    jiffies: &Jiffies,
    done: &AtomicBool,
) {
    while !done.load(Ordering::Relaxed) {
        agent(flows, jiffies);
        thread::yield_now();
    }
}

/// To a processor by its number; where there is only one, threads share it.
fn pin(processor: usize) {
    let mut only = CpuSet::new();
    only.set(processor).expect("a processor's number");
    let _ = sched_setaffinity(Pid::from_raw(0), &only);
}
