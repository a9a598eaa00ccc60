//! The simulation of zones is what the documents show, and is what the formula says.

use serde_json::Value;

use crate::program::zonegate;

const DOCUMENT: &str = include_str!("../../../docs/zones.md");
const PLOT: &str = include_str!("../../../docs/zones.svg");

#[test]
fn the_documents_are_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zones.svg");
    let table = zonegate(&["bench", "zones", "--svg", path.to_str().unwrap()]).success();
    let block = format!("<!-- zones -->\n```text\n{table}```\n<!-- end -->\n");
    assert!(DOCUMENT.contains(&block), "hack/gen-zones-doc brings docs/zones.md up to\n{table}");
    let plot = std::fs::read_to_string(path).unwrap();
    assert!(plot == PLOT, "hack/gen-zones-doc brings docs/zones.svg up to date");
}

#[test]
fn figures_are_those_of_the_formula() {
    let text = zonegate(&["bench", "zones", "--output", "json"]).success();
    let report: Value = serde_json::from_str(&text).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let figure = |row: &Value, path: &str| row.pointer(path).unwrap().as_f64().unwrap();
    // Kept: the sum of min(c, f b) over the zones, by hand. Worst: 120 where a zone is full.
    for (cluster, policy, kept, refused, worst) in [
        ("balanced", "spill", 100.0, 0.0, 100.0),
        ("skewed clients", "spill", 80.0, 0.0, 120.0),
        ("skewed clients", "hints", 100.0, 0.0, 180.0),
        ("skewed clients", "same_zone", 100.0, 0.0, 180.0),
        ("skewed clients", "random", 33.3, 0.0, 100.0),
        ("both", "spill", 64.0, 0.0, 120.0),
        ("none in a", "spill", 66.7, 0.0, 112.5),
        ("none in a", "hints", 66.7, 0.0, 133.3),
        ("none in a", "same_zone", 66.7, 33.3, 100.0),
    ] {
        let found = rows.iter().find(|row| row["cluster"] == cluster && row["policy"] == policy);
        let row = found.unwrap();
        for (path, expected) in
            [("/in_zone", kept), ("/refused", refused), ("/worst_backend", worst)]
        {
            let got = figure(row, path);
            assert!((got - expected).abs() < 3.0, "{cluster}, {policy}{path}: {got}");
        }
    }
    // The last cluster crosses a power of two on purpose.
    for row in rows.iter().filter(|row| row["cluster"] != "16 backends") {
        for change in ["backend_leaves", "clients_double", "backends_double"] {
            let moved = figure(row, &format!("/{change}/moved"));
            let least = figure(row, &format!("/{change}/least"));
            assert!(moved < 2.0 * least + 1.0, "{change}: {moved} for {least}, {row}");
        }
    }
}
