//! Waiting for what will come.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Waits until there is no problem any more; after `timeout` the last one is the error.
pub fn until(timeout: Duration, problem: impl Fn() -> Result<Option<String>>) -> Result<()> {
    let deadline = Instant::now() + timeout;
    while let Some(problem) = problem()? {
        if Instant::now() > deadline {
            bail!("not ready after {timeout:?}: {problem}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
