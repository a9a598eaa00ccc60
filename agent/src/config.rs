//! The agent's configuration: a TOML file, and what the command line puts over it.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use abi::table::Table;
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    compile::{self, FromOutside},
    loader::{KernelConfig, TableSizes},
    model::Prefix,
    store,
};

/// Read when no file is named; need not exist.
pub const DEFAULT_FILE: &str = "/etc/zonegate/agent.toml";
pub const DEFAULT_SOCKET: &str = "/run/zonegate/zonegate.sock";
const DEFAULT_STATE_DIR: &str = "/var/lib/zonegate";

/// What an agent is told; see docs/operations.md.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of the `Node` resource that is this machine; the host's name when unset.
    pub node: Option<String>,
    pub socket: PathBuf,
    pub state_dir: PathBuf,
    /// A directory of Kubernetes objects to follow.
    pub manifests: Option<PathBuf>,
    /// A kube-apiserver to follow; not together with `manifests`, which would speak of the same.
    pub kubernetes: Option<Kubernetes>,
    pub services: Services,
    pub kernel: KernelConfig,
    pub limits: store::Limits,
}

/// Which kube-apiserver to follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Where the apiserver is, and who asks. Without one, the service account of the pod that the
    /// agent runs in, or the default kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Where `/healthz` and `/livez` are answered; nowhere if the text is empty.
    #[serde(deserialize_with = "address_or_none")]
    pub healthz: Option<SocketAddr>,
    /// Where `/proxyMode` is answered; nowhere if the text is empty.
    #[serde(deserialize_with = "address_or_none")]
    pub proxy_mode: Option<SocketAddr>,
}

impl Default for Kubernetes {
    /// kube-proxy's addresses.
    fn default() -> Self {
        Self {
            kubeconfig: None,
            healthz: Some((Ipv6Addr::UNSPECIFIED, 10256).into()),
            proxy_mode: Some((Ipv4Addr::LOCALHOST, 10249).into()),
        }
    }
}

fn address_or_none<'de, D: Deserializer<'de>>(text: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(text)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format!("{text:?} is no address and port, such as \"[::]:10256\""))
    })
}

/// What Kubernetes leaves open about services.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Services {
    pub clusterip_from_outside: FromOutside,
    /// Where `spec.externalIPs` may be; nothing is anywhere.
    pub external_ip_ranges: Vec<Prefix>,
    /// Which of the node's addresses have node ports; nothing is all.
    pub node_port_addresses: Vec<Prefix>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// The reason names line and column, and shows the line.
    #[error("{path}: {source}")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("cannot find out the host's name: {0}; name the node with --node")]
    HostName(io::Error),
    #[error("the host's name is not UTF-8; name the node with --node")]
    HostNameText,
    #[error(
        "there are two sources of Kubernetes objects, manifests ({0}) and an apiserver; choose one"
    )]
    TwoSources(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: None,
            socket: DEFAULT_SOCKET.into(),
            state_dir: DEFAULT_STATE_DIR.into(),
            manifests: None,
            kubernetes: None,
            services: Services::default(),
            kernel: KernelConfig::default(),
            limits: store::Limits::default(),
        }
    }
}

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] if there is one.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|source| ConfigError::Parse {
                path: path.to_owned(),
                source: Box::new(source),
            }),
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    pub fn node_name(&self) -> Result<String, ConfigError> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        nix::unistd::gethostname()
            .map_err(|errno| ConfigError::HostName(errno.into()))?
            .into_string()
            .map_err(|_| ConfigError::HostNameText)
    }

    /// Refuses what cannot be together.
    pub fn check(&self) -> Result<(), ConfigError> {
        match (&self.manifests, &self.kubernetes) {
            (Some(manifests), Some(_)) => Err(ConfigError::TwoSources(manifests.clone())),
            _ => Ok(()),
        }
    }

    /// What the compiler may fill: the tables as large as they are made.
    pub fn table_limits(&self) -> compile::Limits {
        let TableSizes { endpoints, addresses6, prefixes6, frontends, next_hops, .. } =
            self.kernel.tables;
        compile::Limits {
            blocks: Table::ALL.map(|table| self.kernel.tables.blocks(table)),
            frontends,
            addresses6,
            prefixes6,
            // Number 0 is nobody's.
            endpoints: endpoints.saturating_sub(1),
            next_hops: next_hops.saturating_sub(1),
            ..compile::Limits::default()
        }
    }
}

