//! Network namespaces that vanish with their last handle.
//!
//! They live in `/run/netns`, so `ip netns`, `nsenter --net=` and tcpdump find them while a
//! test runs.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    panic,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::names;

/// A handle on a named network namespace; the last clone to be dropped removes the name.
///
/// Processes and threads still inside keep the namespace itself alive until they end.
#[derive(Debug, Clone)]
pub struct Netns(Arc<Named>);

impl Netns {
    /// Creates one namespace of exactly this name.
    pub fn create(name: &str) -> Result<Self> {
        let mut created = Self::create_all(&[name.to_owned()])?;
        created.pop().context("ip netns add made no namespace")
    }

    /// Creates several namespaces with one run of `ip`; none remains on an error.
    pub fn create_all(names: &[String]) -> Result<Vec<Self>> {
        let lines: Vec<_> = names.iter().map(|name| format!("netns add {name}")).collect();
        let outcome = ip_batch(Command::new("ip"), &lines);
        let opened = names.iter().map(|name| {
            let path = Path::new(DIRECTORY).join(name);
            let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
            Ok(Self(Arc::new(Named { path, file })))
        });
        match outcome {
            Ok(()) => opened.collect(),
            Err(error) => {
                drop(opened.flatten().collect::<Vec<Self>>());
                Err(error)
            }
        }
    }

    /// The name in `/run/netns`.
    pub fn name(&self) -> &str {
        self.0.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Removes the name at once: the namespace ends with its last handle, and with the process.
    pub(crate) fn unname(&self) {
        remove(&self.0.path);
    }

    /// Runs a closure on a thread inside the namespace and waits for it; panics pass through.
    ///
    /// Threads, sockets and runtimes made inside belong to the namespace as well.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = thread_builder().spawn_scoped(scope, || {
                self.enter();
                work()
            });
            match thread.expect("spawning a thread").join() {
                Ok(value) => value,
                Err(cause) => panic::resume_unwind(cause),
            }
        })
    }

    /// Starts a thread inside the namespace; it keeps the namespace's name alive.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let this = self.clone();
        let thread = thread_builder().spawn(move || {
            this.enter();
            work()
        });
        thread.expect("spawning a thread")
    }

    /// Runs a future to its end on a single-threaded tokio runtime inside the namespace.
    pub fn block_on<T: Send, F: Future<Output = T>>(&self, future: impl FnOnce() -> F + Send) -> T {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("building a tokio runtime").block_on(future())
        })
    }

    /// A command that will run inside the namespace; bpffs and all other mounts stay visible.
    ///
    /// The child's process id is the program's own: `nsenter` replaces itself.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.0.path.display())).arg("--").arg(program);
        command
    }

    /// Runs a shell script inside the namespace and returns what it printed.
    pub fn shell(&self, script: &str) -> Result<String> {
        let output = self.command("sh").args(["-ec", script]).output().context("running sh")?;
        ensure!(
            output.status.success(),
            "in {}: {script}: {}",
            self.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs lines of `ip` commands (without the leading `ip`) as one batch.
    pub fn ip(&self, lines: &[String]) -> Result<()> {
        ip_batch(self.command("ip"), lines).with_context(|| format!("in {}", self.name()))
    }

    /// Writes sysctls, named by their path under `/proc/sys/net`.
    pub fn sysctl<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)> + Send,
    ) -> Result<()> {
        self.run(|| {
            settings.into_iter().try_for_each(|(key, value)| {
                fs::write(Path::new("/proc/sys/net").join(key), value)
                    .with_context(|| format!("setting {key} to {value}"))
            })
        })
    }

    fn enter(&self) {
        setns(&self.0.file, CloneFlags::CLONE_NEWNET).expect("entering a network namespace");
    }
}

/// Removes the namespaces and bpffs directories of processes that no longer run.
///
/// What still runs inside such a namespace is killed: it is an agent whose test was killed.
pub fn sweep() -> Result<()> {
    for path in orphans(DIRECTORY)? {
        kill_inside(&path);
        remove(&path);
    }
    for path in orphans(BPFFS)? {
        fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Where private bpffs directories are made.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

const DIRECTORY: &str = "/run/netns";

#[derive(Debug)]
struct Named {
    path: PathBuf,
    file: File,
}

impl Drop for Named {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    // Whoever removed it before us did what was wanted.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

fn orphans(directory: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("listing {directory}")),
    };
    let orphan = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(names::is_orphan)
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(orphan).collect())
}

fn kill_inside(netns: &Path) {
    let Ok(wanted) = fs::metadata(netns) else { return };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let inside = fs::metadata(process.path().join("ns/net"))
            .is_ok_and(|ns| (ns.dev(), ns.ino()) == (wanted.dev(), wanted.ino()));
        if inside {
            // A process that has just ended is as good as killed.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn ip_batch(mut ip: Command, lines: &[String]) -> Result<()> {
    let mut child = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("running ip; is iproute2 installed?")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all((lines.join("\n") + "\n").as_bytes()).context("writing to ip")?;
    }
    let output = child.wait_with_output().context("waiting for ip")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("ip -batch failed: {message}in:\n{}", lines.join("\n"));
    }
    Ok(())
}

/// Threads take their creator's name, so that a failing test is named wherever it fails.
fn thread_builder() -> thread::Builder {
    match thread::current().name() {
        Some(name) => thread::Builder::new().name(name.to_owned()),
        None => thread::Builder::new(),
    }
}
