//! Three nodes follow an apiserver whose objects keep changing, while agents and apiserver are
//! restarted now and then: what their pinned maps say is what a compiler makes of the apiserver's
//! content from scratch.
//!
//! `hack/churn` runs it for as long, and with the seed, as it is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checkpoint;
mod cluster;
mod probes;
mod run;
mod truth;

use std::{
    env,
    time::{Duration, Instant},
};

use testbed::report;

use run::Run;

#[test]
fn tables_follow_whatever_becomes_of_the_cluster() {
    let number = |name: &str, default| {
        env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("ZONEGATE_CHURN_SEED", SEED);
    let time = Duration::from_secs(number("ZONEGATE_CHURN_SECONDS", SECONDS));
    report(&format!("churn with seed {seed} for {} s", time.as_secs()));
    let mut run = Run::start(seed);
    let latest = Instant::now() + time;
    let outcome = run.churn(latest).and_then(|()| run.delete_everything());
    report(&run.figures());
    if let Err(error) = outcome {
        panic!("with seed {seed}: {error:#}");
    }
}

const SEED: u64 = 1;
/// Start, checkpoints and the end take almost twice as long.
const SECONDS: u64 = 30;
