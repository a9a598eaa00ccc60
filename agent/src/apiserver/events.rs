//! Events (`events.k8s.io/v1`) on objects that cannot be used, or not all of it.
//!
//! `kubectl describe` shows them with the object, for the hour that the apiserver keeps them.

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::seen::Seen;
use crate::kubernetes::{Effect, Problem};

/// The name of the event about a problem with one form of an object: the same for every agent, and
/// for one that starts again. What becomes of the object may differ, after what each has seen.
pub(super) fn name(problem: &Problem, seen: &Seen) -> String {
    let mut hash = Sha256::new();
    for part in [&*seen.uid, &problem.field, &problem.reason] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(seen.generation.to_be_bytes());
    let hash = hash.finalize();
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_BYTES - hash.len() - 1;
    let object = &problem.object.name;
    let object = object[..object.floor_char_boundary(room)].trim_end_matches(['.', '-']);
    format!("{object}.{hash}")
}

pub(super) fn event(name: &str, problem: &Problem, seen: &Seen, node: &str) -> DynamicObject {
    let key = &problem.object;
    let namespace = match key.namespace.as_str() {
        // Where events about objects of the cluster are.
        "" => "default",
        namespace => namespace,
    };
    let mut regarding = json!({
        "apiVersion": key.kind.api_version(),
        "kind": key.kind.to_string(),
        "name": key.name,
        "uid": seen.uid,
    });
    if !key.namespace.is_empty() {
        regarding["namespace"] = json!(namespace);
    }
    let (reason, mut note) = (reason(problem.effect), note(problem));
    note.truncate(note.floor_char_boundary(NOTE_BYTES));
    DynamicObject::new(name, &resource()).within(namespace).data(json!({
        "eventTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "reportingController": CONTROLLER,
        "reportingInstance": node,
        "action": "Enforce",
        "reason": reason,
        "type": "Warning",
        "regarding": regarding,
        "note": note,
    }))
}

pub(super) fn api(client: Client, event: &DynamicObject) -> Api<DynamicObject> {
    Api::namespaced_with(client, &event.namespace().unwrap_or_default(), &resource())
}

/// What is wrong, where, and what follows at every node.
pub(super) fn note(Problem { field, reason, effect, .. }: &Problem) -> String {
    let colon = if field.is_empty() { "" } else { ": " };
    format!("{field}{colon}{reason} ({})", follows(*effect))
}

/// Whether the object is not used at all, as it is.
pub(super) const fn is_refusal(effect: Effect) -> bool {
    matches!(effect, Effect::LeftOut | Effect::LastFormKept | Effect::PodsIsolated)
}

const fn reason(effect: Effect) -> &'static str {
    match effect {
        Effect::FieldIgnored => "FieldIgnored",
        Effect::RuleFailsClosed => "RuleFailsClosed",
        Effect::LeftOut | Effect::LastFormKept | Effect::PodsIsolated => "Refused",
    }
}

/// Nodes may differ in whether they know an earlier form.
fn follows(effect: Effect) -> String {
    match effect {
        Effect::LastFormKept | Effect::PodsIsolated => {
            "its last accepted form holds, where there was one".to_owned()
        }
        effect => effect.to_string(),
    }
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"))
}

const CONTROLLER: &str = "zonegate.io/agent";
/// A name of DNS (RFC 1123), as names of objects are.
const NAME_BYTES: usize = 253;
/// What an apiserver takes.
const NOTE_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::{ObjectKey, ObjectKind};

    fn problem(reason: &str, effect: Effect) -> Problem {
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        let object = ObjectKey { kind: ObjectKind::NetworkPolicy, namespace, name };
        Problem { object, field: "spec".to_owned(), reason: reason.to_owned(), effect }
    }

    #[test]
    fn an_event_is_the_same_for_every_agent_and_another_for_every_form() {
        let seen = Seen { uid: "u".into(), generation: 1, ..Seen::default() };
        let first = name(&problem("is bad", Effect::LastFormKept), &seen);
        assert_eq!(name(&problem("is bad", Effect::PodsIsolated), &seen), first);
        for (problem, seen) in [
            (problem("is worse", Effect::PodsIsolated), seen.clone()),
            (problem("is bad", Effect::PodsIsolated), Seen { generation: 2, ..seen.clone() }),
            (problem("is bad", Effect::PodsIsolated), Seen { uid: "v".into(), ..seen.clone() }),
        ] {
            assert_ne!(name(&problem, &seen), first);
        }
        let mut long = problem("is bad", Effect::LeftOut);
        long.object.name = "a.".repeat(126);
        let name = name(&long, &seen);
        assert!(name.len() <= NAME_BYTES && !name.contains(".."), "{name}");
    }

    #[test]
    fn a_note_says_what_holds_at_every_node() {
        let kept = note(&problem("is bad", Effect::LastFormKept));
        assert_eq!(kept, note(&problem("is bad", Effect::PodsIsolated)));
        assert_eq!(note(&problem("is bad", Effect::FieldIgnored)), "spec: is bad (ignored)");
        let event =
            event("n", &problem(&"é".repeat(2000), Effect::LeftOut), &Seen::default(), "n1");
        assert!(event.data["note"].as_str().unwrap().len() <= NOTE_BYTES);
    }
}
