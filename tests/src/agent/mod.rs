//! The real agent, as a process in the node's namespace.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub use self::{binary::zonegate_binary, config::AgentBuilder};
use crate::{netns::Netns, wait};

mod binary;
mod config;

/// A running agent with a socket, a state directory and a bpffs directory of its own.
///
/// Dropping it ends the process, removes everything it has put into the kernel and, if the test
/// is panicking, prints its log.
#[derive(Debug)]
pub struct Agent {
    binary: PathBuf,
    netns: Netns,
    directory: TempDir,
    bpffs: PathBuf,
    log_filter: String,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// What a run of the command line left behind.
#[derive(Debug, Clone)]
pub struct CliOutput {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl CliOutput {
    /// What it printed, if it succeeded; else panics with all it said.
    #[track_caller]
    pub fn expect_success(self) -> String {
        assert!(self.status.success(), "{}: {}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// Its complaint, if it failed; else panics with what it printed.
    #[track_caller]
    pub fn expect_failure(self) -> String {
        assert!(!self.status.success(), "succeeded: {}{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl Agent {
    /// The gRPC socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    pub fn state_directory(&self) -> PathBuf {
        self.directory.path().join(STATE)
    }

    /// Where maps, programs and links are pinned.
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// A directory for the test's own files, gone with the agent.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Everything the agent has written to its standard output and error so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map_or_else(
            |error| format!("no log: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Waits until the log holds a text.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> Result<()> {
        wait::until(timeout, || {
            Ok((!self.log().contains(text)).then(|| format!("{text:?} is not in the log")))
        })
    }

    /// The process id, while the agent runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A command of the command line, set up to talk to this agent from inside the node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.netns.command(&self.binary);
        command.arg("--socket").arg(self.socket()).args(arguments);
        command.current_dir(self.directory.path());
        command
    }

    /// Runs the command line, as in `agent.cli(&["get", "services"])`.
    pub fn cli(&self, arguments: &[&str]) -> Result<CliOutput> {
        let output = self.command(arguments).output().context("running zonegate")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Output { status, stdout, stderr } = output;
        Ok(CliOutput { status, stdout: text(&stdout), stderr: text(&stderr) })
    }

    /// Applies resources written as YAML or JSON.
    pub fn apply(&self, manifest: &str) -> Result<CliOutput> {
        let file = self.directory.path().join("apply.yaml");
        fs::write(&file, manifest)?;
        self.cli(&["apply", "-f", &file.to_string_lossy()])
    }

    /// Ends the agent as a crash would; what it pinned stays and goes on working.
    pub fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the agent does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks the agent to end and waits for it; an exit status other than zero is an error.
    pub fn terminate(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the agent does not run")?;
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("the agent still ran {STOP_TIMEOUT:?} after SIGTERM");
            }
            thread::sleep(Duration::from_millis(5));
        };
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }

    /// Starts the agent, which must not run, and waits until its socket answers.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the agent runs already");
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = self.agent_command();
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("starting the agent")?);
        self.wait_until_ready()
    }

    /// Ends the agent by SIGTERM if it runs, and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.terminate()?;
        }
        self.start()
    }

    /// Runs `zonegate agent --teardown`, after which nothing of ZoneGate is left in the node.
    pub fn teardown(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.kill9()?;
        }
        let output = self.agent_command().arg("--teardown").output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "teardown: {}: {complaint}", output.status);
        Ok(())
    }

    fn agent_command(&self) -> Command {
        let mut command = self.netns.command(&self.binary);
        command.args(["agent", "--config"]).arg(self.directory.path().join(CONFIG));
        command.env("ZONEGATE_LOG", &self.log_filter);
        command
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let socket = self.socket();
        while let Err(error) = greet(&socket) {
            let exit = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = exit {
                self.child = None;
                bail!("the agent ended with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("no answer after {START_TIMEOUT:?}: {error}; log:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("agent.log")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("---- log of the agent in {}\n{}----", self.netns.name(), self.log());
        }
        if let Err(error) = self.teardown() {
            eprintln!("while dropping the agent: {error:#}");
        }
        match fs::remove_dir_all(&self.bpffs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("removing {}: {error}", self.bpffs.display());
            }
            _ => {}
        }
    }
}

/// Opens an HTTP/2 connection and waits for the server's first byte (RFC 9113 §3.4).
///
/// The agent listens before it loads anything, so that a connection alone says little.
fn greet(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&empty_settings)?;
    stream.read_exact(&mut [0])
}

const CONFIG: &str = "agent.toml";
const SOCKET: &str = "agent.sock";
const STATE: &str = "state";

/// Loading and verifying the programs of a debug build takes its time on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
