//! Why the datapath could not be loaded or attached.

use std::{io, path::PathBuf};

use super::port_range::Ports;
use crate::maps::MapError;

/// A failure of the loader, in the words of whoever has to act on it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{field} is {value}, which is not a power of two from {least} on")]
    NotPowerOfTwo { field: &'static str, value: u32, least: u32 },
    #[error("masquerade_ports {ports} and {name} {other} share ports")]
    PortsOverlap { ports: Ports, name: &'static str, other: Ports },
    #[error("cannot read {path}: {source}")]
    SocketPorts { path: &'static str, source: io::Error },
    #[error("another agent uses {0}")]
    Locked(PathBuf),
    #[error("{path}: {source} (is a BPF file system mounted there?)")]
    Directory { path: PathBuf, source: io::Error },
    #[error(
        "the pinned map {map} has {what} {found}, and this agent wants {expected}; \
         `zonegate agent --teardown` removes the old maps (and with them the datapath)"
    )]
    Incompatible { map: &'static str, what: &'static str, found: u32, expected: u32 },
    #[error("the kernel refused the programs: {0}")]
    Object(#[from] Box<aya::EbpfError>),
    #[error("the kernel refused the program {program}: {source}")]
    Program { program: String, source: Box<aya::programs::ProgramError> },
    #[error("the object has no program {0}")]
    MissingProgram(&'static str),
    #[error("the object has no array {0}")]
    MissingMap(&'static str),
    #[error("the map {map}: {source}")]
    MapInfo { map: &'static str, source: Box<aya::maps::MapError> },
    #[error("the map {map}: {source}")]
    MapHandle { map: &'static str, source: libbpf_rs::Error },
    #[error("the tail-call map {map}: {source}")]
    TailCall { map: &'static str, source: Box<aya::maps::MapError> },
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("cannot wait for packets under way: {0}")]
    GracePeriod(io::Error),
    #[error("interface {interface} has an XDP program of somebody else: {program} (id {id})")]
    ForeignXdp { interface: String, program: String, id: u32 },
    #[error("cannot attach {program} to {interface} ({hook}): {reason}")]
    Attach { program: &'static str, interface: String, hook: &'static str, reason: String },
    #[error(
        "the cgroup {path}: {source}; kernel.cgroup has to be where a cgroup2 file system is \
         mounted, or empty: the node's own processes then reach no services"
    )]
    Cgroup { path: PathBuf, source: io::Error },
    #[error("cannot read where file systems are mounted: {source}")]
    Mounts { source: io::Error },
    #[error("cannot tell this network namespace: {0}")]
    NetnsCookie(io::Error),
    #[error("cannot detach {path}: {source}")]
    Detach { path: PathBuf, source: io::Error },
    #[error("netlink: {0}")]
    Netlink(String),
    #[error("cannot start the thread that follows the kernel's links: {0}")]
    Thread(io::Error),
    #[error("cannot read the programs' log: {0}")]
    Log(String),
    #[error("cannot run {program} on a test packet: {source}")]
    TestRun { program: &'static str, source: Box<aya::programs::ProgramError> },
}
