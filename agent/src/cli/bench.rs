//! `zonegate bench`: what packets and changes cost on this machine.

use std::io;

use clap::Subcommand;

use super::error::CliError;
use crate::bench::{
    self, CheckOptions, CompareOptions, ControlOptions, FloodOptions, GenerateOptions,
    KubernetesOptions, PathOptions, ScaleOptions, ServicesOptions, WireOptions, ZonesOptions,
};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measures the programs alone: ns per packet above an empty program (root; no traffic is
    /// made and no running agent disturbed)
    Path(PathOptions),
    /// Measures the agent: how long changes take at scale, and what memory it needs (root; no
    /// running agent is disturbed)
    Control(ControlOptions),
    /// Measures many services: how long they take to load, how long an endpoint's change, and what
    /// memory they need (root; no running agent is disturbed)
    Services(ServicesOptions),
    /// Sends packets of many flows, or a capture, out of an interface, as fast as it takes them or at
    /// a rate, and says how many a second (root)
    Generate(GenerateOptions),
    /// Measures packets from a generator through a node to a sink, in namespaces of its own: delivered
    /// packets and processor time, beside programs that do the least possible (root)
    Wire(WireOptions),
    /// Compares the datapath with the kernel's forwarding, rules as kube-proxy writes them, and
    /// xdp-filter where it is installed, in namespaces of its own (root; nft and iptables-legacy)
    Compare(CompareOptions),
    /// Measures all processors at once against one, each with flows and a queue of its own, through
    /// the same node, beside programs that share nothing (root)
    Scale(ScaleOptions),
    /// Floods a node with SYNs, in namespaces of its own, while clients keep connections to a service and
    /// open others: which are lost, and which succeed (root)
    Flood(FloodOptions),
    /// Has the agent and kube-proxy (nftables) follow a real apiserver in namespaces of its own: from a
    /// change to the first packet that follows it, packets, memory, time of processors (root; etcd,
    /// kube-apiserver, kube-proxy, nft, openssl)
    Kubernetes(KubernetesOptions),
    /// Compares a short run with committed ratios, which do not depend on how fast the machine is, and
    /// fails beyond their margin (root)
    Check(CheckOptions),
    /// Compares ways to prefer the own zone: flows kept in it, the worst backend's load, and flows
    /// that changes move, counted from slots that the compiler deals (no root, no kernel)
    Zones(ZonesOptions),
}

pub fn run(command: &BenchCommand) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match command {
        BenchCommand::Path(options) => bench::path(options, &mut out)?,
        BenchCommand::Control(options) => bench::control(options, &mut out)?,
        BenchCommand::Services(options) => bench::services(options, &mut out)?,
        BenchCommand::Generate(options) => bench::generate(options, &mut out)?,
        BenchCommand::Wire(options) => bench::wire(options, &mut out)?,
        BenchCommand::Compare(options) => bench::compare(options, &mut out)?,
        BenchCommand::Scale(options) => bench::scale(options, &mut out)?,
        BenchCommand::Flood(options) => bench::flood(options, &mut out)?,
        BenchCommand::Kubernetes(options) => bench::kubernetes(options, &mut out)?,
        BenchCommand::Check(options) => bench::check(options, &mut out)?,
        BenchCommand::Zones(options) => bench::zones(options, &mut out)?,
    }
    Ok(())
}
