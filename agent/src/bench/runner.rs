//! One round of one scenario.

use std::time::Duration;

use super::{
    BenchError,
    scenario::{NEW, Scenario},
    stopwatch,
};
use crate::{
    dataplane::Counter,
    loader::{LoadError, Rig},
};
use abi::reason::PassReason;

/// How much of a scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// That packets are of.
    pub flows: u32,
    pub packets: u32,
}

/// Nanoseconds per packet of listed flows above the empty program, which is run first. Both are
/// run on every flow once before, so that no entry is due for its refresh.
pub fn measure(rig: &mut Rig, scenario: &Scenario, amount: Amount) -> Result<f64, BenchError> {
    let Amount { flows, packets } = amount;
    rig.prologue.set_up(&scenario.packet.setup(flows, 0));
    rig.aim(scenario.hook.kind(), None)?;
    rig.prologue.run(scenario.hook.kind(), flows)?;
    let base = time(rig, scenario, packets)?;
    rig.aim(scenario.hook.kind(), Some(scenario.hook.program()))?;
    rig.prologue.run(scenario.hook.kind(), flows)?;
    let before = rig.counters()?;
    let whole = time(rig, scenario, packets)?;
    verify(&before, &rig.counters()?, scenario, amount)?;
    Ok(stopwatch::net(whole, base, packets))
}

/// Nanoseconds per packet of the fixed work above the empty program, on frames of new flows; their
/// numbering goes on where it was.
pub fn calibrate(rig: &mut Rig, packets: u32) -> Result<f64, BenchError> {
    let next = rig.prologue.next();
    rig.prologue.set_up(&NEW.packet.setup(0, 0));
    rig.aim(NEW.hook.kind(), None)?;
    let base = time(rig, &NEW, packets)?;
    rig.aim_at_calibration()?;
    let whole = time(rig, &NEW, packets)?;
    rig.prologue.set_up(&NEW.packet.setup(0, next));
    Ok(stopwatch::net(whole, base, packets))
}

/// Nanoseconds per packet of new flows above the empty program: the prologue has been set up and
/// numbers them on. `batches` runs, with `prepare` before each; their packets are the amount's.
pub fn measure_new(
    rig: &mut Rig,
    scenario: &Scenario,
    amount: Amount,
    batches: u32,
    prepare: impl Fn(&Rig),
) -> Result<f64, BenchError> {
    let Amount { packets, .. } = amount;
    let mut times = [Duration::ZERO; 2];
    for (program, time_of) in [None, Some(scenario.hook.program())].into_iter().zip(&mut times) {
        rig.aim(scenario.hook.kind(), program)?;
        for _ in 0..batches {
            prepare(rig);
            let before = rig.counters()?;
            *time_of += time(rig, scenario, packets)?;
            if program.is_some() {
                verify(&before, &rig.counters()?, scenario, amount)?;
            }
        }
    }
    let [base, whole] = times;
    Ok(stopwatch::net(whole, base, packets * batches))
}

/// Runs packets through the scenario's program, and makes sure that they were what it says.
pub fn run(rig: &mut Rig, scenario: &Scenario, amount: Amount) -> Result<(), BenchError> {
    rig.aim(scenario.hook.kind(), Some(scenario.hook.program()))?;
    let before = rig.counters()?;
    rig.prologue.run(scenario.hook.kind(), amount.packets)?;
    verify(&before, &rig.counters()?, scenario, amount)
}

fn time(rig: &Rig, scenario: &Scenario, packets: u32) -> Result<Duration, BenchError> {
    stopwatch::time(|| {
        let run: Result<(), LoadError> = rig.prologue.run(scenario.hook.kind(), packets);
        Ok(run?)
    })
}

/// The scenario's own counter has counted every packet, and no other has counted any.
fn verify(
    before: &[Counter],
    after: &[Counter],
    scenario: &Scenario,
    amount: Amount,
) -> Result<(), BenchError> {
    for (before, after) in before.iter().zip(after) {
        let counted = after.name == scenario.counter
            || (scenario.sent && after.name == PassReason::Forwarded.name());
        let expected = if counted { u64::from(amount.packets) } else { 0 };
        let found = after.packets.wrapping_sub(before.packets);
        if found != expected {
            return Err(BenchError::Counter {
                scenario: scenario.name,
                flows: amount.flows,
                counter: after.name,
                expected,
                found,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario::GROUPS;

    fn counters(moved: &[(&'static str, u64)]) -> Vec<Counter> {
        let names = [NEW.counter, "established", "forwarded", "flow_race"];
        let packets = |name| moved.iter().find(|(it, _)| *it == name).map_or(0, |(_, by)| *by);
        names.map(|name| Counter { name, drop: false, packets: 7 + packets(name) }).into()
    }

    #[test]
    fn a_benchmark_of_something_else_fails() {
        let amount = Amount { flows: 1, packets: 10 };
        let check = |scenario: &Scenario, moved: &[(&'static str, u64)]| {
            verify(&counters(&[]), &counters(moved), scenario, amount)
                .map_err(|error| error.to_string())
        };
        check(&NEW, &[("new_flow", 10)]).unwrap();
        let sent = GROUPS[2].scenarios[0];
        check(&sent, &[("established", 10), ("forwarded", 10)]).unwrap();
        for (scenario, moved) in [
            (&NEW, &[("new_flow", 9)][..]),
            (&NEW, &[("new_flow", 10), ("flow_race", 1)]),
            (&NEW, &[("new_flow", 10), ("forwarded", 10)]),
            (&sent, &[("established", 10)]),
            (&sent, &[("established", 9), ("new_flow", 1), ("forwarded", 10)]),
        ] {
            check(scenario, moved).unwrap_err();
        }
        let message = check(&NEW, &[("new_flow", 9)]).unwrap_err();
        assert_eq!(message, "new with 1 flows: the counter new_flow moved by 9, not 10");
    }
}
