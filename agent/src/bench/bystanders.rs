//! Resources that the node has besides those that packets are measured with.

use std::{fmt, net::Ipv4Addr};

use clap::Args;
use serde::Serialize;

use super::{
    options::count,
    services::crowd::{Crowd, MOST_PODS, PODS},
    world::{FAR_CLIENTS, FAR4, OUTSIDER4, WORKLOAD4, admit},
};
use crate::{
    loader::TableSizes,
    model::{AddressSet, Policy, PortRangeError, Prefix, Resource},
};

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize)]
pub struct Bystanders {
    /// Services that nobody calls, with 20 endpoints each
    #[arg(long, default_value = "0", value_name = "COUNT")]
    pub services: u32,
    /// Pods of other nodes, which these endpoints are on and policies admit
    #[arg(long, default_value = "0", value_name = "COUNT")]
    pub pods: u32,
    /// Policies, each of some of the pods and prefixes
    #[arg(long, default_value = "1", value_parser = count, value_name = "COUNT")]
    pub policies: u32,
    /// CIDR prefixes in the policies' peers
    #[arg(long, default_value = "1", value_parser = count, value_name = "COUNT")]
    pub prefixes: u32,
}

impl fmt::Display for Bystanders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { services, pods, policies, prefixes } = self;
        write!(f, "{services} services, {pods} pods, {policies} policies over {prefixes} prefixes")
    }
}

impl Bystanders {
    pub const NONE: Self = Self { services: 0, pods: 0, policies: 1, prefixes: 1 };
    pub const FEW: Self = Self { services: 10, pods: 10, policies: 10, prefixes: 10 };
    pub const MANY: Self =
        Self { services: 50_000, pods: 10_000, policies: 1000, prefixes: 100_000 };

    /// Tables with room for all of it.
    pub fn tables(self) -> TableSizes {
        self.crowd().tables()
    }

    /// All of it, except for the first policy.
    pub fn resources(self) -> Result<Vec<Resource>, PortRangeError> {
        let mut resources: Vec<_> = self.crowd().resources().collect();
        resources.extend((0..self.policies).map(|index| Resource::AddressSet(self.peers(index))));
        for index in 1..self.policies {
            resources.push(Resource::Policy(Self::policy(index)?));
        }
        Ok(resources)
    }

    /// The name of the set that a policy admits.
    pub fn peers_of(policy: u32) -> String {
        format!("peers-{policy}")
    }

    /// How many prefixes are among [`FAR_CLIENTS`], a client in each.
    pub const fn far(self) -> u32 {
        self.prefixes.saturating_sub(1).saturating_sub(NEAR)
    }

    fn crowd(self) -> Crowd {
        // Without pods of their own, services have as many as there is room for.
        let pods = if self.pods == 0 { MOST_PODS } else { self.pods };
        Crowd { services: self.services, endpoints: ENDPOINTS, pods }
    }

    /// Admits some peers to a port of one workload.
    fn policy(index: u32) -> Result<Policy, PortRangeError> {
        let port = FIRST_PORT + index % PORTS;
        let subject = format!("workload-{}", index % abi::bench::SERVERS);
        admit(format!("policy-{index}"), subject, vec![Self::peers_of(index)], port)
    }

    /// What is dealt to a policy of all the prefixes and pods.
    fn peers(self, policy: u32) -> AddressSet {
        let dealt = |count: u32| (policy..count).step_by(self.policies as usize);
        // One prefix is that of the clients.
        let prefixes = dealt(self.prefixes - 1).filter_map(prefix);
        let pods = dealt(self.pods).map(|pod| Prefix::host(Ipv4Addr::from_bits(PODS + pod).into()));
        AddressSet {
            name: Self::peers_of(policy),
            prefixes: prefixes.chain(pods).collect(),
            except: Vec::new(),
        }
    }
}

/// Of each service.
const ENDPOINTS: u32 = 20;
/// So many prefixes are halves of a /24 of the clients' own range, so that looking a client up takes
/// every level of the address table.
const NEAR: u32 = 512;
/// Ports that policies open, none of them one that packets are for.
const FIRST_PORT: u32 = 9000;
const PORTS: u32 = 16;
const _: () = assert!(FIRST_PORT > WORKLOAD4.port() as u32 + 1);

/// Peers that never call: the near ones first, then every second /24 of the far ones.
fn prefix(index: u32) -> Option<Prefix> {
    let (address, length) = match index.checked_sub(NEAR) {
        None => (OUTSIDER4.to_bits() + (index << 8), 25),
        Some(far) => (FAR4.to_bits() + (far << FAR_CLIENTS.spread), 24),
    };
    Prefix::new(ipnet::IpNet::new(Ipv4Addr::from_bits(address).into(), length).ok()?).ok()
}
