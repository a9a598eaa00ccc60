//! Worlds with expected answers, asked of `zonegate check`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use testbed::cases::{self, World};
use zonegate::check::{Checker, Cluster};

/// Right answers and all, by family.
type Score = BTreeMap<String, (usize, usize)>;

#[test]
fn every_world_gets_the_expected_answers() {
    let files = cases::files().unwrap();
    assert!(!files.is_empty(), "no cases");
    let mut score = Score::new();
    let mut wrong = Vec::new();
    for file in files {
        for world in cases::worlds(&file).unwrap() {
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
                let same = expected.is(answer.verdict)
                    && (expected.verdict != "not_translated" || answer.backends.is_none())
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
