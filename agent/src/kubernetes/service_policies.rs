//! What a service says of the choice among its endpoints.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ServiceSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{nodes::decimal, problem::Findings};
use crate::model::{Affinity, Forwarding, Nearness, Spill, Topology, TrafficPolicy};

/// How the endpoints of a service are chosen among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policies {
    pub topology: Topology,
    pub internal: TrafficPolicy,
    pub external: TrafficPolicy,
    pub affinity: Option<Affinity>,
    pub forwarding: Forwarding,
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
        let affinity = match affinity(spec) {
            Ok(affinity) => affinity,
            Err((field, reason)) => return findings.refuse(field, reason),
        };
        if !keys.is_empty() && external == Some(TrafficPolicy::Local) {
            let reason = "cannot be combined with externalTrafficPolicy: Local";
            return findings.refuse(format!("metadata.annotations[{TOPOLOGY_KEYS}]"), reason);
        }
        let spill = spill(metadata).and_then(|spill| match spill {
            Some(_) if !keys.is_empty() => {
                Err((ZONE_SPILL, format!("cannot be combined with {TOPOLOGY_KEYS}")))
            }
            spill => Ok(spill),
        });
        let spill = match spill {
            Ok(spill) => spill,
            Err((name, reason)) => {
                return findings.refuse(format!("metadata.annotations[{name}]"), reason);
            }
        };
        let topology = match spill {
            Some(spill) => {
                if nearness.is_some() {
                    let reason = format!("{ZONE_SPILL} takes its place");
                    findings.ignore("spec.trafficDistribution", reason);
                }
                Topology::Spill(spill)
            }
            None if keys.is_empty() => Topology::Hints(nearness),
            None => Topology::Keys(keys),
        };
        let forwarding = forwarding(metadata, findings);
        Some(Self { topology, internal: internal?, external: external?, affinity, forwarding })
    }
}

/// What cannot be read is the default: clients are served either way.
fn forwarding(metadata: &ObjectMeta, findings: &mut Findings) -> Forwarding {
    let annotation = metadata.annotations.as_ref().and_then(|all| all.get(FORWARDING));
    match annotation.map(|text| text.trim()) {
        None | Some("" | "nat") => Forwarding::Nat,
        Some("dsr") => Forwarding::Tunnel,
        Some(other) => {
            let reason = format!("{other:?} is neither nat nor dsr");
            findings.ignore(format!("metadata.annotations[{FORWARDING}]"), reason);
            Forwarding::Nat
        }
    }
}

fn policy(field: &str, text: Option<&str>, findings: &mut Findings) -> Option<TrafficPolicy> {
    match text {
        None | Some("" | "Cluster") => Some(TrafficPolicy::Cluster),
        Some("Local") => Some(TrafficPolicy::Local),
        Some(other) => findings.refuse(field, format!("{other:?} is neither Cluster nor Local")),
    }
}

/// Whether clients stay with an endpoint. An error is the field that cannot be used, and why.
fn affinity(spec: &ServiceSpec) -> Result<Option<Affinity>, (&'static str, String)> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            let reason = format!("{other:?} is neither ClientIP nor None");
            return Err(("spec.sessionAffinity", reason));
        }
    }
    let config = spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|it| it.client_ip.as_ref()?.timeout_seconds);
    let Some(seconds) = seconds else { return Ok(Some(Affinity { timeout: Affinity::TIMEOUT })) };
    match u32::try_from(seconds) {
        Ok(timeout) if Affinity::TIMEOUTS.contains(&timeout) => Ok(Some(Affinity { timeout })),
        _ => Err((
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            format!("{seconds} is not within 1 and 86400"),
        )),
    }
}

/// What the annotations say of zones; it goes before hints and `trafficDistribution`. An error is
/// the annotation that cannot be used, and why.
fn spill(metadata: &ObjectMeta) -> Result<Option<Spill>, (&'static str, String)> {
    let annotation =
        |name| metadata.annotations.as_ref().and_then(|all| all.get(name)).map(|it| it.trim());
    let factor = match annotation(ZONE_SPILL) {
        None | Some("false") => return Ok(None),
        Some("" | "true") => Spill::FACTOR,
        Some(text) => match decimal(text).and_then(|it| u32::try_from(it).ok()) {
            Some(factor) if Spill::FACTORS.contains(&factor) => factor,
            _ => {
                let reason = format!("{text:?} is no factor from 1 to 100, such as 1.2");
                return Err((ZONE_SPILL, reason));
            }
        },
    };
    let mut clients = BTreeMap::new();
    for pair in annotation(ZONE_CLIENTS).unwrap_or_default().split(',').map(str::trim) {
        if pair.is_empty() {
            continue;
        }
        let parsed = pair.split_once('=').and_then(|(zone, weight)| {
            Some((zone.trim(), decimal(weight.trim())?)).filter(|(zone, _)| !zone.is_empty())
        });
        let Some((zone, weight)) = parsed else {
            let reason = format!("{pair:?} is no zone with a weight, such as zone-a=3");
            return Err((ZONE_CLIENTS, reason));
        };
        clients.insert(zone.to_owned(), weight);
    }
    let spill = Spill { factor, clients };
    if spill.knows_no_clients() {
        return Err((ZONE_CLIENTS, "no zone has a weight above 0".to_owned()));
    }
    Ok(Some(spill))
}

const FORWARDING: &str = "zonegate.io/forwarding";
const TOPOLOGY_KEYS: &str = "zonegate.io/topology-keys";
const ZONE_SPILL: &str = "zonegate.io/zone-spill";
const ZONE_CLIENTS: &str = "zonegate.io/zone-clients";
