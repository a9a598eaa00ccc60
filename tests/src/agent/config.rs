//! What an agent in a bed is configured with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;
use toml::{Table, Value};

use super::{Agent, CONFIG, SOCKET, STATE, zonegate_binary};
use crate::{
    bed::{Bed, Host},
    names,
    netns::{self, Netns},
};

/// Sets an agent up; the defaults are those of a node with one uplink and native XDP.
#[derive(Debug, Clone)]
pub struct AgentBuilder {
    netns: Netns,
    node: String,
    kernel: Table,
    services: Table,
    log_filter: String,
    arguments: Vec<String>,
}

impl Agent {
    /// Starts the agent of a bed's node with the defaults.
    pub fn start_on(bed: &Bed) -> Result<Self> {
        Self::builder(bed).start()
    }

    pub fn builder(bed: &Bed) -> AgentBuilder {
        Self::builder_on(bed.node())
    }

    /// For any host of a bed, which is a node of its own then.
    pub fn builder_on(host: &Host) -> AgentBuilder {
        AgentBuilder {
            netns: host.netns().clone(),
            node: host.name().to_owned(),
            kernel: Table::new(),
            services: Table::new(),
            log_filter: "info,zonegate=debug".to_owned(),
            arguments: Vec::new(),
        }
        .uplinks(&[host.interface()])
        .kernel("cgroup", cgroup2())
    }
}

/// Where the cgroup2 file system is mounted; empty, which is none, if it is nowhere.
fn cgroup2() -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let cgroup = mounts.find_map(|mut fields| {
        let path = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| path.to_owned())
    });
    cgroup.unwrap_or_default()
}

impl AgentBuilder {
    /// Sets the devices with the uplink program.
    #[must_use]
    pub fn uplinks(self, uplinks: &[&str]) -> Self {
        self.kernel("uplinks", uplinks.to_vec())
    }

    /// Asks for generic XDP, which the agent never falls back to by itself.
    #[must_use]
    pub fn generic_xdp(self) -> Self {
        self.kernel("xdp_generic", true)
    }

    /// Sets a key of the configuration's `[kernel]` section, such as `flow4_buckets`.
    #[must_use]
    pub fn kernel(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.kernel.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a key of the configuration's `[services]` section.
    #[must_use]
    pub fn services(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.services.insert(key.to_owned(), value.into());
        self
    }

    /// Sets the log filter; ZoneGate's own debug messages by default, since the log is shown
    /// after failures only.
    #[must_use]
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Adds a flag to `zonegate agent`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Writes the configuration, starts the agent and waits until its socket answers.
    pub fn start(self) -> Result<Agent> {
        let binary = zonegate_binary()?;
        let directory = tempfile::Builder::new().prefix("zonegate-").tempdir()?;
        let bpffs = Path::new(netns::BPFFS).join(names::unique());
        let config = Config {
            node: self.node,
            socket: directory.path().join(SOCKET),
            state_dir: directory.path().join(STATE),
            kernel: Kernel { bpffs: bpffs.clone(), others: self.kernel },
            services: self.services,
        };
        let text = toml::to_string(&config).context("writing the configuration")?;
        fs::write(directory.path().join(CONFIG), text)?;
        let mut agent = Agent {
            binary,
            netns: self.netns,
            directory,
            bpffs,
            arguments: self.arguments,
            log_filter: self.log_filter,
            child: None,
        };
        agent.start()?;
        Ok(agent)
    }
}

/// The configuration file.
#[derive(Serialize)]
struct Config {
    node: String,
    socket: PathBuf,
    state_dir: PathBuf,
    kernel: Kernel,
    services: Table,
}

#[derive(Serialize)]
struct Kernel {
    bpffs: PathBuf,
    #[serde(flatten)]
    others: Table,
}
