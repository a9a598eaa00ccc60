//! What follows the apiserver on a node.

use std::{fmt, fs, path::Path, process::Command};

use serde::{Serialize, Serializer};
use serde_json::json;

use super::{ClusterError, objects::NODE, program::Scratch};
use crate::bench::wire::{CLIENTS, Namespace};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// This program's agent.
    Zonegate,
    /// kube-proxy in nftables mode, with at least a period between two of its syncs.
    KubeProxy(MinSync),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinSync {
    /// A second.
    Default,
    /// A nanosecond: 0 means the default.
    Least,
}

pub const ALL: [Proxy; 3] =
    [Proxy::Zonegate, Proxy::KubeProxy(MinSync::Default), Proxy::KubeProxy(MinSync::Least)];

impl Proxy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zonegate => "zonegate",
            Self::KubeProxy(MinSync::Default) => "kube-proxy",
            Self::KubeProxy(MinSync::Least) => "kube-proxy-1ns",
        }
    }

    /// The command that follows an apiserver in a node's namespace. What it pins goes below `pins`.
    pub fn command(
        self,
        node: &Namespace,
        binaries: &Path,
        kubeconfig: &Path,
        scratch: &Scratch,
        pins: &Path,
    ) -> Result<Command, ClusterError> {
        let config = scratch.file("config");
        let mut command = match self {
            Self::Zonegate => {
                fs::write(&config, agent(kubeconfig, scratch, pins))?;
                let mut command = node.command(std::env::current_exe()?);
                command.arg("agent").env("ZONEGATE_LOG", "warn");
                command
            }
            Self::KubeProxy(min_sync) => {
                fs::write(&config, kube_proxy(kubeconfig, min_sync).to_string())?;
                node.command(binaries.join("kube-proxy"))
            }
        };
        command.args(["--config", &config]);
        Ok(command)
    }
}

fn agent(kubeconfig: &Path, scratch: &Scratch, pins: &Path) -> String {
    format!(
        "node = \"{NODE}\"\nsocket = \"{}\"\nstate_dir = \"{}\"\n[kernel]\nbpffs = \"{}\"\n\
         uplinks = [\"gen0\", \"sink0\"]\ncgroup = \"\"\n[kubernetes]\nkubeconfig = \"{}\"\n\
         healthz = \"127.0.0.1:10256\"\n",
        scratch.file("agent.sock"),
        scratch.file("state"),
        pins.display(),
        kubeconfig.display(),
    )
}

/// Datagrams of the benchmark are new again after a second, or its connections would fill the table.
fn kube_proxy(kubeconfig: &Path, min_sync: MinSync) -> serde_json::Value {
    let period = match min_sync {
        MinSync::Default => json!({}),
        MinSync::Least => json!({ "minSyncPeriod": "1ns" }),
    };
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "nftables": period,
        "clusterCIDR": CLIENTS,
        "detectLocalMode": "ClusterCIDR",
        "clientConnection": { "kubeconfig": kubeconfig },
        "hostnameOverride": NODE,
        "conntrack": { "maxPerCore": 0, "min": 0, "udpTimeout": "1s", "udpStreamTimeout": "1s" },
        "nodePortAddresses": ["primary"],
    })
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
