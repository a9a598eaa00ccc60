//! Compares the maps of every node with what they should hold.

use std::{
    collections::BTreeMap,
    env, fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use testbed::{agent::Agent, tables};
use zonegate::image::Image;

use super::{
    cluster::Cluster,
    probes,
    truth::{self, Compiled},
};

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    pub lines: usize,
    pub probes: usize,
}

/// Waits until every node holds what the apiserver's content says, and that content rests. An error
/// names the node, and what differs.
pub fn compare(cluster: &Cluster, seed: u64) -> Result<Compared> {
    let latest = Instant::now() + TIMEOUT;
    loop {
        let world = truth::world(&cluster.plane)?;
        let mut compared = Compared::default();
        let mut differing = Vec::new();
        for (name, agent) in &cluster.agents {
            let expected = truth::compile(&world, name)?;
            let probes = node(agent, &expected)
                .and_then(|found| probes::ask(&found, &expected, &world, seed));
            match probes {
                Ok(probes) => {
                    compared.lines += expected.lines.len();
                    compared.probes += probes;
                }
                Err(error) => differing.push(format!("{name}: {error:#}")),
            }
        }
        if differing.is_empty() {
            thread::sleep(REST);
            if truth::world(&cluster.plane)? == world {
                return Ok(compared);
            }
        } else if Instant::now() > latest {
            let objects = Value::from(truth::objects(&cluster.plane)?);
            let file = env::temp_dir().join(format!("zonegate-churn-{seed}.json"));
            fs::write(&file, objects.to_string())?;
            let differing = differing.join("\n");
            bail!("after {TIMEOUT:?} of rest,\n{differing}\nobjects are in {}", file.display());
        }
        thread::sleep(REST);
    }
}

/// Whether the pinned maps say what is expected, on both sides, and nothing else is taken up. Gives what
/// they say.
fn node(agent: &Agent, expected: &Compiled) -> Result<Image> {
    let pinned = tables::read(agent.bpffs())?;
    let found = tables::lines(&pinned.image);
    let differing = tables::difference(&expected.lines, &found);
    if !differing.is_empty() {
        let some = differing.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
        bail!("{} entries differ:\n  {}", differing.len(), some.join("\n  "));
    }
    if !pinned.settled || pinned.image != pinned.other {
        let other = tables::difference(&found, &tables::lines(&pinned.other));
        bail!("the side that packets do not read differs: {other:?}");
    }
    if !pinned.strays.is_empty() {
        bail!("nobody has these any more: {:?}", pinned.strays);
    }
    let usage = usage(agent)?;
    for limit in LIMITS {
        let of = |usage: &BTreeMap<String, u64>| usage.get(limit).copied().unwrap_or_default();
        if of(&usage) != of(&expected.usage) {
            let (expected, found) = (of(&expected.usage), of(&usage));
            bail!("of {limit}, {expected} should be in use, and {found} are");
        }
    }
    Ok(pinned.image)
}

/// What the agent says is in use of each limit.
fn usage(agent: &Agent) -> Result<BTreeMap<String, u64>> {
    let status = agent.cli(&["status", "--output", "json"])?;
    let status: Value = serde_json::from_str(&status.stdout).context(status.stderr)?;
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let limits = status["limits"].as_array().context("no limits in the status")?;
    let limits = limits.iter().map(|limit| {
        let name = limit["limit"].as_str().unwrap_or_default().to_owned();
        (name, number(&limit["used"]).unwrap_or_default())
    });
    Ok(limits.collect())
}

/// A connection to an apiserver that was away is tried again after 30 s at most, by agents and
/// controllers.
pub const TIMEOUT: Duration = Duration::from_mins(2);
const REST: Duration = Duration::from_millis(500);
const SHOWN: usize = 12;
/// Those of which it follows from what there is how much is in use.
const LIMITS: [&str; 10] = [
    "endpoints",
    "IPv4 address chunks",
    "IPv6 addresses",
    "IPv6 prefixes",
    "services",
    "frontends",
    "backends",
    "slots",
    "intervals",
    "next hops",
];
