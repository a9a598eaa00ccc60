//! Names that say which process owns a thing: `zg-<pid>-<n>…`.
//!
//! Parallel runs never collide, and what a dead process left behind can be told apart.

use std::{
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// The next unused name of this process, `zg-<pid>-<n>`.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether `name` was made by [`unique`] in a process that no longer runs.
pub(crate) fn is_orphan(name: &str) -> bool {
    let Some((pid, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
}

const PREFIX: &str = "zg-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dead_processes_are_orphans() {
        let cases = [
            ("own process", unique(), false),
            // Above the largest pid_max.
            ("dead process", "zg-99999999-0-node".to_owned(), true),
            ("no process id", "zg-demo-node".to_owned(), false),
            ("another prefix", "cni-99999999-0".to_owned(), false),
        ];
        for (what, name, orphan) in cases {
            assert_eq!(is_orphan(&name), orphan, "{what}: {name}");
        }
    }
}
