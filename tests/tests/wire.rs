//! The benchmarks of wires: every router lets its packets through, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use testbed::{agent::zonegate_binary, netns::Netns};

/// Benchmarks remove orphans when they start, also one that is just being made.
static ALONE: Mutex<()> = Mutex::new(());

fn bench(options: &str) -> Output {
    let mut command = Command::new(zonegate_binary().unwrap());
    command.args(["bench"]).args(options.split_ascii_whitespace());
    command.output().unwrap()
}

fn rows(options: &str) -> Vec<Value> {
    let output = bench(&format!("{options} --rounds 1 --frames 2000 --output json"));
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["machine"]["kernel"].is_string());
    assert_eq!(report.as_object().unwrap().len(), 2, "machine and rows");
    report["rows"].as_array().unwrap().clone()
}

/// What benchmarks have left, of all that no longer run.
fn left() -> Vec<String> {
    let names = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let temporary = std::env::temp_dir().display().to_string();
    let all = [names("/run/netns"), names("/sys/fs/bpf"), names(&temporary)].concat();
    all.into_iter()
        .filter(|name| {
            let process = name.strip_prefix("zg-bench-").and_then(|rest| rest.split('-').next());
            process.is_some_and(|process| !fs::exists(format!("/proc/{process}")).unwrap())
        })
        .collect()
}

fn check(row: &Value) {
    assert_eq!(row["loss"], 0.0, "{row}");
    let [min, median, max] = ["min", "median", "max"].map(|it| row["kpps"][it].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= max, "{row}");
    assert!(row["ns_per_packet"].as_f64().unwrap() > 0.0, "{row}");
}

#[test]
fn every_processor_delivers_all_packets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = rows("scale --flows 8");
    let routers: Vec<_> = rows.iter().map(|row| row["router"].as_str().unwrap()).collect();
    assert_eq!(routers, ["zonegate", "redirect", "drop"]);
    for row in rows {
        assert_eq!((&row["loss"], &row["flows"]), (&0.0.into(), &8.into()), "{row}");
        let [one, all] = ["one", "all"].map(|it| row[it]["median"].as_f64().unwrap());
        assert!(one > 0.0 && all > 0.0 && row["ratio"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn all_routers_deliver_all_packets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // As a benchmark that was killed leaves it.
    let orphan = "zg-bench-99999999-kernel-c-node";
    let _orphan = Netns::create(orphan).unwrap();
    let wire = rows("wire --flows 1,64 --sizes 64,1500");
    let kinds: Vec<_> =
        wire.iter().map(|row| [&row["router"], &row["flows"], &row["size"]]).collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
    assert_eq!(kinds[1], [&Value::from("zonegate"), &1.into(), &1500.into()]);
    wire.iter().for_each(check);

    let compare =
        rows("compare --routers zonegate,redirect,tx,drop,kernel,nftables-10,iptables-10");
    let kinds: Vec<_> = compare
        .iter()
        .map(|row| [row["scenario"].as_str().unwrap(), row["router"].as_str().unwrap()].join(" "))
        .collect();
    let expected = [
        "established zonegate",
        "established redirect",
        "established tx",
        "established kernel",
        "established nftables-10",
        "established iptables-10",
        "round-trip zonegate",
        "round-trip redirect",
        "round-trip kernel",
        "round-trip nftables-10",
        "round-trip iptables-10",
        "new zonegate",
        "new nftables-10",
        "new iptables-10",
        "denied zonegate",
        "denied drop",
    ];
    assert_eq!(kinds, expected);
    compare.iter().for_each(check);
    assert_eq!(left(), Vec::<String>::new());
}
