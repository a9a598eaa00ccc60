//! Which backends the clients of a frontend get, by where they are, and what backends see of them.

use serde::{Deserialize, Serialize};

use crate::model::{Forwarding, Frontend, FrontendKind, Service, TrafficPolicy};

/// Frontends of a service that answer alike: each role has a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Role {
    Cluster,
    /// Node and host ports, external addresses, and load balancers that everybody may use.
    External,
    /// Load balancers with source ranges.
    Guarded,
}

/// A list of backends that clients may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum List {
    Cluster,
    Local,
}

/// What one audience gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub list: List,
    /// The source is rewritten.
    pub snat: bool,
}

/// What every audience gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub pods: Share,
    /// This node's own processes.
    pub node: Share,
    pub outside: Share,
}

impl List {
    pub(super) const ALL: [Self; 2] = [Self::Cluster, Self::Local];
}

impl Role {
    pub(super) fn of(frontend: &Frontend, service: &Service) -> Self {
        match frontend.kind {
            FrontendKind::Cluster => Self::Cluster,
            FrontendKind::LoadBalancer if !service.source_ranges.is_empty() => Self::Guarded,
            FrontendKind::NodePort
            | FrontendKind::LoadBalancer
            | FrontendKind::External
            | FrontendKind::HostPort => Self::External,
        }
    }

    /// What clients of these frontends get.
    ///
    /// The external policy `Local` keeps the source that outsiders have, and spares nobody else
    /// the way to another node.
    pub(super) fn shares(self, service: &Service) -> Shares {
        let share = |list, snat| Share { list, snat };
        match (self, service.internal_policy, service.external_policy) {
            (Self::Cluster, policy, _) => {
                let list = match policy {
                    TrafficPolicy::Cluster => List::Cluster,
                    TrafficPolicy::Local => List::Local,
                };
                Shares {
                    pods: share(list, false),
                    node: share(list, true),
                    outside: share(list, true),
                }
            }
            (_, _, TrafficPolicy::Cluster) => {
                let all = share(List::Cluster, true);
                let snat = !self.is_tunnelled(service);
                Shares { pods: all, node: all, outside: Share { snat, ..all } }
            }
            (_, _, TrafficPolicy::Local) => Shares {
                pods: share(List::Cluster, false),
                node: share(List::Cluster, true),
                outside: share(List::Local, false),
            },
        }
    }
}

impl Role {
    /// Whether outsiders reach backends elsewhere through tunnels.
    pub(super) fn is_tunnelled(self, service: &Service) -> bool {
        self != Self::Cluster && service.forwarding == Forwarding::Tunnel
    }
}

impl Shares {
    pub(super) fn all(self) -> [Share; 3] {
        [self.pods, self.node, self.outside]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(internal_policy: TrafficPolicy, external_policy: TrafficPolicy) -> Service {
        Service {
            internal_policy,
            external_policy,
            ..Service::new("shop".into(), Vec::new(), "shop".into())
        }
    }

    #[test]
    fn lists_and_sources_follow_from_policy_and_audience() {
        use TrafficPolicy::{Cluster, Local};
        // A role, the internal and the external policy; what pods, the node and outsiders get:
        // `c`luster or `l`ocal list, `!` where the source is rewritten.
        for (role, internal, external, expected) in [
            (Role::Cluster, Cluster, Cluster, "c c! c!"),
            (Role::Cluster, Cluster, Local, "c c! c!"),
            (Role::Cluster, Local, Cluster, "l l! l!"),
            (Role::Cluster, Local, Local, "l l! l!"),
            (Role::External, Cluster, Cluster, "c! c! c!"),
            (Role::External, Local, Cluster, "c! c! c!"),
            (Role::External, Cluster, Local, "c c! l"),
            (Role::External, Local, Local, "c c! l"),
            (Role::Guarded, Cluster, Cluster, "c! c! c!"),
            (Role::Guarded, Local, Local, "c c! l"),
        ] {
            let shares = role.shares(&service(internal, external)).all().map(|share| {
                let list = if share.list == List::Cluster { "c" } else { "l" };
                format!("{list}{}", if share.snat { "!" } else { "" })
            });
            assert_eq!(shares.join(" "), expected, "{role:?} {internal:?} {external:?}");
        }
    }
}
