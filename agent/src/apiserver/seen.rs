//! What objects say beside their content: who they are, and what agents have said of them.

use kube::{ResourceExt, api::DynamicObject};

use super::kinds::is_optional;
use crate::kubernetes::{Object, ObjectError, ObjectKind};

/// An object as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub object: Result<Object, ObjectError>,
    pub seen: Seen,
}

/// What is kept of an object for speaking of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub uid: Box<str>,
    /// Counts the forms of the specification; 0 where the kind has none.
    pub generation: i64,
    /// What agents have said of it last.
    pub condition: Option<Box<Condition>>,
    /// Of a node: where in `spec.taints` [`STARTUP_TAINT`] is.
    pub startup_taint: Option<usize>,
}

/// A condition in an object's status (`metav1.Condition`), but for its type, which follows from
/// the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub holds: bool,
    pub reason: String,
    pub message: String,
    /// The generation that it is about; 0 where the kind's conditions do not say.
    pub generation: i64,
    /// Since when it is as it is, as the apiserver has it.
    pub since: String,
}

impl Seen {
    pub fn of(kind: ObjectKind, object: &DynamicObject) -> Self {
        let taints = object.data["spec"]["taints"].as_array();
        let taints = taints.filter(|_| kind == ObjectKind::Node);
        Self {
            uid: object.uid().unwrap_or_default().into(),
            generation: object.metadata.generation.unwrap_or_default(),
            condition: condition_type(kind).and_then(|it| condition(object, it)).map(Box::new),
            startup_taint: taints
                .and_then(|all| all.iter().position(|taint| taint["key"] == STARTUP_TAINT)),
        }
    }
}

impl Condition {
    /// Whether two say the same, whenever they did.
    pub fn says(&self, other: &Self) -> bool {
        (self.holds, &self.reason, &self.message, self.generation)
            == (other.holds, &other.reason, &other.message, other.generation)
    }
}

/// The condition that agents write into the status of a kind, if they do.
pub(super) fn condition_type(kind: ObjectKind) -> Option<&'static str> {
    match kind {
        ObjectKind::Node => Some("ZoneGateReady"),
        kind => is_optional(kind).then_some("zonegate.io/Accepted"),
    }
}

fn condition(object: &DynamicObject, kind: &str) -> Option<Condition> {
    let all = object.data["status"]["conditions"].as_array()?;
    let it = all.iter().find(|it| it["type"] == kind)?;
    let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
    Some(Condition {
        holds: it["status"] == "True",
        reason: text("reason"),
        message: text("message"),
        generation: it["observedGeneration"].as_i64().unwrap_or_default(),
        since: text("lastTransitionTime"),
    })
}

/// Keeps pods from a node until an agent has made it ready, where the kubelet registers with it
/// (`--register-with-taints`).
pub(super) const STARTUP_TAINT: &str = "zonegate.io/agent-not-ready";
