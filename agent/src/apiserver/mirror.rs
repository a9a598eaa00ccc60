//! What the kinds say together, through all their changes.

use std::{collections::BTreeMap, mem};

use super::{Read, Seen, seen::condition_type};
use crate::{
    kubernetes::{
        Change, Effect, Object, ObjectError, ObjectKey, ObjectKind, Options, Outcome, Problem,
        Translator,
    },
    model::Resource,
    source_problem::SourceProblem,
};

/// What was heard of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub kind: ObjectKind,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all news are upserts")]
pub enum What {
    /// All objects of the kind; there are no others.
    Listed(Vec<Read>),
    Upsert(Read),
    Remove(ObjectKey),
    /// The kind cannot be followed for now.
    Trouble(String),
    /// The apiserver answers.
    Answered,
}

/// Every kind as it was heard of last.
///
/// Nothing is translated before every kind was listed. An object that cannot be read keeps its
/// last form.
#[derive(Debug)]
pub struct Mirror {
    /// The `Node` that is this machine.
    node: ObjectKey,
    /// That node is to go, or is gone.
    leaving: bool,
    kinds: BTreeMap<ObjectKind, Known>,
    /// Policies of the cluster are not what they were, or not said to be.
    policies_changed: bool,
    changes: Vec<Change>,
    translator: Translator,
}

/// What is known of a kind.
#[derive(Debug, Default)]
struct Known {
    listed: bool,
    /// The objects that are there, readable or not.
    objects: BTreeMap<ObjectKey, Seen>,
    unreadable: BTreeMap<ObjectKey, ObjectError>,
    trouble: Option<String>,
}

impl Mirror {
    /// `node` is the name of the `Node` that is this machine.
    pub fn new(node: String, options: Options) -> Self {
        Self {
            node: ObjectKey { kind: ObjectKind::Node, namespace: String::new(), name: node },
            leaving: false,
            kinds: ObjectKind::ALL.into_iter().map(|kind| (kind, Known::default())).collect(),
            policies_changed: false,
            changes: Vec::new(),
            translator: Translator::new(options),
        }
    }

    pub fn take(&mut self, News { kind, what }: News) {
        match &what {
            What::Listed(objects) if kind == ObjectKind::Node => {
                self.leaving = true;
                for it in objects {
                    self.note_node(&it.object);
                }
            }
            What::Upsert(read) => self.note_node(&read.object),
            What::Remove(key) => self.leaving |= *key == self.node,
            _ => {}
        }
        self.policies_changed |= is_said(kind);
        let known = self.kinds.entry(kind).or_default();
        match what {
            What::Listed(objects) => {
                known.trouble = None;
                known.listed = true;
                let gone = mem::take(&mut known.objects);
                for object in objects {
                    self.changes.extend(known.upsert(object));
                }
                for key in gone.into_keys().filter(|key| !known.objects.contains_key(key)) {
                    known.unreadable.remove(&key);
                    self.changes.push(Change::Remove(key));
                }
            }
            What::Upsert(object) => self.changes.extend(known.upsert(object)),
            What::Remove(key) => {
                known.objects.remove(&key);
                known.unreadable.remove(&key);
                self.changes.push(Change::Remove(key));
            }
            What::Trouble(reason) => known.trouble = Some(reason),
            What::Answered => known.trouble = None,
        }
    }

    fn note_node(&mut self, object: &Result<Object, ObjectError>) {
        if let Ok(object @ Object::Node(node)) = object
            && *object.key() == self.node
        {
            self.leaving = node.is_leaving();
        }
    }

    /// Whether the agent's own node is about to go, or is gone.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The `Node` that is this machine, whether the cluster has it or not.
    pub fn node(&self) -> &ObjectKey {
        &self.node
    }

    /// The kinds that were never listed.
    pub fn missing(&self) -> impl Iterator<Item = ObjectKind> {
        self.kinds.iter().filter(|(_, known)| !known.listed).map(|(kind, _)| *kind)
    }

    /// What is different since the last time; `None` while a kind is missing.
    pub fn translate(&mut self) -> Option<Outcome> {
        if self.missing().next().is_some() {
            return None;
        }
        Some(self.translator.apply(mem::take(&mut self.changes)))
    }

