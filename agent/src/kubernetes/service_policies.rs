//! What a service says of the choice among its endpoints.

use k8s_openapi::{api::core::v1::ServiceSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::problem::Findings;
use crate::model::{Nearness, Topology, TrafficPolicy};

/// How the endpoints of a service are chosen among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policies {
    pub topology: Topology,
    pub internal: TrafficPolicy,
    pub external: TrafficPolicy,
}

impl Policies {
    /// `None` where the service cannot be used.
    pub(super) fn new(
        metadata: &ObjectMeta,
        spec: &ServiceSpec,
        findings: &mut Findings,
    ) -> Option<Self> {
        let internal = spec.internal_traffic_policy.as_deref();
        let internal = policy("spec.internalTrafficPolicy", internal, findings);
        let external = spec.external_traffic_policy.as_deref();
        let external = policy("spec.externalTrafficPolicy", external, findings);
        let annotation = metadata.annotations.as_ref().and_then(|all| all.get(TOPOLOGY_KEYS));
        let keys: Vec<String> = annotation
            .into_iter()
            .flat_map(|text| text.split(','))
            .map(|key| key.trim().to_owned())
            .filter(|key| !key.is_empty())
            .collect();
        let nearness = match spec.traffic_distribution.as_deref() {
            None | Some("") => None,
            Some("PreferClose" | "PreferSameZone") => Some(Nearness::SameZone),
            Some("PreferSameNode") => Some(Nearness::SameNode),
            Some(other) => {
                findings.ignore("spec.trafficDistribution", format!("{other:?} is not known"));
                None
            }
        };
        match spec.session_affinity.as_deref() {
            None | Some("" | "None") => {}
            Some(_) => findings.ignore("spec.sessionAffinity", "there is no session affinity yet"),
        }
        if !keys.is_empty() && external == Some(TrafficPolicy::Local) {
            let reason = "cannot be combined with externalTrafficPolicy: Local";
            return findings.refuse(format!("metadata.annotations[{TOPOLOGY_KEYS}]"), reason);
        }
        let topology =
            if keys.is_empty() { Topology::Hints(nearness) } else { Topology::Keys(keys) };
        Some(Self { topology, internal: internal?, external: external? })
    }
}

fn policy(field: &str, text: Option<&str>, findings: &mut Findings) -> Option<TrafficPolicy> {
    match text {
        None | Some("" | "Cluster") => Some(TrafficPolicy::Cluster),
        Some("Local") => Some(TrafficPolicy::Local),
        Some(other) => findings.refuse(field, format!("{other:?} is neither Cluster nor Local")),
    }
}

const TOPOLOGY_KEYS: &str = "zonegate.io/topology-keys";
