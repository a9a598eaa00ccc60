//! Services as messages.

use proto::v1::{self, frontend, service};

use super::{
    from_proto::{prefix, problems, protocol},
    problems::Problems,
    to_proto::{protocol_to_proto, texts},
};
use crate::{
    model::{
        Affinity, Forwarding, Frontend, FrontendKind, Kind, Nearness, Scope, Service, Spill,
        Topology, TrafficPolicy,
    },
    refusal::Refusal,
};

pub(super) fn from_proto(message: v1::Service) -> Result<Service, Vec<Refusal>> {
    let mut problems = problems(Kind::Service, &message.name);
    problems.features(&message.required_features);
    let nearness = problems.enumeration(
        "traffic_distribution",
        message.traffic_distribution,
        |distribution| match distribution {
            service::TrafficDistribution::Unspecified => Some(None),
            service::TrafficDistribution::PreferSameZone => Some(Some(Nearness::SameZone)),
            service::TrafficDistribution::PreferSameNode => Some(Some(Nearness::SameNode)),
        },
    );
    let preference = problems.list("preference", message.preference, scope);
    let topology = topology(
        &mut problems,
        nearness.unwrap_or_default(),
        message.topology_keys,
        preference,
        message.zone_spill,
    );
    let internal = message.internal_traffic_policy;
    let internal_policy = policy(&mut problems, "internal_traffic_policy", internal);
    let external = message.external_traffic_policy;
    let external_policy = policy(&mut problems, "external_traffic_policy", external);
    let port = message.health_check_node_port;
    let health_check_port =
        (port != 0).then(|| problems.port("health_check_node_port", port)).flatten();
    let affinity = message.client_affinity.map(|it| affinity(&mut problems, it));
    let forwarding = problems.enumeration("forwarding", message.forwarding, |mode| match mode {
        service::Forwarding::Unspecified | service::Forwarding::Nat => Some(Forwarding::Nat),
        service::Forwarding::Tunnel => Some(Forwarding::Tunnel),
    });
    let service = Service {
        name: message.name,
        frontends: problems.list("frontends", message.frontends, frontend),
        backend_set: message.backend_set,
        topology,
        internal_policy,
        external_policy,
        source_ranges: problems.list("source_ranges", message.source_ranges, prefix),
        health_check_port,
        affinity,
        forwarding: forwarding.unwrap_or_default(),
        node: message.node,
    };
    problems.finish(Some(service))
}

pub(super) fn to_proto(service: &Service) -> v1::Service {
    let mut message = v1::Service {
        name: service.name.clone(),
        frontends: service.frontends.iter().map(frontend_to_proto).collect(),
        backend_set: service.backend_set.clone(),
        internal_traffic_policy: policy_to_proto(service.internal_policy).into(),
        external_traffic_policy: policy_to_proto(service.external_policy).into(),
        source_ranges: texts(&service.source_ranges),
        health_check_node_port: service.health_check_port.map_or(0, u32::from),
        client_affinity: service
            .affinity
            .map(|Affinity { timeout }| v1::ClientAffinity { timeout_seconds: timeout }),
        forwarding: match service.forwarding {
            Forwarding::Nat => service::Forwarding::Nat,
            Forwarding::Tunnel => service::Forwarding::Tunnel,
        }
        .into(),
        node: service.node.clone(),
        ..v1::Service::default()
    };
    match &service.topology {
        Topology::Hints(nearness) => {
            message.traffic_distribution = match nearness {
                None => service::TrafficDistribution::Unspecified,
                Some(Nearness::SameZone) => service::TrafficDistribution::PreferSameZone,
                Some(Nearness::SameNode) => service::TrafficDistribution::PreferSameNode,
            }
            .into();
        }
        Topology::Keys(keys) => message.topology_keys.clone_from(keys),
        Topology::Scopes(scopes) => {
            message.preference = scopes.iter().map(|it| scope_to_proto(*it).into()).collect();
        }
        Topology::Spill(Spill { factor, clients }) => {
            let clients = clients.clone().into_iter().collect();
            message.zone_spill = Some(v1::ZoneSpill { factor: *factor, clients });
        }
    }
    message
}