    /// All resources that the objects make.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.translator.resources()
    }

    /// Everything that is wrong now: with kinds, then with objects.
    pub fn problems(&self) -> Vec<SourceProblem> {
        let troubles = self.kinds.iter().filter_map(|(kind, known)| {
            let effect = if known.listed {
                "what was heard of them last holds; it is tried again"
            } else {
                "the node is not ready without them; it is tried again"
            };
            Some(SourceProblem {
                object: plural(*kind),
                reason: known.trouble.clone()?,
                effect: effect.to_owned(),
                ..SourceProblem::default()
            })
        });
        let objects = self.object_problems();
        troubles.chain(self.stranger()).chain(objects.iter().map(SourceProblem::from)).collect()
    }

    /// Everything that is wrong with objects now.
    pub fn object_problems(&self) -> Vec<Problem> {
        let unreadable = self.kinds.values().flat_map(|known| known.unreadable.values());
        let unreadable = unreadable.filter_map(ObjectError::problem);
        let unreadable = unreadable.map(|it| Problem { effect: Effect::LastFormKept, ..it });
        unreadable.chain(self.translator.problems().cloned()).collect()
    }

    /// Who an object is, and what was said of it.
    pub fn seen(&self, key: &ObjectKey) -> Option<&Seen> {
        self.kinds.get(&key.kind)?.objects.get(key)
    }

    /// The agent's own node, if the cluster has it.
    pub fn own_node(&self) -> Option<&Seen> {
        self.seen(&self.node)
    }

    /// The names of all nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        let nodes = self.kinds.get(&ObjectKind::Node).into_iter();
        nodes.flat_map(|nodes| nodes.objects.keys()).map(|key| key.name.as_str())
    }

    /// The policies of the cluster, whose conditions say what becomes of them.
    pub fn policies(&self) -> impl Iterator<Item = (&ObjectKey, &Seen)> {
        let kinds = self.kinds.iter().filter(|(kind, _)| is_said(**kind));
        kinds.flat_map(|(_, known)| known.objects.iter())
    }

    /// Whether anything was heard of these since this was asked last.
    pub fn policies_changed(&mut self) -> bool {
        mem::take(&mut self.policies_changed)
    }

    /// The agent's own node, where the cluster does not have it.
    fn stranger(&self) -> Option<SourceProblem> {
        let nodes = self.kinds.get(&ObjectKind::Node)?;
        (nodes.listed && !nodes.objects.contains_key(&self.node)).then(|| SourceProblem {
            object: self.node.to_string(),
            reason: "this machine is to be that node, which the cluster does not have".to_owned(),
            effect: "nothing is local to this machine; --node names another".to_owned(),
            ..SourceProblem::default()
        })
    }
}

impl Known {
    fn upsert(&mut self, Read { object, seen }: Read) -> Option<Change> {
        match object {
            Ok(object) => {
                self.unreadable.remove(object.key());
                self.objects.insert(object.key().clone(), seen);
                Some(Change::Upsert(object))
            }
            Err(error) => {
                // Whatever has no name cannot be told apart from others of its kind.
                if let ObjectError::Unreadable { key, .. } = &error {
                    self.objects.insert(key.clone(), seen);
                    self.unreadable.insert(key.clone(), error);
                }
                None
            }
        }
    }
}

/// Kinds that agents write conditions of, but for their own nodes.
fn is_said(kind: ObjectKind) -> bool {
    kind != ObjectKind::Node && condition_type(kind).is_some()
}

