//! Ports by name, and what the names mean on a pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::names::escaped;
use crate::model::{PortMatch, PortRange, Protocol};

/// A port that a container of a pod declares under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ContainerPort {
    pub name: String,
    pub number: PortNumber,
}

/// One port of one protocol.
pub(super) type PortNumber = (Protocol, u16);

/// A port that a rule calls by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NamedPort {
    pub name: String,
    /// `None`: whatever protocol the container's port has.
    pub protocol: Option<Protocol>,
}

/// What each of some names means on a pod: nothing, one port, or several containers' ports.
///
/// Pods with equal resolutions are alike to every rule that uses these names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Resolution(BTreeMap<NamedPort, BTreeSet<PortNumber>>);

impl NamedPort {
    fn means(&self, port: &ContainerPort) -> bool {
        port.name == self.name && self.protocol.is_none_or(|protocol| protocol == port.number.0)
    }
}

impl Resolution {
    pub(super) fn new(names: &BTreeSet<NamedPort>, ports: &BTreeSet<ContainerPort>) -> Self {
        let meaning = |name: &NamedPort| {
            ports.iter().filter(|port| name.means(port)).map(|port| port.number).collect()
        };
        Self(names.iter().map(|name| (name.clone(), meaning(name))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of the name; nothing where it resolves nowhere.
    pub(super) fn ports(&self, name: &NamedPort) -> impl Iterator<Item = PortNumber> {
        self.0.get(name).into_iter().flatten().copied()
    }

    /// Of all names together.
    pub(super) fn all_ports(&self) -> BTreeSet<PortNumber> {
        self.0.values().flatten().copied().collect()
    }
}

/// The match of one port alone; `None` for port 0, which no container declares.
pub(super) fn exactly((protocol, number): PortNumber) -> Option<PortMatch> {
    let range = PortRange::new(number.into(), number.into()).ok()?;
    Some(PortMatch { protocol, range })
}

/// `[dns=TCP/53+UDP/53,http/TCP=]`; nothing without names.
impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        let names = self.0.iter().map(|(name, ports)| {
            let ports: Vec<_> =
                ports.iter().map(|(protocol, number)| format!("{protocol}/{number}")).collect();
            let protocol = name.protocol.map(|it| format!("/{it}")).unwrap_or_default();
            format!("{}{protocol}={}", escaped(&name.name), ports.join("+"))
        });
        write!(f, "[{}]", names.collect::<Vec<_>>().join(","))
    }
}
