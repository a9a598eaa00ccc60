//! What the kinds say together, through all their changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use crate::{
    kubernetes::{
        Change, Object, ObjectError, ObjectKey, ObjectKind, Options, Outcome, Translator,
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
    Listed(Vec<Result<Object, ObjectError>>),
    Upsert(Result<Object, ObjectError>),
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
    /// The name of the `Node` that is this machine.
    node: String,
    kinds: BTreeMap<ObjectKind, Known>,
    changes: Vec<Change>,
    translator: Translator,
}

/// What is known of a kind.
#[derive(Debug, Default)]
struct Known {
    listed: bool,
    /// The objects that are there, readable or not.
    objects: BTreeSet<ObjectKey>,
    unreadable: BTreeMap<ObjectKey, ObjectError>,
    trouble: Option<String>,
}

impl Mirror {
    pub fn new(node: String, options: Options) -> Self {
        Self {
            node,
            kinds: ObjectKind::ALL.into_iter().map(|kind| (kind, Known::default())).collect(),
            changes: Vec::new(),
            translator: Translator::new(options),
        }
    }

    pub fn take(&mut self, News { kind, what }: News) {
        let known = self.kinds.entry(kind).or_default();
        match what {
            What::Listed(objects) => {
                known.trouble = None;
                known.listed = true;
                let gone = mem::take(&mut known.objects);
                for object in objects {
                    self.changes.extend(known.upsert(object));
                }
                for key in gone.difference(&known.objects) {
                    known.unreadable.remove(key);
                    self.changes.push(Change::Remove(key.clone()));
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
        let unreadable = self.kinds.values().flat_map(|known| known.unreadable.values());
        let unreadable = unreadable.map(|error| SourceProblem {
            reason: error.to_string(),
            effect: "its last form holds, if it had one".to_owned(),
            ..SourceProblem::default()
        });
        let translated = self.translator.problems().map(SourceProblem::from);
        troubles.chain(self.stranger()).chain(unreadable).chain(translated).collect()
    }

    /// The agent's own node, where the cluster does not have it.
    fn stranger(&self) -> Option<SourceProblem> {
        let nodes = self.kinds.get(&ObjectKind::Node)?;
        let (kind, name) = (ObjectKind::Node, self.node.clone());
        let key = ObjectKey { kind, namespace: String::new(), name };
        (nodes.listed && !nodes.objects.contains(&key)).then(|| SourceProblem {
            object: key.to_string(),
            reason: "this machine is to be that node, which the cluster does not have".to_owned(),
            effect: "nothing is local to this machine; --node names another".to_owned(),
            ..SourceProblem::default()
        })
    }
}

impl Known {
    fn upsert(&mut self, object: Result<Object, ObjectError>) -> Option<Change> {
        match object {
            Ok(object) => {
                self.unreadable.remove(object.key());
                self.objects.insert(object.key().clone());
                Some(Change::Upsert(object))
            }
            Err(error) => {
                // Whatever has no name cannot be told apart from others of its kind.
                if let ObjectError::Unreadable { key, .. } = &error {
                    self.objects.insert(key.clone());
                    self.unreadable.insert(key.clone(), error);
                }
                None
            }
        }
    }
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

    fn pod(name: &str, address: &str) -> Result<Object, ObjectError> {
        let rest = json!({"spec": {"nodeName": "n1", "containers": []},
                          "status": {"podIPs": [{"ip": address}]}});
        Object::parse(object(ObjectKind::Pod, "shop", name, rest))
    }

    fn node(name: &str) -> Result<Object, ObjectError> {
        Object::parse(object(ObjectKind::Node, "", name, json!({})))
    }

    fn hear(mirror: &mut Mirror, kind: ObjectKind, what: What) {
        mirror.take(News { kind, what });
    }

    /// Every kind was listed, of which there are these pods and the node itself.
    fn synced(pods: Vec<Result<Object, ObjectError>>) -> Mirror {
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
        let bad = Object::parse(object(ObjectKind::Pod, "shop", "web", json!({"spec": 7})));
        hear(&mut mirror, ObjectKind::Pod, What::Upsert(bad.clone()));
        hear(&mut mirror, ObjectKind::Pod, What::Upsert(pod("db", "10.0.0.2")));
        mirror.translate();
        assert!(keys(&mirror).contains(&"shop/web".to_owned()), "{:?}", keys(&mirror));
        assert!(keys(&mirror).contains(&"shop/db".to_owned()), "{:?}", keys(&mirror));
        let [problem] = &mirror.problems()[..] else { panic!("{:?}", mirror.problems()) };
        assert!(problem.reason.contains("shop/web"), "{problem}");
        hear(&mut mirror, ObjectKind::Pod, What::Listed(vec![bad]));
        assert_eq!(mirror.translate().unwrap().removes, [workload("db")]);
        hear(&mut mirror, ObjectKind::Pod, What::Listed(Vec::new()));
        assert_eq!(mirror.translate().unwrap().removes, [workload("web")]);
        assert_eq!(mirror.problems(), []);
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
