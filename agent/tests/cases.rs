//! Worlds with expected answers: Kubernetes' own cases and others, asked of `zonegate check`.
//!
//! The files are in `tests/cases`, or in the directory that `ZONEGATE_CASES` names. Each is a list
//! of worlds: `{name, family, objects, probes, expect}`, answers by probe.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;
use zonegate::check::{Checker, Cluster, Probe};

#[derive(Deserialize)]
struct World {
    name: String,
    family: String,
    objects: Vec<Value>,
    probes: Vec<Probe>,
    expect: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    verdict: String,
    backends: Option<std::collections::BTreeSet<String>>,
    snat: Option<bool>,
}

/// Right answers and all, by family.
type Score = BTreeMap<String, (usize, usize)>;

#[test]
fn every_world_gets_the_expected_answers() {
    let directory = env::var_os("ZONEGATE_CASES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases"),
        PathBuf::from,
    );
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "no cases");
    let mut score = Score::new();
    let mut wrong = Vec::new();
    for file in files {
        let worlds: Vec<World> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for world in worlds {
            ask(&world, &mut score, &mut wrong);
        }
    }
    for (family, (right, all)) in &score {
        println!("{family}: {right}/{all}");
    }
    assert!(wrong.is_empty(), "{} wrong, for example:\n{}", wrong.len(), sample(&wrong));
}

fn ask(world: &World, score: &mut Score, wrong: &mut Vec<String>) {
    let mut checker = Checker::new(Cluster::new(&world.objects).unwrap());
    let (right, all) = score.entry(world.family.clone()).or_default();
    for probe in &world.probes {
        let Some(expected) = world.expect.get(&probe.id) else { continue };
        *all += 1;
        let answer = checker.answer(probe);
        let complaint = match &answer {
            Err(error) => Some(error.to_string()),
            Ok(answer) => {
                let verdict = format!("{:?}", answer.verdict).to_lowercase();
                let same_verdict = match expected.verdict.as_str() {
                    "not_translated" => verdict != "forward" && answer.backends.is_none(),
                    expected => verdict == expected,
                };
                let same = same_verdict
                    && expected
                        .backends
                        .as_ref()
                        .is_none_or(|it| *it == answer.backends.clone().unwrap_or_default())
                    && expected.snat.is_none_or(|it| answer.snat == Some(it));
                // What is named as deciding must have decided so.
                let policy = answer.reason.is_some_and(|reason| reason.starts_with("policy_"));
                let denied = answer.decisions.iter().any(|decision| !decision.allowed);
                (!same || policy != denied).then(|| format!("{answer:?}"))
            }
        };
        match complaint {
            None => *right += 1,
            Some(complaint) => wrong.push(format!(
                "{}: {probe:?}\n  expected {} {:?} {:?}\n  got {complaint}",
                world.name, expected.verdict, expected.backends, expected.snat
            )),
        }
    }
}

fn sample(wrong: &[String]) -> String {
    wrong.iter().step_by((wrong.len() / 8).max(1)).cloned().collect::<Vec<_>>().join("\n")
}
