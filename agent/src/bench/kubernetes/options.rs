//! What `zonegate bench kubernetes` may be told.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::bench::options::{Output, count};

/// Sizes and patience.
#[derive(Debug, Clone, Args)]
pub struct KubernetesOptions {
    /// Directory of etcd, kube-apiserver and kube-proxy, as hack/kubernetes-binaries prints it
    #[arg(long, env = "KUBEBUILDER_ASSETS", value_name = "DIRECTORY")]
    pub binaries: PathBuf,
    /// Numbers of services
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000", value_name = "LIST",
        value_parser = services, conflicts_with = "scale")]
    pub sizes: Vec<u32>,
    /// One large cluster instead: 10,000 pods, 5,000 services and 300 policies on 100 nodes
    #[arg(long)]
    pub scale: bool,
    /// Changes of a series, each from the API to the first packet that follows it
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "COUNT")]
    pub samples: u32,
    /// Seconds after which a series ends with the changes that it has
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "SECONDS")]
    series: u32,
    /// Seconds in which nothing changes, and the time of the processor is counted
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..),
        value_name = "SECONDS")]
    rest: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Writes the report as JSON, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl KubernetesOptions {
    pub fn series(&self) -> Duration {
        Duration::from_secs(self.series.into())
    }

    pub fn rest(&self) -> Duration {
        Duration::from_secs(self.rest.into())
    }
}

fn services(text: &str) -> Result<u32, String> {
    match count(text) {
        Ok(services @ 1..=MOST_SERVICES) => Ok(services),
        Ok(_) => Err(format!("there are addresses for 1 to {MOST_SERVICES} services")),
        Err(error) => Err(error.to_string()),
    }
}

const MOST_SERVICES: u32 = 20_000;
