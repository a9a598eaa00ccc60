//! Worlds with expected answers: Kubernetes' own cases and others.
//!
//! The files are in `tests/cases`, or in the directory that `ZONEGATE_CASES` names. Each is a list
//! of worlds: `{name, family, objects, probes, expect}`, answers by probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use zonegate::check::{Probe, Verdict};

/// Objects of a cluster, and connections in it.
#[derive(Debug, Deserialize)]
pub struct World {
    pub name: String,
    pub family: String,
    pub objects: Vec<Value>,
    pub probes: Vec<Probe>,
    /// By the probe's id.
    pub expect: BTreeMap<String, Expected>,
}

/// What is to become of a connection; what it leaves out may be anything.
#[derive(Debug, Deserialize)]
pub struct Expected {
    pub verdict: String,
    pub backends: Option<BTreeSet<String>>,
    pub snat: Option<bool>,
}

impl Expected {
    /// Whether this is the verdict; one that only asks for no translation takes all but one.
    pub fn is(&self, verdict: Verdict) -> bool {
        match self.verdict.as_str() {
            "not_translated" => verdict != Verdict::Forward,
            expected => format!("{verdict:?}").to_lowercase() == expected,
        }
    }
}

/// All files with worlds, sorted.
pub fn files() -> Result<Vec<PathBuf>> {
    let directory = directory();
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// The file of this name.
pub fn file(name: &str) -> PathBuf {
    directory().join(name)
}

/// The worlds of a file.
pub fn worlds(file: &Path) -> Result<Vec<World>> {
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}

fn directory() -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    env::var_os("ZONEGATE_CASES").map_or_else(ours, PathBuf::from)
}
