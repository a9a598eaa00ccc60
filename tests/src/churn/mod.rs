//! A cluster that keeps changing: random operations on its objects, the same ones for a seed.
//!
//! Objects are such as an apiserver takes and ZoneGate can use: of one that cannot be used the
//! last form holds, which does not follow from what there is. Who carries operations out tells
//! the [`Churn`] by [`Churn::done`], so that what was refused changes nothing here.

mod cluster_policies;
pub mod controller;
mod network_policies;
mod nodes;
mod pods;
mod random;
mod services;
mod slices;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::random::Random;

/// A machine of the cluster.
#[derive(Debug, Clone)]
pub struct Machine {
    pub name: String,
    pub addresses: Vec<String>,
    /// Of its pods' addresses, less the last byte.
    pub pods4: String,
    pub pods6: String,
}

/// Something that somebody does to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Creates or changes it, with its status.
    Apply(Value),
    /// Begins to delete a pod: it is there until its kubelet says that it is gone.
    Terminate(Value),
    Delete(Value),
}

/// Operations that belong together, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub name: &'static str,
    pub operations: Vec<Operation>,
}

/// Kind, namespace and name.
type Id = (String, String, String);

pub struct Churn {
    random: Random,
    machines: Vec<Machine>,
    /// What is there, as it was applied.
    objects: BTreeMap<Id, Value>,
    terminating: BTreeSet<Id>,
    /// Pods so far: no two have the same name.
    pods: u32,
}

impl Churn {
    pub fn new(seed: u64, machines: Vec<Machine>) -> Self {
        let random = Random::new(seed);
        Self { random, machines, objects: BTreeMap::new(), terminating: BTreeSet::new(), pods: 0 }
    }

    /// What happens next; nothing where that is not possible now.
    pub fn step(&mut self) -> Option<Step> {
        let of = |name, operations| Some(Step { name, operations });
        let one = |name, operation: Operation| of(name, vec![operation]);
        match self.random.weighted(&WEIGHTS) {
            "pod created" => one("pod created", Operation::Apply(self.new_pod()?)),
            "pod labelled" => one("pod labelled", Operation::Apply(self.labelled_pod()?)),
            "pod status" => one("pod status", Operation::Apply(self.pod_with_status()?)),
            "pod terminates" => one("pod terminates", Operation::Terminate(self.running_pod()?)),
            "pod gone" => one("pod gone", Operation::Delete(self.terminating_pod()?)),
            "pod deleted" => one("pod deleted", Operation::Delete(self.any("Pod")?)),
            "service" => of("service", self.service()?),
            "service deleted" => one("service deleted", Operation::Delete(self.any("Service")?)),
            "slice" => one("slice", Operation::Apply(self.slice()?)),
            "slice deleted" => one("slice deleted", Operation::Delete(self.any("EndpointSlice")?)),
            "policy" => one("policy", Operation::Apply(self.network_policy()?)),
            "policy deleted" => {
                one("policy deleted", Operation::Delete(self.any("NetworkPolicy")?))
            }
            "cluster policy" => one("cluster policy", Operation::Apply(self.cluster_policy())),
            "cluster policy deleted" => {
                let kind = self.random.pick(&cluster_policies::KINDS);
                one("cluster policy deleted", Operation::Delete(self.any(kind)?))
            }
            "namespace" => one("namespace", Operation::Apply(self.namespace())),
            "namespace deleted" => of("namespace deleted", self.namespace_deleted()?),
            "node" => one("node", Operation::Apply(self.node())),
            _ => one("node deleted", Operation::Delete(self.any("Node")?)),
        }
    }

    /// The operation was carried out.
    pub fn done(&mut self, operation: &Operation) {
        match operation {
            Operation::Apply(object) => drop(self.objects.insert(id(object), object.clone())),
            Operation::Terminate(object) if object["spec"]["nodeName"].is_string() => {
                self.terminating.insert(id(object));
            }
            Operation::Terminate(object) | Operation::Delete(object) => {
                self.objects.remove(&id(object));
                self.terminating.remove(&id(object));
            }
        }
    }

    /// What there is, such that everything can be deleted in this order.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        let is_namespace = |object: &&Value| object["kind"] == "Namespace";
        let namespaces = self.objects.values().filter(is_namespace);
        self.objects.values().filter(move |it| !is_namespace(it)).chain(namespaces)
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.objects.iter().filter(|((it, ..), _)| it == kind).map(|(_, it)| it.clone()).collect()
    }

    fn any(&mut self, kind: &str) -> Option<Value> {
        let all = self.of_kind(kind);
        self.random.pick_any(&all)
    }

    fn held(&self, object: &Value) -> Option<&Value> {
        self.objects.get(&id(object))
    }

    fn some_namespace(&mut self) -> Option<String> {
        let namespace = self.any("Namespace")?;
        namespace["metadata"]["name"].as_str().map(str::to_owned)
    }

    fn namespace(&mut self) -> Value {
        let name = self.random.pick(&NAMESPACES);
        let labels = self.random.labels();
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": labels },
        })
    }

    /// Its objects first: there is no kubelet that would see to the pods.
    fn namespace_deleted(&mut self) -> Option<Vec<Operation>> {
        let namespace = self.any("Namespace")?;
        let name = namespace["metadata"]["name"].as_str()?;
        let inside = self.objects.iter().filter(|((_, of, _), _)| of == name);
        let inside = inside.map(|(_, object)| object.clone());
        Some(inside.chain([namespace.clone()]).map(Operation::Delete).collect())
    }
}

fn id(object: &Value) -> Id {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    (text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}

const NAMESPACES: [&str; 4] = ["north", "south", "east", "west"];

/// How often what happens, in proportion.
const WEIGHTS: [(&str, u32); 18] = [
    ("pod created", 90),
    ("pod labelled", 60),
    ("pod status", 90),
    ("pod terminates", 40),
    ("pod gone", 45),
    ("pod deleted", 15),
    ("service", 130),
    ("service deleted", 20),
    ("slice", 40),
    ("slice deleted", 12),
    ("policy", 90),
    ("policy deleted", 45),
    ("cluster policy", 50),
    ("cluster policy deleted", 25),
    ("namespace", 25),
    ("namespace deleted", 2),
    ("node", 40),
    ("node deleted", 8),
];
