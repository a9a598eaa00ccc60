//! Programs that know the kernel's rules.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
    thread,
};

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<&'static str>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("there is no program {0}")]
    Missing(&'static str),
    #[error("cannot run {name}: {source}")]
    Run { name: &'static str, source: io::Error },
    #[error("{name} {arguments}: {said}")]
    Failed { name: &'static str, arguments: String, said: String },
    #[error("the answer of {name} is not understood: {reason}")]
    Answer { name: &'static str, reason: String },
}

impl Program {
    pub(super) fn new(name: &'static str, arguments: &[&'static str]) -> Self {
        Self { name, arguments: arguments.to_vec() }
    }

    /// What it prints when it is given `input`.
    pub(super) fn feed(&self, input: &str) -> Result<String, ProgramError> {
        let name = self.name;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ProgramError::Missing(name),
            _ => ProgramError::Run { name, source },
        };
        let mut command = Command::new(name);
        command.args(&self.arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let output = thread::scope(|scope| {
            scope.spawn(|| {
                // A program that does not read says why by its status.
                let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
            });
            child.wait_with_output()
        });
        let output = output.map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let said = if said.is_empty() { output.status.to_string() } else { said };
            return Err(ProgramError::Failed { name, arguments: self.arguments.join(" "), said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
