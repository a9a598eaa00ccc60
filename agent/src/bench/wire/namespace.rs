//! Network namespaces that vanish with their handles, or at the next start.

use std::{
    fs::{self, File},
    io::{self, Write},
    panic,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::WireError;

/// A named network namespace, `zg-bench-<process>-<what>`.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    pub fn create(what: &str) -> Result<Self, WireError> {
        let name = format!("{PREFIX}{}-{what}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]), "")?;
        Ok(Self(name))
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// A command that will run inside; bpffs and all other mounts stay visible.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs lines of `ip` commands.
    pub fn ip(&self, lines: &[String]) -> Result<(), WireError> {
        run(self.command("ip").args(["-batch", "-"]), &(lines.join("\n") + "\n"))
    }

    /// Has a program read its standard input inside.
    pub fn feed(&self, program: &[&str], input: &str) -> Result<(), WireError> {
        let Some((program, arguments)) = program.split_first() else { return Ok(()) };
        run(self.command(program).args(arguments), input)
    }

    /// Runs a closure on a thread inside, and waits for it.
    pub fn run<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, WireError> + Send,
    ) -> Result<T, WireError> {
        let file = File::open(self.path())?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
                work()
            });
            inside.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }

    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, namespace = self.0, "a namespace is left");
        }
    }
}

/// Removes the namespaces, pins and files of benchmarks that no longer run. Another benchmark may be
/// faster.
pub fn sweep() -> Result<(), WireError> {
    for name in orphans(Path::new(DIRECTORY))? {
        remove(&name).or_else(|error| unless_gone(&Path::new(DIRECTORY).join(name), error))?;
    }
    for directory in [Path::new(BPFFS), &std::env::temp_dir()] {
        for name in orphans(directory)? {
            let path = directory.join(name);
            fs::remove_dir_all(&path).or_else(|error| unless_gone(&path, error.into()))?;
        }
    }
    Ok(())
}

fn unless_gone(path: &Path, error: WireError) -> Result<(), WireError> {
    if path.exists() { Err(error) } else { Ok(()) }
}

fn remove(name: &str) -> Result<(), WireError> {
    run(Command::new("ip").args(["netns", "delete", name]), "")
}

const PREFIX: &str = "zg-bench-";
const DIRECTORY: &str = "/run/netns";
const BPFFS: &str = "/sys/fs/bpf";

/// What benchmarks that no longer run have left in a directory.
pub fn orphans(directory: &Path) -> Result<Vec<String>, WireError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| is_orphan(name)).collect())
}

/// Whether a benchmark made it that no longer runs.
fn is_orphan(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let process = rest.split_once('-').map_or(rest, |(process, _)| process);
    process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists()
}

/// Runs a command to its end; what it says on failure is the error.
pub fn run(command: &mut Command, input: &str) -> Result<(), WireError> {
    let failed = |command: &Command, reason: String| WireError::Command {
        command: format!("{command:?}"),
        reason,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(command, error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who has failed does not read; what it says is below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(failed(command, said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_benchmarks_left_is_swept() {
        let own = format!("{PREFIX}{}", std::process::id());
        for (name, orphan) in [
            (own.clone(), false),
            (own + "-kernel-node", false),
            // Above the largest pid_max.
            ("zg-bench-99999999".to_owned(), true),
            ("zg-bench-99999999-kernel-node".to_owned(), true),
            ("zg-99999999-0-node".to_owned(), false),
            ("zg-bench-mine".to_owned(), false),
        ] {
            assert_eq!(is_orphan(&name), orphan, "{name}");
        }
    }
}
