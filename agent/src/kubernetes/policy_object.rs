//! Policy objects of all kinds, and what is left of those that cannot be used.

use serde_json::Value;

use super::{
    Effect, ObjectKey, ObjectKind, Problem, admin_policy, cluster_policy, cluster_rules,
    draft::Draft, network_policy, problem::Findings,
};

/// A policy as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyObject {
    pub(super) key: ObjectKey,
    pub(super) form: Form,
    findings: Findings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Usable(Draft),
    Refused {
        /// Isolates the pods that the object selects; `None` where these cannot be told.
        isolation: Option<Draft>,
    },
}

/// Reads the policy object of `key`, whose kind is a policy's.
pub(super) fn parse(key: ObjectKey, document: &Value) -> PolicyObject {
    let mut findings = Findings::default();
    let draft = match key.kind {
        ObjectKind::NetworkPolicy => network_policy::draft(&key, document, &mut findings),
        ObjectKind::ClusterNetworkPolicy => cluster_policy::draft(&key, document, &mut findings),
        _ => admin_policy::draft(&key, document, &mut findings),
    };
    let form = match draft {
        Some(draft) if !findings.refused() => Form::Usable(draft),
        _ => Form::Refused {
            isolation: match key.kind {
                ObjectKind::NetworkPolicy => network_policy::isolation(&key, document),
                _ => cluster_rules::isolation(&key, document),
            },
        },
    };
    PolicyObject { key, form, findings }
}

impl PolicyObject {
    pub(super) fn problems(&self, refused: Effect) -> Vec<Problem> {
        self.findings.problems(&self.key, refused)
    }
}
