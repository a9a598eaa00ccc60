//! Who may have which service address.
//!
//! An external address is never one that the cluster gives out itself: a service could take the
//! traffic of others (CVE-2020-8554). Where several services ask for one address and port, cluster
//! addresses come before node ports, load balancers and external addresses, then names decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use super::{
    balancing::{Name, wanted},
    services::Service,
};
use crate::{
    few::{Few, insert, remove},
    model::{Frontend, FrontendKind, Prefix, Protocol},
};

#[derive(Debug, Default)]
pub(super) struct Claims {
    sockets: BTreeMap<Socket, Few<(FrontendKind, Name)>>,
    cluster: BTreeMap<IpAddr, Few<Name>>,
    external: BTreeMap<IpAddr, Few<Name>>,
    /// How many pods have an address.
    pods: BTreeMap<IpAddr, usize>,
    /// Where external addresses may be; nothing is anywhere.
    external_ranges: Vec<Prefix>,
}

/// Address, port and protocol.
pub(super) type Socket = (IpAddr, u16, Protocol);

/// Why a service does not get a frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// Another of its fields names the same.
    ByItself,
    ByService(Name, Frontend),
    ClusterAddress(IpAddr),
    PodAddress(IpAddr),
    /// The operator allows external addresses elsewhere only.
    OutOfRange(IpAddr),
}

impl Claims {
    pub(super) fn new(external_ranges: Vec<Prefix>) -> Self {
        Self { external_ranges, ..Self::default() }
    }

    /// Notes what a service asks for, and whom that concerns.
    pub(super) fn enter(&mut self, name: &Name, service: &Service, touched: &mut BTreeSet<Name>) {
        for address in &service.cluster {
            insert(&mut self.cluster, *address, name.clone());
        }
        for (_, address) in &service.external {
            insert(&mut self.external, *address, name.clone());
        }
        for (kind, socket) in sockets(service) {
            insert(&mut self.sockets, socket, (kind, name.clone()));
        }
        self.touch(service, touched);
    }

    /// Undoes [`Self::enter`].
    pub(super) fn withdraw(
        &mut self,
        name: &Name,
        service: &Service,
        touched: &mut BTreeSet<Name>,
    ) {
        self.touch(service, touched);
        for address in &service.cluster {
            remove(&mut self.cluster, address, name);
        }
        for (_, address) in &service.external {
            remove(&mut self.external, address, name);
        }
        for (kind, socket) in sockets(service) {
            remove(&mut self.sockets, &socket, &(kind, name.clone()));
        }
    }

    pub(super) fn move_pod(
        &mut self,
        before: &BTreeSet<IpAddr>,
        after: &BTreeSet<IpAddr>,
        touched: &mut BTreeSet<Name>,
    ) {
        for address in before.difference(after) {
            if let Some(count) = self.pods.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    self.pods.remove(address);
                }
            }
        }
        for address in after.difference(before) {
            *self.pods.entry(*address).or_default() += 1;
        }
        for address in before.symmetric_difference(after) {
            touched.extend(self.external.get(address).into_iter().flatten().cloned());
        }
    }

    /// Whether a service gets a frontend that it asks for.
    pub(super) fn holder(&self, name: &Name, frontend: &Frontend) -> Result<(), Taken> {
        let Frontend { kind, address, port, protocol } = *frontend;
        if kind == FrontendKind::External {
            self.forbidden(address)?;
        }
        match self.first((address, port, protocol)) {
            Some((first, holder)) if holder == name && *first == kind => Ok(()),
            Some((_, holder)) if holder == name => Err(Taken::ByItself),
            Some((_, holder)) => Err(Taken::ByService(holder.clone(), *frontend)),
            None => Ok(()),
        }
    }

    /// Who has an address and port, and as what.
    pub(super) fn first(&self, socket: Socket) -> Option<&(FrontendKind, Name)> {
        let (address, ..) = socket;
        let mut claims = self.sockets.get(&socket).into_iter().flatten();
        claims.find(|(kind, _)| *kind != FrontendKind::External || self.forbidden(address).is_ok())
    }

    fn forbidden(&self, address: IpAddr) -> Result<(), Taken> {
        let ranges = &self.external_ranges;
        if !ranges.is_empty() && !ranges.iter().any(|range| range.contains(address)) {
            return Err(Taken::OutOfRange(address));
        }
        if self.cluster.contains_key(&address) {
            return Err(Taken::ClusterAddress(address));
        }
        if self.pods.contains_key(&address) { Err(Taken::PodAddress(address)) } else { Ok(()) }
    }

    fn touch(&self, service: &Service, touched: &mut BTreeSet<Name>) {
        for address in &service.cluster {
            touched.extend(self.external.get(address).into_iter().flatten().cloned());
        }
        for (_, socket) in sockets(service) {
            let claims = self.sockets.get(&socket).into_iter().flatten();
            touched.extend(claims.map(|(_, name)| name.clone()));
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByItself => f.write_str("the service has it already"),
            Self::ByService(holder, Frontend { address, port, protocol, .. }) => {
                let (namespace, name) = &**holder;
                write!(f, "{protocol} {address} port {port} belongs to {namespace}/{name}")
            }
            Self::ClusterAddress(address) => write!(f, "{address} is a cluster address"),
            Self::PodAddress(address) => write!(f, "{address} is a pod's address"),
            Self::OutOfRange(address) => {
                write!(f, "{address} is outside services.external_ip_ranges")
            }
        }
    }
}

/// What a service asks for. What somebody else is asked to proxy is not asked of us.
pub(super) fn sockets(service: &Service) -> impl Iterator<Item = (FrontendKind, Socket)> {
    let ports = service.ports.iter().filter(|_| service.ours);
    let wanted = ports.flat_map(|port| wanted(service, port));
    wanted.map(|(_, it)| (it.kind, (it.address, it.port, it.protocol)))
}
