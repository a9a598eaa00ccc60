//! What the programs and their tables cost, against `tests/budgets.toml`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use libbpf_rs::MapHandle;
use serde::Deserialize;
use testbed::{programs::Pins, report};
use zonegate::loader::{KernelConfig, Loaded};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    verified_instructions: BTreeMap<String, u64>,
    memory: Memory,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    bytes: u64,
}

#[test]
fn programs_and_tables_stay_within_their_budgets() {
    let budgets: Budgets = toml::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    let pins = Pins::new();
    let config = KernelConfig {
        bpffs: pins.path().to_owned(),
        // As on a node with 24 GB.
        flow4_buckets: Some(131_072),
        flow6_buckets: Some(65_536),
        ..KernelConfig::default()
    };
    let loaded = Loaded::load(&config).unwrap();

    let programs = verified_instructions(&loaded);
    let maps = charged_bytes(&config.maps());
    report(&table("verified instructions", &programs));
    report(&table("bytes", &maps));
    let mut complaints =
        compare("verified_instructions", &programs, &budgets.verified_instructions);
    let total = maps.values().sum();
    complaints.extend(compare(
        "memory",
        &BTreeMap::from([("bytes".to_owned(), total)]),
        &BTreeMap::from([("bytes".to_owned(), budgets.memory.bytes)]),
    ));
    let complaints = complaints.join("\n");
    assert!(complaints.is_empty(), "beyond tests/budgets.toml:\n{complaints}");
}

/// By program.
fn verified_instructions(loaded: &Loaded) -> BTreeMap<String, u64> {
    let programs = loaded.programs.ebpf.programs();
    let counts = programs.map(|(name, program)| {
        let count = program.info().unwrap().verified_instruction_count();
        (name.to_owned(), count.expect("a kernel that counts").into())
    });
    counts.collect()
}

/// By pinned map, as the kernel accounts for it (`/proc/<pid>/fdinfo`).
fn charged_bytes(directory: &Path) -> BTreeMap<String, u64> {
    let pins = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let maps = pins.map(|pin| {
        let map = MapHandle::from_pinned_path(pin.path()).unwrap();
        let fd = map.as_fd().as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let charged = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes = charged.expect("a kernel that accounts").trim().parse().unwrap();
        (pin.file_name().to_string_lossy().into_owned(), bytes)
    });
    maps.collect()
}

/// What is above its budget, has none, or has one without being there.
fn compare(
    section: &str,
    measured: &BTreeMap<String, u64>,
    budgets: &BTreeMap<String, u64>,
) -> Vec<String> {
    let names: BTreeSet<_> = measured.keys().chain(budgets.keys()).collect();
    let complaint = |name: &String| match (measured.get(name), budgets.get(name)) {
        (Some(measured), Some(budget)) if measured <= budget => None,
        (Some(measured), Some(budget)) => {
            Some(format!("[{section}] {name}: {measured}, above {budget}"))
        }
        (Some(measured), None) => Some(format!("[{section}] {name}: {measured}, and no budget")),
        (None, _) => Some(format!("[{section}] {name}: no such thing")),
    };
    names.into_iter().filter_map(complaint).collect()
}

fn table(what: &str, measured: &BTreeMap<String, u64>) -> String {
    let total: u64 = measured.values().sum();
    let mut text = String::new();
    for (name, number) in measured.iter().map(|(name, number)| (&**name, *number)) {
        writeln!(text, "{name:24} {number:12} {what}").unwrap();
    }
    writeln!(text, "{:24} {total:12} {what}", "all").unwrap();
    text
}
