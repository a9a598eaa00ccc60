//! A processor's time for packets that the thread that sent them is not charged.

use std::{fs, sync::LazyLock, time::Duration};

use super::WireError;

/// Of `ksoftirqd`, which takes over when there are many packets, and of interrupts where the kernel
/// accounts for them apart from the threads they interrupt (`CONFIG_IRQ_TIME_ACCOUNTING`).
pub fn time(processor: usize) -> Result<Duration, WireError> {
    let mut time = thread_time(&format!("ksoftirqd/{processor}"))?;
    if *APART {
        let text = fs::read_to_string("/proc/stat")?;
        time += TICK * ticks(&text, processor).unwrap_or_default();
    }
    Ok(time)
}

/// Whether the function is there that does so.
static APART: LazyLock<bool> = LazyLock::new(|| {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.ends_with(" irqtime_account_irq"))
});

/// `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// In interrupts, hard and soft: the sixth and seventh figure of a processor in `proc_stat(5)`.
fn ticks(text: &str, processor: usize) -> Option<u32> {
    let name = format!("cpu{processor}");
    let mut fields = text.lines().map(str::split_ascii_whitespace);
    let mut fields = fields.find_map(|mut it| (it.next() == Some(&*name)).then_some(it))?;
    let hard: u32 = fields.nth(5)?.parse().ok()?;
    let soft: u32 = fields.next()?.parse().ok()?;
    Some(hard + soft)
}

fn thread_time(name: &str) -> Result<Duration, WireError> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let path = entry.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|it| it.trim() == name) {
            let text = fs::read_to_string(path.join("schedstat"))?;
            let nanoseconds = text.split(' ').next().and_then(|it| it.parse().ok());
            return Ok(Duration::from_nanos(nanoseconds.unwrap_or_default()));
        }
    }
    Ok(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_the_processors_own() {
        let text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 60 700 8 9 10\n\
                    cpu10 1 2 3 4 5 1 1 8 9 10\nintr 5\n";
        assert_eq!((ticks(text, 0), ticks(text, 10), ticks(text, 1)), (Some(760), Some(2), None));
    }
}