/// `Pods`, `NetworkPolicies`.
pub(super) fn plural(kind: ObjectKind) -> String {
    let name = kind.to_string();
    match name.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Key, Kind};

    fn object(kind: ObjectKind, namespace: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.to_string(),
            "metadata": {"name": name, "namespace": namespace},
        });
        if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
            object.extend(rest);
        }
        object
    }

    fn parse(document: Value) -> Read {
        Read { object: Object::parse(document), seen: Seen::default() }
    }

    fn pod(name: &str, address: &str) -> Read {
        let rest = json!({"spec": {"nodeName": "n1", "containers": []},
                          "status": {"podIPs": [{"ip": address}]}});
        parse(object(ObjectKind::Pod, "shop", name, rest))
    }

    fn node(name: &str) -> Read {
        parse(object(ObjectKind::Node, "", name, json!({})))
    }

    fn hear(mirror: &mut Mirror, kind: ObjectKind, what: What) {
        mirror.take(News { kind, what });
    }

    /// Every kind was listed, of which there are these pods and the node itself.
    fn synced(pods: Vec<Read>) -> Mirror {
        let mut mirror = Mirror::new("n1".to_owned(), Options::default());
        for kind in ObjectKind::ALL {
            assert_eq!(mirror.translate(), None, "{kind} is missing");
            let objects = match kind {
                ObjectKind::Node => vec![node("n1")],
                ObjectKind::Pod => pods.clone(),
                _ => Vec::new(),
            };
            hear(&mut mirror, kind, What::Listed(objects));
        }
        mirror
    }

    fn workload(name: &str) -> Key {
        Key { kind: Kind::Workload, name: format!("shop/{name}") }
    }

    fn keys(mirror: &Mirror) -> Vec<String> {
        mirror.resources().map(|resource| resource.key().name).collect()
    }

    #[test]
    fn nothing_is_translated_before_every_kind_was_listed() {
        let mut mirror = synced(vec![pod("web", "10.0.0.1")]);
        let outcome = mirror.translate().unwrap();
        assert!(outcome.upserts.iter().any(|it| it.key() == workload("web")), "{outcome:?}");
        assert_eq!(mirror.translate(), Some(Outcome::default()));
    }

    #[test]
    fn what_a_second_list_does_not_have_is_gone() {
        let mut mirror = synced(vec![pod("web", "10.0.0.1"), pod("db", "10.0.0.2")]);
        mirror.translate();
        let again = What::Listed(vec![pod("db", "10.0.0.2"), pod("new", "10.0.0.3")]);
        hear(&mut mirror, ObjectKind::Pod, again);
        let outcome = mirror.translate().unwrap();
        assert_eq!(outcome.removes, [workload("web")]);
        let upserts: Vec<Key> = outcome.upserts.iter().map(Resource::key).collect();
        assert_eq!(upserts, [workload("new")], "what is the same is not told again");
    }

    #[test]
    fn an_apiserver_that_is_lost_takes_nothing_with_it() {
        let mut mirror = synced(vec![pod("web", "10.0.0.1")]);
        mirror.translate();
        let before = keys(&mirror);
        hear(&mut mirror, ObjectKind::Pod, What::Trouble("connection refused".to_owned()));
        assert_eq!(mirror.translate(), Some(Outcome::default()));
        assert_eq!(keys(&mirror), before);
        let [problem] = &mirror.problems()[..] else { panic!("{:?}", mirror.problems()) };
        assert_eq!((&*problem.object, &*problem.reason), ("Pods", "connection refused"));
        assert!(problem.effect.contains("last holds"), "{problem}");
        hear(&mut mirror, ObjectKind::Pod, What::Answered);
        assert_eq!(mirror.problems(), []);
    }

    #[test]
    fn an_object_that_cannot_be_read_keeps_its_form_and_blocks_no_other() {
        let mut mirror = synced(vec![pod("web", "10.0.0.1")]);
        mirror.translate();
        let bad = parse(object(ObjectKind::Pod, "shop", "web", json!({"spec": 7})));
        hear(&mut mirror, ObjectKind::Pod, What::Upsert(bad.clone()));
        hear(&mut mirror, ObjectKind::Pod, What::Upsert(pod("db", "10.0.0.2")));
        mirror.translate();
        assert!(keys(&mirror).contains(&"shop/web".to_owned()), "{:?}", keys(&mirror));
        assert!(keys(&mirror).contains(&"shop/db".to_owned()), "{:?}", keys(&mirror));
        let [problem] = &mirror.problems()[..] else { panic!("{:?}", mirror.problems()) };
        assert!(problem.object.contains("shop/web"), "{problem}");
        hear(&mut mirror, ObjectKind::Pod, What::Listed(vec![bad]));
        assert_eq!(mirror.translate().unwrap().removes, [workload("db")]);
        hear(&mut mirror, ObjectKind::Pod, What::Listed(Vec::new()));
        assert_eq!(mirror.translate().unwrap().removes, [workload("web")]);
        assert_eq!(mirror.problems(), []);
    }

    #[test]
    fn a_node_leaves_that_is_deleted_or_chosen_for_it() {
        let mut mirror = synced(Vec::new());
        assert!(!mirror.is_leaving());
        let own = |metadata: Value, spec: Value| {
            let mut node = object(ObjectKind::Node, "", "n1", json!({"spec": spec}));
            if let (Some(all), Value::Object(more)) = (node["metadata"].as_object_mut(), metadata) {
                all.extend(more);
            }
            parse(node)
        };
        let taint = |key: &str| json!({"taints": [{"key": key, "effect": "NoSchedule"}]});
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        for (metadata, spec, leaving) in [
            (json!({}), taint("ToBeDeletedByClusterAutoscaler"), true),
            (json!({}), taint("DeletionCandidateOfClusterAutoscaler"), false),
            (deleted, json!({}), true),
            (json!({}), json!({"unschedulable": true}), false),
        ] {
            let said = format!("{metadata} {spec}");
            hear(&mut mirror, ObjectKind::Node, What::Upsert(own(metadata, spec)));
            assert_eq!(mirror.is_leaving(), leaving, "{said}");
        }
        hear(&mut mirror, ObjectKind::Node, What::Upsert(node("n2")));
        assert!(!mirror.is_leaving());
        hear(&mut mirror, ObjectKind::Node, What::Listed(vec![node("n2")]));
        assert!(mirror.is_leaving(), "the cluster does not have it");
        hear(&mut mirror, ObjectKind::Node, What::Listed(vec![node("n1")]));
        assert!(!mirror.is_leaving());
    }

    #[test]
    fn a_machine_that_is_no_node_of_the_cluster_is_told_so() {
        let mut mirror = synced(Vec::new());
        assert_eq!(mirror.problems(), []);
        hear(&mut mirror, ObjectKind::Node, What::Listed(vec![node("n2")]));
        let [problem] = &mirror.problems()[..] else { panic!("{:?}", mirror.problems()) };
        assert_eq!(problem.object, "Node \"n1\"");
    }
}
