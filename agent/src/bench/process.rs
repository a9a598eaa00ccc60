//! What processes take.

use std::{fs, time::Duration};

/// Bytes of memory that this process has; 0 where the kernel does not say.
pub fn resident() -> u64 {
    resident_of("self")
}

/// A process by its number, with what it has started.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Bytes of memory that it has, without what it has started; 0 where the kernel does not say.
    pub fn resident(self) -> u64 {
        resident_of(&self.0.to_string())
    }

    /// Of these what is its own, and neither a file's nor mapped from the kernel.
    pub fn own(self) -> u64 {
        status(&self.0.to_string(), "RssAnon:")
    }

    /// The most that it had.
    pub fn peak(self) -> u64 {
        status(&self.0.to_string(), "VmHWM:")
    }

    /// Time of processors, of children that have ended as well, to 10 ms.
    pub fn time(self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        TICK * ticks(&text).unwrap_or_default()
    }
}

/// `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

fn resident_of(process: &str) -> u64 {
    status(process, "VmRSS:")
}

fn status(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The fields `utime`, `stime`, `cutime` and `cstime` of `proc_pid_stat(5)`, behind a name that may have
/// anything in it.
fn ticks(text: &str) -> Option<u32> {
    let (_, fields) = text.rsplit_once(')')?;
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    times.map(|it| it.parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_counts() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 9 9 0 0 100 20 3000 400 20 0 1 0 5 6 7\n";
        assert_eq!(ticks(text), Some(3520));
        assert_eq!(ticks("7 (a"), None);
    }
}
