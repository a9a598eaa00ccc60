//! Where figures were measured: they mean little without it.

use std::{
    fmt, fs, thread,
    time::{Duration, SystemTime},
};

use nix::sys::utsname::uname;
use serde::Serialize;

/// The machine, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    /// UTC, as in ISO 8601.
    pub date: String,
    /// Of the processor's frequency; `null` where the kernel does not set it, as in most VMs.
    pub governor: Option<String>,
}

impl Machine {
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            cpu: cpu_model(&info).unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: uname()
                .map(|names| names.release().to_string_lossy().into_owned())
                .unwrap_or_default(),
            date: date(since_epoch.unwrap_or_default()),
            governor: fs::read_to_string(governor).ok().map(|text| text.trim().to_owned()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, date, governor } = self;
        write!(f, "{cpu}, {cores} cores, Linux {kernel}")?;
        if let Some(governor) = governor {
            write!(f, ", governor {governor}")?;
        }
        write!(f, ", {date}")
    }
}

/// x86 says "model name"; most others do not say.
fn cpu_model(info: &str) -> Option<&str> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

/// The civil date of a time since 1970 (proleptic Gregorian calendar, years begin in March).
fn date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let day = day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn the_model_is_read_where_there_is_one() {
        let info = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nflags\t: fpu\n";
        assert_eq!(cpu_model(info), Some("AMD EPYC"));
        assert_eq!(cpu_model("CPU implementer\t: 0x41\n"), None);
    }
}
