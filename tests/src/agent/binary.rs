//! Finds the `zonegate` binary that a test runs.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// The file that `ZONEGATE_BIN` names, else `zonegate` in the profile directory that the running
/// executable was built into (`target/debug`, `target/release`).
pub fn zonegate_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ZONEGATE_BIN").map(PathBuf::from) {
        ensure!(path.is_file(), "ZONEGATE_BIN is {}, which is no file", path.display());
        return path.canonicalize().context("resolving ZONEGATE_BIN");
    }
    let executable = env::current_exe()?;
    let found = executable.ancestors().skip(1).take(2).map(|dir| dir.join("zonegate"));
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "no zonegate binary above {}; build it with `cargo build -p zonegate`, or name it in \
             ZONEGATE_BIN",
            executable.display()
        ),
    }
}
