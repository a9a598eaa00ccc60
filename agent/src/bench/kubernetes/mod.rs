//! `zonegate bench kubernetes`: the agent beside kube-proxy, over the same objects of a real apiserver.
//!
//! etcd and kube-apiserver are in a namespace, each proxy on a node in another, with clients in front and
//! backends behind it. There are no kubelets and no controllers: nodes, pods and slices are written here.
//! Proxies take turns, each alone, with the same objects, changes and packets.

mod cgroup;
mod changes;
mod cost;
mod error;
mod lab;
mod objects;
mod options;
mod plane;
mod program;
mod proxy;
mod report;
mod scale;
mod sizes;
mod stream;

use std::{fs, io::Write, path::Path};

use serde::Serialize;

use self::report::{ScaleReport, SizesReport};
pub use self::{error::ClusterError, options::KubernetesOptions};
use super::{BenchError, machine::Machine, store::need_root, wire::sweep};

/// Measures and prints. Needs root, programs of Kubernetes, and nft; no interface that was there before is
/// touched.
pub fn run(options: &KubernetesOptions, out: &mut dyn Write) -> Result<(), BenchError> {
    need_root()?;
    sweep()?;
    cgroup::sweep().map_err(ClusterError::from)?;
    check(&options.binaries)?;
    if options.scale {
        let report = ScaleReport::of(scale::measure(options)?);
        save(options, &report)?;
        return report.print(options.output, out);
    }
    let machine = Machine::this();
    let report = SizesReport { machine, rows: sizes::measure(options)? };
    save(options, &report)?;
    report.print(options.output, out)
}

fn save(options: &KubernetesOptions, report: &impl Serialize) -> Result<(), BenchError> {
    match &options.json {
        Some(path) => Ok(fs::write(path, serde_json::to_vec_pretty(report)?)?),
        None => Ok(()),
    }
}

fn check(binaries: &Path) -> Result<(), ClusterError> {
    let programs = ["etcd", "kube-apiserver", "kube-proxy"];
    let missing: Vec<_> = programs.into_iter().filter(|it| !binaries.join(it).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ClusterError::Binaries { directory: binaries.to_owned(), missing: missing.join(", ") })
}
