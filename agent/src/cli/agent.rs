//! `zonegate agent`: the node's agent.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::{
    config::Config,
    runtime::{self, RuntimeError},
};

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub struct AgentArguments {
    /// Configuration file [default: /etc/zonegate/agent.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the Node resource that is this machine [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node: Option<String>,
    /// Interface that leads out of the node; may be given more than once
    #[arg(long = "uplink", value_name = "INTERFACE")]
    uplinks: Vec<String>,
    /// Directory of the state snapshot [default: /var/lib/zonegate]
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Directory of Kubernetes objects (*.yaml, *.yml, *.json) to follow
    #[arg(long, value_name = "DIRECTORY")]
    manifests: Option<PathBuf>,
    /// Follow a kube-apiserver: as the pod's service account in a cluster, else after a kubeconfig
    #[arg(long, conflicts_with = "manifests")]
    kubernetes: bool,
    /// Which apiserver to follow, and as whom [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    kubeconfig: Option<PathBuf>,
    /// Directory for pinned maps and programs [default: /sys/fs/bpf/zonegate]
    #[arg(long, value_name = "DIRECTORY")]
    bpffs: Option<PathBuf>,
    /// Use generic XDP on uplinks: for drivers without native support, and slow
    #[arg(long)]
    xdp_generic: bool,
    /// Load the programs that log what their slow path does
    #[arg(long)]
    log_datapath: bool,
    /// Detach and remove the datapath, then end; traffic is no longer filtered or steered
    #[arg(long)]
    teardown: bool,
}

pub fn run(arguments: &AgentArguments, socket: Option<&Path>) -> Result<(), CliError> {
    let config = arguments.over(Config::load(arguments.config.as_deref())?, socket);
    start_logging();
    if arguments.teardown {
        let bpffs = &config.kernel.bpffs;
        crate::loader::teardown(bpffs).map_err(RuntimeError::from)?;
        println!("no datapath is left in {}", bpffs.display());
        return Ok(());
    }
    Ok(runtime::run(config)?)
}

impl AgentArguments {
    /// The file's configuration with the command line over it.
    fn over(&self, file: Config, socket: Option<&Path>) -> Config {
        let mut config = file;
        if let Some(socket) = socket {
            socket.clone_into(&mut config.socket);
        }
        if let Some(directory) = &self.state_dir {
            config.state_dir.clone_from(directory);
        }
        if let Some(directory) = &self.bpffs {
            config.kernel.bpffs.clone_from(directory);
        }
        if !self.uplinks.is_empty() {
            config.kernel.uplinks.clone_from(&self.uplinks);
        }
        config.manifests = self.manifests.clone().or(config.manifests);
        if self.kubernetes {
            let kubernetes = config.kubernetes.get_or_insert_default();
            if self.kubeconfig.is_some() {
                kubernetes.kubeconfig.clone_from(&self.kubeconfig);
            }
        }
        config.node = self.node.clone().or(config.node);
        config.kernel.xdp_generic |= self.xdp_generic;
        config.kernel.log |= self.log_datapath;
        config
    }
}

/// To standard error; journald adds the time itself.
fn start_logging() {
    let filter = EnvFilter::try_from_env("ZONEGATE_LOG").unwrap_or_else(|_| "info".into());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        logs.without_time().init();
    } else {
        logs.init();
    }
}
