//! What a kube-proxy has left in the kernel, and its removal.
//!
//! Each of kube-proxy's modes has a module: [`nftables`], [`iptables`] and [`ipvs`]. They find out what
//! is there by the mode's own programs, in the network namespace that they are called in, and write
//! down what removes it; nothing is touched before [`Removal::run`]. What the kubelet makes for
//! itself stays, and [`drain`] keeps live connections.

mod drain;
mod iptables;
mod ipvs;
mod nftables;
mod program;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use program::Program;
pub use program::ProgramError;

/// What there is of a kube-proxy.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// In the order in which they are to be run.
    pub removals: Vec<Removal>,
    /// The services that its rules know, but for node ports.
    pub services: BTreeSet<ServicePort>,
    /// Programs that are not here; what only they could show is not known.
    pub missing: BTreeSet<&'static str>,
    /// Connections of an earlier clean-up are kept.
    drains: bool,
}

/// One run of a program, which does all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What is removed, a line each.
    pub what: Vec<String>,
    program: Program,
    input: String,
}

/// An address at which there is a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    pub address: IpAddr,
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Looks at what is there.
pub fn find() -> Result<Leftovers, ProgramError> {
    let mut leftovers = Leftovers::default();
    nftables::find(&mut leftovers)?;
    iptables::find(&mut leftovers)?;
    ipvs::find(&mut leftovers)?;
    if !leftovers.removals.is_empty() {
        leftovers.removals.insert(0, drain::begin());
    } else if leftovers.drains {
        leftovers.removals.push(drain::end());
    }
    Ok(leftovers)
}

impl Removal {
    pub fn run(&self) -> Result<(), ProgramError> {
        self.program.feed(&self.input).map(drop)
    }
}

impl Leftovers {
    /// What a program says; `None` where it is not here, which is noted.
    fn ask(&mut self, program: &Program) -> Result<Option<String>, ProgramError> {
        match program.feed("") {
            Err(ProgramError::Missing(name)) => {
                self.missing.insert(name);
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }
}

/// The first few of many, for people.
pub fn some(all: impl IntoIterator<Item: fmt::Display>) -> String {
    let all: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    match all.len().checked_sub(FEW) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..FEW].join(", ")),
    }
}

const FEW: usize = 5;
/// As nftables calls them.
const FAMILIES: [&str; 2] = ["ip", "ip6"];

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, protocol } = self;
        write!(f, "{}/{protocol}", std::net::SocketAddr::new(*address, *port))
    }
}
