//! A flood of SYNs from made-up addresses costs no connection that is there, and next to none that is
//! being opened; whether the server answers them or not.

use std::process::Command;

use serde_json::Value;
use testbed::{agent::zonegate_binary, report};

const ESTABLISHED: u64 = 2_000;
const SYNS: u64 = 200_000;
/// SYNs a second: what a slow machine takes, or most would be lost before the node.
const RATE: u64 = 50_000;

#[test]
fn a_flood_of_syns_costs_no_connection() {
    let mut command = Command::new(zonegate_binary().unwrap());
    command.args(["bench", "flood", "--output", "json"]);
    command.args([
        format!("--established={ESTABLISHED}"),
        format!("--syns={SYNS}"),
        format!("--rate={RATE}"),
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let flood: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = flood["rows"].as_array().unwrap();
    let answered: Vec<_> = rows.iter().map(|row| row["answered"].as_bool().unwrap()).collect();
    assert_eq!(answered, [true, false]);
    for row in rows {
        report(&row.to_string());
        let number = |name: &str| row[name].as_u64().unwrap();
        assert_eq!((number("established"), number("lost")), (ESTABLISHED, 0), "{row}");
        let (attempted, succeeded) = (number("attempted"), number("succeeded"));
        assert!(attempted >= 100 && 100 * succeeded >= 95 * attempted, "{row}");
        // It was a flood: flows of two entries each, many times what the table holds.
        assert_eq!(number("syns"), SYNS, "{row}");
        assert!(2 * number("opened") >= 8 * number("entries"), "{row}");
    }
}
