//! xdp-filter of xdp-tools on the router's node.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::{
    WireError,
    namespace::Namespace,
    router::{CALLED, unwanted},
};

const PROGRAM: &str = "xdp-filter";

/// A filter that drops what is for unwanted addresses and passes the rest to the kernel. It ends with
/// this, or with the benchmark.
pub struct XdpFilter(Child);

impl XdpFilter {
    pub fn is_installed() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| Path::new(&directory).join(PROGRAM).exists())
    }

    /// Loads it in a node's namespace. Its maps and programs are pinned in a BPF file system that is
    /// gone with the process: it shares nothing with one that the machine may have.
    pub fn start(node: &Namespace) -> Result<Self, WireError> {
        let mut command = node.command("unshare");
        command.args(["--mount", "sh", "-ec", SCRIPT, PROGRAM]);
        command.args((0..CALLED).map(|index| unwanted(index).to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only a system call is made.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        let mut filter = Self(command.spawn()?);
        let mut said = String::new();
        if let Some(stdout) = &mut filter.0.stdout {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        if said == "ready\n" {
            return Ok(filter);
        }
        let mut reason = String::new();
        if let Some(stderr) = &mut filter.0.stderr {
            stderr.read_to_string(&mut reason)?;
        }
        Err(WireError::Command { command: PROGRAM.to_owned(), reason: reason.trim().to_owned() })
    }
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for ever once it has said that all is there.
const SCRIPT: &str = "\
mount -t bpf bpf /sys/fs/bpf
xdp-filter load --mode native --features ipv4 gen0 >&2
for address; do xdp-filter ip --mode dst \"$address\" >&2; done
echo ready
exec cat
";