impl Services {
    /// What the compiler has to know of it.
    pub fn settings(&self) -> compile::Settings {
        compile::Settings {
            cluster_from_outside: self.clusterip_from_outside,
            node_port_addresses: self.node_port_addresses.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()))
    }

    #[test]
    fn what_the_file_does_not_say_is_as_by_default() {
        assert_eq!(load("").unwrap(), Config::default());
        let config = load(
            "node = 'n1'\nmanifests = '/m'\n[kernel]\nuplinks = ['eth0']\ntables = { backends = 77 }\n\
             [limits]\nname_bytes = 9\n[services]\nclusterip_from_outside = 'refuse'\n\
             node_port_addresses = ['192.0.2.0/24']\n",
        )
        .unwrap();
        assert_eq!(config.node_name().unwrap(), "n1");
        assert_eq!(config.socket, Path::new(DEFAULT_SOCKET));
        assert_eq!(config.manifests.as_deref(), Some(Path::new("/m")));
        assert_eq!(config.kernel.uplinks, ["eth0"]);
        assert_eq!(config.kernel.bpffs, KernelConfig::default().bpffs);
        assert_eq!(config.limits.name_bytes, 9);
        assert_eq!(config.limits.peers_per_rule, store::Limits::default().peers_per_rule);
        assert_eq!(config.table_limits().blocks(Table::Backends), 77);
        assert_eq!(
            config.services.settings(),
            compile::Settings {
                cluster_from_outside: FromOutside::Refuse,
                node_port_addresses: vec!["192.0.2.0/24".parse().unwrap()],
            }
        );
    }

    #[test]
    fn objects_come_from_files_or_from_an_apiserver() {
        let config = load("[kubernetes]\nkubeconfig = '/k'\n").unwrap();
        let healthz = Some("[::]:10256".parse().unwrap());
        let proxy_mode = Some("127.0.0.1:10249".parse().unwrap());
        let expected = Kubernetes { kubeconfig: Some("/k".into()), healthz, proxy_mode };
        assert_eq!(config.kubernetes, Some(expected));
        config.check().unwrap();
        let both = Config { manifests: Some("/m".into()), ..config };
        let refused = both.check().unwrap_err();
        assert!(matches!(&refused, ConfigError::TwoSources(path) if path == "/m"), "{refused}");
    }

    #[test]
    fn healthz_is_where_it_is_said_or_nowhere() {
        let healthz = |text: &str| {
            let config = load(&format!("[kubernetes]\nhealthz = '{text}'\n"));
            config.map(|config| config.kubernetes.unwrap().healthz)
        };
        assert_eq!(healthz("").unwrap(), None);
        assert_eq!(healthz("127.0.0.1:1").unwrap(), Some(([127, 0, 0, 1], 1).into()));
        let refused = healthz("127.0.0.1").unwrap_err().to_string();
        assert!(refused.contains("line 2") && refused.contains("address and port"), "{refused}");
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let document = include_str!("../../docs/operations.md");
        let block = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(load(block).unwrap(), Config::default());
        let documented: toml::Table = block.parse().unwrap();
        let limits: Vec<&str> =
            store::Limits::default().list().into_iter().map(|(name, _)| name).collect();
        let documented_limits = documented["limits"].as_table().unwrap();
        assert!(limits.iter().all(|name| documented_limits.contains_key(*name)), "{limits:?}");
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, parts) in [
            ("node = 'n1'\nscoket = '/x'\n", ["line 2", "`scoket`"]),
            ("[kernel]\n\nuplink = ['eth0']\n", ["line 3", "`uplink`"]),
            ("[kernel.tables]\nrows = 'many'\n", ["line 2", "expected u32"]),
            ("[limits]\nnames = 1\n", ["line 2", "`names`"]),
            ("[services]\nclusterip_from_outside = 'drop'\n", ["line 2", "`refuse`"]),
            ("[services]\nexternal_ip_ranges = ['10.0.0.1/8']\n", ["line 2", "10.0.0.0/8"]),
            ("node = \n", ["line 1", ""]),
            ("[observe]\n", ["line 1", "`observe`"]),
        ] {
            let message = load(text).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{text}: {message} does not say {part:?}");
            }
        }
    }

    #[test]
    fn only_a_file_that_was_named_has_to_exist() {
        let missing = Path::new("/nonexistent/agent.toml");
        assert!(matches!(Config::load(Some(missing)), Err(ConfigError::Read { .. })));
    }
}
