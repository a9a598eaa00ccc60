//! The benchmark of the programs alone: what is measured is what it says, and is reported as agreed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;
use testbed::agent::zonegate_binary;

/// Counters are checked by the benchmark itself: it fails if packets were not what a scenario says.
fn path(options: &str) -> Value {
    let mut command = Command::new(zonegate_binary().unwrap());
    command.args(["bench", "path", "--rounds", "1", "--packets", "2k", "--output", "json"]);
    let output = command.args(options.split_ascii_whitespace()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn scenarios(report: &Value) -> BTreeSet<&str> {
    let rows = report["rows"].as_array().unwrap();
    for row in rows {
        let [min, median, max] = ["min", "median", "max"].map(|it| row["ns"][it].as_f64().unwrap());
        assert!(min <= median && median <= max, "{row}");
        assert!(row["flows"].is_u64(), "{row}");
    }
    rows.iter().map(|row| row["scenario"].as_str().unwrap()).collect()
}

#[test]
fn every_scenario_is_reported_and_drawn() {
    let svg = std::env::temp_dir().join(format!("zg-path-{}.svg", std::process::id()));
    let report = path(&format!("--flows 1,1k --svg {}", svg.display()));
    assert!(report["machine"]["kernel"].is_string());
    let expected = [
        "denied",
        "established",
        "established-v6",
        "masqueraded",
        "new",
        "new-fresh",
        "not-ours",
        "relayed",
        "reply",
        "reply-judged",
        "reply-xdp",
    ];
    assert_eq!(scenarios(&report), BTreeSet::from(expected));
    let drawn = fs::read_to_string(&svg).unwrap();
    fs::remove_file(&svg).unwrap();
    for scenario in expected {
        assert!(drawn.contains(scenario), "{scenario} is not in the plot");
    }
}

#[test]
fn bystanders_change_nothing_but_time() {
    let report = path("--flows 1k --services 50 --pods 40 --policies 30 --prefixes 5000");
    let expected = serde_json::json!(
        { "services": 50, "pods": 40, "policies": 30, "prefixes": 5000 }
    );
    assert_eq!(report["bystanders"], expected);
    assert!(scenarios(&report).contains("denied-far"));
}
