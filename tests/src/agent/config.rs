//! What an agent in a bed is configured with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Agent, CONFIG, SOCKET, STATE, zonegate_binary};
use crate::{bed::Bed, names, netns};

/// Sets an agent up; the defaults are those of a node with one uplink and native XDP.
#[derive(Debug, Clone)]
pub struct AgentBuilder {
    netns: netns::Netns,
    node: String,
    uplinks: Vec<String>,
    generic: bool,
    log: String,
    arguments: Vec<String>,
}

/// The configuration file.
#[derive(Serialize)]
struct Config<'a> {
    node: &'a str,
    socket: PathBuf,
    state_dir: PathBuf,
    log: &'a str,
    kernel: Kernel<'a>,
}

#[derive(Serialize)]
struct Kernel<'a> {
    bpffs: &'a Path,
    uplinks: &'a [String],
    xdp_generic: bool,
}

impl Agent {
    /// Starts the agent of a bed's node with the defaults.
    pub fn start_on(bed: &Bed) -> Result<Self> {
        Self::builder(bed).start()
    }

    pub fn builder(bed: &Bed) -> AgentBuilder {
        AgentBuilder {
            netns: bed.node().netns().clone(),
            node: bed.node().name().to_owned(),
            uplinks: vec![bed.node().interface().to_owned()],
            generic: false,
            log: "debug".to_owned(),
            arguments: Vec::new(),
        }
    }
}

impl AgentBuilder {
    /// Asks for generic XDP, which the agent never falls back to by itself.
    #[must_use]
    pub fn generic_xdp(mut self) -> Self {
        self.generic = true;
        self
    }

    /// Sets the log filter; `debug` by default, since logs are read after failures only.
    #[must_use]
    pub fn log(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log);
        self
    }

    /// Sets the devices with the uplink program.
    #[must_use]
    pub fn uplinks(mut self, uplinks: &[&str]) -> Self {
        self.uplinks = uplinks.iter().map(|&name| name.to_owned()).collect();
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
            node: &self.node,
            socket: directory.path().join(SOCKET),
            state_dir: directory.path().join(STATE),
            log: &self.log,
            kernel: Kernel { bpffs: &bpffs, uplinks: &self.uplinks, xdp_generic: self.generic },
        };
        let text = toml::to_string(&config).context("writing the configuration")?;
        fs::write(directory.path().join(CONFIG), text)?;
        let mut agent = Agent {
            binary,
            netns: self.netns,
            directory,
            bpffs,
            arguments: self.arguments,
            child: None,
        };
        agent.start()?;
        Ok(agent)
    }
}
