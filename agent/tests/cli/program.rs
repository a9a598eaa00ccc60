//! Runs of the binary.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `zonegate` with what a script would give it.
pub fn zonegate(arguments: &[&str]) -> Run {
    finish(command(arguments), "")
}

/// The same, with the socket of an agent.
pub fn zonegate_at(socket: &Path, arguments: &[&str]) -> Run {
    zonegate_with(socket, arguments, "")
}

/// The same, with standard input.
pub fn zonegate_with(socket: &Path, arguments: &[&str], input: &str) -> Run {
    let mut command = command(arguments);
    command.env("ZONEGATE_SOCKET", socket);
    finish(command, input)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zonegate"));
    command.args(arguments).env_remove("ZONEGATE_SOCKET");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(mut command: Command, input: &str) -> Run {
    let mut child = command.spawn().unwrap();
    // A program that has failed by now does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Run {
    /// What it printed; panics unless it succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// What it complained of; panics unless it ended with `code` and printed nothing else.
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        self.stderr
    }
}

/// Panics unless `text` has all `parts`.
#[track_caller]
pub fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}