/// At most one of the ways to choose may be asked for.
fn topology(
    problems: &mut Problems,
    nearness: Option<Nearness>,
    keys: Vec<String>,
    preference: Vec<Scope>,
    spill: Option<v1::ZoneSpill>,
) -> Topology {
    if let Some(v1::ZoneSpill { factor, clients }) = spill {
        for (field, given) in [
            ("topology_keys", !keys.is_empty()),
            ("traffic_distribution", nearness.is_some()),
            ("preference", !preference.is_empty()),
        ] {
            if given {
                problems.add(field, "cannot be combined with zone_spill");
            }
        }
        let factor = if factor == 0 { Spill::FACTOR } else { factor };
        if !Spill::FACTORS.contains(&factor) {
            problems.add("zone_spill.factor", format!("{factor} is not within 1000 and 100000"));
        }
        let spill = Spill { factor, clients: clients.into_iter().collect() };
        if spill.knows_no_clients() {
            problems.add("zone_spill.clients", "no zone has a weight above 0");
        }
        return Topology::Spill(spill);
    }
    for (field, given) in
        [("topology_keys", !keys.is_empty()), ("traffic_distribution", nearness.is_some())]
    {
        if given && !preference.is_empty() {
            problems.add(field, "cannot be combined with preference");
        }
    }
    if nearness.is_some() && !keys.is_empty() {
        problems.add("traffic_distribution", "cannot be combined with topology_keys");
    }
    match (keys.is_empty(), preference.is_empty()) {
        (_, false) => Topology::Scopes(preference),
        (false, true) => Topology::Keys(keys),
        (true, true) => Topology::Hints(nearness),
    }
}

fn affinity(problems: &mut Problems, message: v1::ClientAffinity) -> Affinity {
    let timeout = match message.timeout_seconds {
        0 => Affinity::TIMEOUT,
        seconds => seconds,
    };
    if !Affinity::TIMEOUTS.contains(&timeout) {
        let field = "client_affinity.timeout_seconds";
        problems.add(field, format!("{timeout} is not within 1 and 86400"));
    }
    Affinity { timeout }
}

fn policy(problems: &mut Problems, field: &str, number: i32) -> TrafficPolicy {
    let policy = problems.enumeration(field, number, |policy| match policy {
        service::TrafficPolicy::Unspecified | service::TrafficPolicy::Cluster => {
            Some(TrafficPolicy::Cluster)
        }
        service::TrafficPolicy::Local => Some(TrafficPolicy::Local),
    });
    policy.unwrap_or_default()
}

fn policy_to_proto(policy: TrafficPolicy) -> service::TrafficPolicy {
    match policy {
        TrafficPolicy::Cluster => service::TrafficPolicy::Cluster,
        TrafficPolicy::Local => service::TrafficPolicy::Local,
    }
}

fn scope(problems: &mut Problems, path: String, number: i32) -> Option<Scope> {
    problems.enumeration(path, number, |scope| match scope {
        v1::Scope::Unspecified => None,
        v1::Scope::Node => Some(Scope::Node),
        v1::Scope::Zone => Some(Scope::Zone),
        v1::Scope::Region => Some(Scope::Region),
        v1::Scope::Any => Some(Scope::Any),
    })
}

fn scope_to_proto(scope: Scope) -> v1::Scope {
    match scope {
        Scope::Node => v1::Scope::Node,
        Scope::Zone => v1::Scope::Zone,
        Scope::Region => v1::Scope::Region,
        Scope::Any => v1::Scope::Any,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as Problems::list calls it")]
fn frontend(problems: &mut Problems, path: String, message: v1::Frontend) -> Option<Frontend> {
    let address = problems.address(format!("{path}.address"), &message.address);
    let port = problems.port(format!("{path}.port"), message.port);
    let protocol = protocol(problems, format!("{path}.protocol"), message.protocol);
    let kind = problems.enumeration(format!("{path}.kind"), message.kind, |kind| match kind {
        frontend::Kind::Unspecified | frontend::Kind::Cluster => Some(FrontendKind::Cluster),
        frontend::Kind::NodePort => Some(FrontendKind::NodePort),
        frontend::Kind::LoadBalancer => Some(FrontendKind::LoadBalancer),
        frontend::Kind::External => Some(FrontendKind::External),
        frontend::Kind::HostPort => Some(FrontendKind::HostPort),
    });
    Some(Frontend { kind: kind?, address: address?, port: port?, protocol: protocol? })
}

fn frontend_to_proto(frontend: &Frontend) -> v1::Frontend {
    v1::Frontend {
        address: frontend.address.to_string(),
        port: frontend.port.into(),
        protocol: protocol_to_proto(frontend.protocol).into(),
        kind: kind_to_proto(frontend.kind).into(),
    }
}

pub(super) fn kind_to_proto(kind: FrontendKind) -> frontend::Kind {
    match kind {
        FrontendKind::Cluster => frontend::Kind::Cluster,
        FrontendKind::NodePort => frontend::Kind::NodePort,
        FrontendKind::LoadBalancer => frontend::Kind::LoadBalancer,
        FrontendKind::External => frontend::Kind::External,
        FrontendKind::HostPort => frontend::Kind::HostPort,
    }
}
