//! One run: operations, disturbances, checkpoints.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use testbed::{
    churn::{Churn, Operation},
    report,
};

use super::{
    checkpoint::{self, Compared},
    cluster::Cluster,
};

pub struct Run {
    seed: u64,
    started: Instant,
    cluster: Cluster,
    churn: Churn,
    random: StdRng,
    /// An agent that was stopped, and the number of the step in which it goes on.
    paused: Option<(usize, u32)>,
    /// Disturbances before all of them come again.
    due: Vec<&'static str>,
    steps: u32,
    checkpoints: u32,
    compared: Compared,
    done: BTreeMap<&'static str, u32>,
    refused: BTreeMap<String, u32>,
}

impl Run {
    pub fn start(seed: u64) -> Self {
        let cluster = Cluster::start().unwrap();
        let churn = Churn::new(seed, cluster.machines.clone());
        Self {
            seed,
            started: Instant::now(),
            cluster,
            churn,
            random: StdRng::seed_from_u64(seed ^ u64::MAX),
            paused: None,
            due: Vec::new(),
            steps: 0,
            checkpoints: 0,
            compared: Compared::default(),
            done: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Changes the cluster until it is late, and has everything compared now and then.
    pub fn churn(&mut self, latest: Instant) -> Result<()> {
        while Instant::now() < latest {
            self.step()?;
            if self.steps.is_multiple_of(DISTURBANCE) {
                self.disturb().with_context(|| format!("in step {}", self.steps))?;
            }
            if self.steps.is_multiple_of(CHECKPOINT) {
                self.checkpoint()?;
            }
        }
        self.checkpoint()
    }

    /// Nothing may be left of anything.
    pub fn delete_everything(&mut self) -> Result<()> {
        let objects: Vec<_> = self.churn.objects().cloned().collect();
        for object in objects {
            self.carry_out(&Operation::Delete(object))?;
        }
        self.checkpoint().context("after everything was deleted")
    }

    /// How many of what there were.
    pub fn figures(&self) -> String {
        let sum: u32 = self.done.values().sum();
        let Self { seed, steps, checkpoints, compared, done, refused, .. } = self;
        let Compared { lines, probes } = compared;
        format!(
            "seed {seed}: {steps} steps, {sum} operations in {:?}: {done:?}\n\
             refused by the apiserver: {refused:?}\n\
             {checkpoints} checkpoints of {} nodes, {lines} entries and {probes} probes compared",
            self.started.elapsed(),
            self.cluster.agents.len()
        )
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if let Some((agent, until)) = self.paused
            && until <= self.steps
        {
            self.signal(agent, Signal::SIGCONT)?;
            self.paused = None;
        }
        let Some(step) = self.churn.step() else { return Ok(()) };
        for operation in &step.operations {
            self.carry_out(operation)?;
        }
        *self.done.entry(step.name).or_default() += 1;
        Ok(())
    }

    fn carry_out(&mut self, operation: &Operation) -> Result<()> {
        let plane = &self.cluster.plane;
        let outcome = match operation {
            Operation::Apply(object) => plane.apply(object),
            Operation::Terminate(object) => plane.begin_to_delete(object),
            Operation::Delete(object) => plane.delete(object).and_then(|()| {
                // Nothing can be made in a namespace that is still going.
                while object["kind"] == "Namespace" && plane.has(object)? {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                Ok(())
            }),
        };
        match outcome {
            Ok(()) => self.churn.done(operation),
            Err(error) => match error.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                    *self.refused.entry(status.message.clone()).or_default() += 1;
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        if let Some((agent, _)) = self.paused.take() {
            self.signal(agent, Signal::SIGCONT)?;
        }
        let Compared { lines, probes } = checkpoint::compare(&self.cluster, self.seed)
            .with_context(|| format!("at the checkpoint after step {}", self.steps))?;
        self.checkpoints += 1;
        self.compared.lines += lines;
        self.compared.probes += probes;
        report(&format!(
            "step {}, {:?}: {lines} entries and {probes} probes as they should be",
            self.steps,
            self.started.elapsed()
        ));
        Ok(())
    }

    /// Something else than a change of objects.
    fn disturb(&mut self) -> Result<()> {
        let agent = self.random.random_range(0..self.cluster.agents.len());
        if self.paused.is_some_and(|(paused, _)| paused == agent) {
            return Ok(());
        }
        if self.due.is_empty() {
            self.due = DISTURBANCES.to_vec();
            self.due.shuffle(&mut self.random);
        }
        let what = self.due.pop().unwrap_or_default();
        match what {
            "agent restarted" => self.cluster.agents[agent].1.restart()?,
            "agent killed" => self.kill_and_start(agent)?,
            "agent paused" if self.paused.is_none() => {
                self.signal(agent, Signal::SIGSTOP)?;
                self.paused = Some((agent, self.steps + PAUSE));
            }
            "etcd compacted" => self.cluster.plane.compact()?,
            "apiserver killed" => {
                self.cluster.plane.kill_apiserver();
                if self.random.random_ratio(1, 2) {
                    self.kill_and_start(agent)?;
                }
                if self.random.random_ratio(1, 2) {
                    self.cluster.plane.compact()?;
                }
                self.cluster.plane.start_apiserver()?;
            }
            _ => return Ok(()),
        }
        *self.done.entry(what).or_default() += 1;
        Ok(())
    }

    fn kill_and_start(&mut self, agent: usize) -> Result<()> {
        let (_, agent) = &mut self.cluster.agents[agent];
        agent.kill9()?;
        agent.start()
    }

    fn signal(&self, agent: usize, signal: Signal) -> Result<()> {
        let pid = self.cluster.agents[agent].1.pid().context("the agent does not run")?;
        Ok(kill(Pid::from_raw(pid.cast_signed()), signal)?)
    }
}

/// Steps from one to the next.
const CHECKPOINT: u32 = 500;
const DISTURBANCE: u32 = 50;
const PAUSE: u32 = 40;

const DISTURBANCES: [&str; 8] = [
    "agent restarted",
    "agent restarted",
    "agent killed",
    "agent killed",
    "agent paused",
    "agent paused",
    "etcd compacted",
    "apiserver killed",
];
