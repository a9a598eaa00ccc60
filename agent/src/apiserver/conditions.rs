//! Conditions that agents write into the status of objects, by server-side apply: what others have
//! written there stays theirs.

use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{
    events::{is_refusal, note},
    seen::{Condition, Seen, condition_type},
};
use crate::kubernetes::{ObjectKey, ObjectKind, Problem};

/// What is to be said of a policy of the cluster, of which these are the problems.
pub(super) fn of_policy<'p>(problems: impl Iterator<Item = &'p Problem>, seen: &Seen) -> Condition {
    let problems: Vec<&Problem> = problems.collect();
    let refused = problems.iter().any(|problem| is_refusal(problem.effect));
    let (reason, message) = match problems.as_slice() {
        [] => ("Accepted", "all of it is used".to_owned()),
        some => {
            let mut message = some.iter().map(|it| note(it)).collect::<Vec<_>>().join("; ");
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            (if refused { "Refused" } else { "PartlyAccepted" }, message)
        }
    };
    let holds = !refused;
    let before = seen.condition.as_ref().filter(|it| it.holds == holds);
    Condition {
        holds,
        reason: reason.to_owned(),
        message,
        generation: seen.generation,
        since: before.map_or_else(now, |it| it.since.clone()),
    }
}

/// Has the object's status say so.
pub(super) async fn write(
    api: &Api<DynamicObject>,
    key: &ObjectKey,
    condition: &Condition,
) -> kube::Result<()> {
    let Condition { holds, reason, message, generation, since } = condition;
    let mut entry = json!({
        "type": condition_type(key.kind),
        "status": if *holds { "True" } else { "False" },
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    });
    if key.kind == ObjectKind::Node {
        entry["lastHeartbeatTime"] = json!(now());
    } else {
        entry["observedGeneration"] = json!(generation);
    }
    let patch = json!({
        "apiVersion": key.kind.api_version(),
        "kind": key.kind.to_string(),
        "metadata": { "name": key.name },
        "status": { "conditions": [entry] },
    });
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch_status(&key.name, &parameters, &Patch::Apply(&patch)).await.map(drop)
}

/// As conditions have times.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const MANAGER: &str = "zonegate";
const MESSAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Effect;

    #[test]
    fn a_policy_is_accepted_partly_or_refused() {
        let object = ObjectKey {
            kind: ObjectKind::ClusterNetworkPolicy,
            namespace: String::new(),
            name: "p".to_owned(),
        };
        let problem = |effect| Problem {
            object: object.clone(),
            field: "spec.ingress[0]".to_owned(),
            reason: "is unknown".to_owned(),
            effect,
        };
        let mut seen = Seen { generation: 4, ..Seen::default() };
        for (effects, holds, reason) in [
            (&[][..], true, "Accepted"),
            (&[Effect::FieldIgnored, Effect::RuleFailsClosed], true, "PartlyAccepted"),
            (&[Effect::PodsIsolated], false, "Refused"),
        ] {
            let problems: Vec<_> = effects.iter().map(|it| problem(*it)).collect();
            let condition = of_policy(problems.iter(), &seen);
            assert_eq!((condition.holds, &*condition.reason), (holds, reason));
            assert_eq!(condition.generation, 4);
            assert_eq!(condition.message.matches("is unknown").count(), effects.len());
        }
        let since = "2020-01-01T00:00:00Z".to_owned();
        let before = Condition { since: since.clone(), ..of_policy([].iter(), &seen) };
        seen.condition = Some(Box::new(before));
        assert_eq!(of_policy([problem(Effect::FieldIgnored)].iter(), &seen).since, since);
        assert_ne!(of_policy([problem(Effect::PodsIsolated)].iter(), &seen).since, since);
    }
}
