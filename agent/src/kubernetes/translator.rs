//! What is known of the cluster, and what changes with it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Effect, Object, ObjectKey, ObjectKind, PolicyObject, Problem, ServiceObject,
    balancing::{Balancing, Name},
    cluster::Cluster,
    draft::Draft,
    host_ports::HostPorts,
    pods::Pod,
    policy_object::Form,
    pool::{PoolId, SetRef},
    problem::{Findings, note},
    render::{self, Rendered},
};
use crate::model::{Key, Kind, Prefix, Resource};

/// How to translate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `spec.externalIPs` may be in these only; none is anywhere.
    pub external_ip_ranges: Vec<Prefix>,
}

/// One change of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all changes are upserts")]
pub enum Change {
    /// The object is new, or as it is now.
    Upsert(Object),
    Remove(ObjectKey),
}

/// What follows from changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Resources that are new or not what they were; with `removes`, they refer only to what is
    /// there after all of it, so both belong in one transaction. In the order of their keys.
    pub upserts: Vec<Resource>,
    pub removes: Vec<Key>,
    /// Of the objects that were upserted.
    pub problems: Vec<Problem>,
}

/// Translates changes of a cluster into changes of resources.
///
/// The resources after any changes depend on the last form of each object alone, not on the
/// order of changes; but for a policy or service that cannot be used, on its last usable form too.
#[derive(Debug, Default)]
pub struct Translator {
    cluster: Cluster,
    policies: BTreeMap<ObjectKey, Standing>,
    /// How many policies name a set.
    uses: BTreeMap<SetRef, usize>,
    given: BTreeMap<Key, Resource>,
    balancing: Balancing,
    host_ports: HostPorts,
    problems: BTreeMap<ObjectKey, Vec<Problem>>,
    /// Of pods and services, the addresses that are another one's.
    conflicts: BTreeMap<ObjectKey, Vec<Problem>>,
}

/// Where a policy object stands.
#[derive(Debug, Default)]
struct Standing {
    /// The last form that could be used.
    accepted: Option<Draft>,
    /// What holds: `accepted`, or what isolates the object's pods, or nothing.
    holds: Option<Draft>,
    pools: BTreeSet<PoolId>,
    rendered: Rendered,
}

impl Translator {
    pub fn new(options: Options) -> Self {
        Self { balancing: Balancing::new(options.external_ip_ranges), ..Self::default() }
    }

    /// Takes changes in and tells what is different now. Of several changes of one object the
    /// last one counts.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Outcome {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Upsert(object) => self.upsert(object, &mut batch),
                Change::Remove(key) => self.remove(key, &mut batch),
            }
        }
        self.finish(batch)
    }

    /// Everything that is wrong now.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let all = [&self.problems, &self.conflicts, self.host_ports.problems()];
        all.into_iter().flat_map(BTreeMap::values).flatten()
    }

    /// Everything that holds now: the sum of all outcomes.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.given.values()
    }

    fn upsert(&mut self, object: Object, batch: &mut Batch) {
        let key = object.key().clone();
        let of = |findings: &Findings| findings.problems(&key, Effect::LeftOut);
        let problems = match object {
            Object::Node(it) => {
                let problems = of(&it.findings);
                self.cluster.set_node(&key.name, Some(it.node));
                batch.own.insert(key.clone());
                problems
            }
            Object::Namespace(it) => {
                self.cluster.set_namespace(&key.name, Some(it.labels));
                Vec::new()
            }
            Object::Pod(it) => {
                let problems = of(&it.findings);
                self.set_pod(&key, it.pod, batch);
                problems
            }
            Object::Policy(it) => self.set_policy(it, batch),
            Object::Service(it) => self.set_service(it),
            Object::EndpointSlice(it) => {
                let problems = of(&it.findings);
                self.balancing.set_slice(&name_of(&key), it.slice);
                problems
            }
        };
        note(&mut self.problems, key.clone(), problems);
        batch.upserted.insert(key);
    }

    fn remove(&mut self, key: ObjectKey, batch: &mut Batch) {
        self.problems.remove(&key);
        batch.upserted.remove(&key);
        match key.kind {
            ObjectKind::Node => {
                self.cluster.set_node(&key.name, None);
                batch.own.insert(key);
            }
            ObjectKind::Namespace => self.cluster.set_namespace(&key.name, None),
            ObjectKind::Pod => self.set_pod(&key, None, batch),
            ObjectKind::Service => self.balancing.set_service(&name_of(&key), None),
            ObjectKind::EndpointSlice => self.balancing.set_slice(&name_of(&key), None),
            ObjectKind::NetworkPolicy
            | ObjectKind::ClusterNetworkPolicy
            | ObjectKind::AdminNetworkPolicy
            | ObjectKind::BaselineAdminNetworkPolicy => {
                if let Some(standing) = self.policies.get_mut(&key) {
                    standing.accepted = None;
                    standing.holds = None;
                    batch.policies.insert(key);
                }
            }
        }
    }

    fn set_pod(&mut self, key: &ObjectKey, pod: Option<Pod>, batch: &mut Batch) {
        let addresses = |pod: Option<&Pod>| pod.map(|it| it.addresses.clone()).unwrap_or_default();
        let before = addresses(self.cluster.pod(&key.namespace, &key.name));
        self.balancing.move_pod(&before, &addresses(pod.as_ref()));
        self.cluster.set_pod(&key.namespace, &key.name, pod);
        batch.own.insert(key.clone());
    }

    /// A service that cannot be used keeps its last form.
    fn set_service(&mut self, object: ServiceObject) -> Vec<Problem> {
        let name = name_of(&object.key);
        let known = self.balancing.service(&name).is_some();
        let refused = if known { Effect::LastFormKept } else { Effect::LeftOut };
        if object.service.is_some() {
            self.balancing.set_service(&name, object.service);
        }
        object.findings.problems(&object.key, refused)
    }

    fn set_policy(&mut self, object: PolicyObject, batch: &mut Batch) -> Vec<Problem> {
        let standing = self.policies.entry(object.key.clone()).or_default();
        let (holds, refused) = match &object.form {
            Form::Usable(draft) => {
                standing.accepted = Some(draft.clone());
                (Some(draft), Effect::LeftOut)
            }
            Form::Refused { isolation } => match (&standing.accepted, isolation) {
                (Some(accepted), _) => (Some(accepted), Effect::LastFormKept),
                (None, Some(isolation)) => (Some(isolation), Effect::PodsIsolated),
                (None, None) => (None, Effect::LeftOut),
            },
        };
        let holds = holds.cloned();
        if standing.holds != holds {
            standing.holds = holds;
            batch.policies.insert(object.key.clone());
        }
        object.problems(refused)
    }

    /// Brings policies and sets up to date and compares with what was given out.
    fn finish(&mut self, mut batch: Batch) -> Outcome {
        self.link(&mut batch);
        let touched = self.cluster.take_touched();
        batch.policies.extend(touched.policies);
        batch.own.extend(touched.pods);
        let mut sets = touched.sets;
        let mut outcome = Outcome::default();
        let mut now: BTreeMap<Key, Option<Resource>> = BTreeMap::new();
        for key in &batch.policies {
            self.render(key, &mut sets, &mut now);
        }
        // A set is named by its pool, which has to live until the set is known to be gone.
        for set in sets {
            let Some(name) = self.cluster.set_name(&set) else { continue };
            let used = self.uses.contains_key(&set);
            let current = if used { self.cluster.address_set(&set) } else { None };
            now.insert(Key { kind: Kind::AddressSet, name }, current.map(Resource::AddressSet));
        }
        for (id, user) in &batch.released {
            self.cluster.release(*id, user);
        }
        for key in &batch.own {
            self.note_lost_addresses(key);
            self.note_host_ports(key);
            let (key, resource) = self.own(key);
            now.insert(key, resource);
        }
        self.balancing.settle(&mut now, &mut self.conflicts);
        self.host_ports.touch_sockets(self.balancing.take_moved());
        self.host_ports.settle(&self.balancing, &self.cluster, &mut now);
        for (key, resource) in now {
            self.give(key, resource, &mut outcome);
        }
        for key in &batch.upserted {
            let problems = [&self.problems, &self.conflicts, self.host_ports.problems()];
            let problems = problems.into_iter().filter_map(|it| it.get(key));
            outcome.problems.extend(problems.flatten().cloned());
        }
        outcome
    }

    /// Has the pools that changed policies refer to, and notes which they need no more.
    fn link(&mut self, batch: &mut Batch) {
        for key in &batch.policies {
            let Some(standing) = self.policies.get_mut(key) else { continue };
            let keys = standing.holds.iter().flat_map(render::pools);
            let pools = keys.map(|pool| self.cluster.acquire(pool, key)).collect();
            let released = standing.pools.difference(&pools);
            batch.released.extend(released.map(|id| (*id, key.clone())));
            standing.pools = pools;
        }
    }

    fn render(
        &mut self,
        key: &ObjectKey,
        sets: &mut BTreeSet<SetRef>,
        now: &mut BTreeMap<Key, Option<Resource>>,
    ) {
        let Some(standing) = self.policies.get_mut(key) else { return };
        let rendered = match &standing.holds {
            Some(draft) => render::render(draft, &self.cluster),
            None => Rendered::default(),
        };
        let named = |name: &String| Key { kind: Kind::Policy, name: name.clone() };
        for old in &standing.rendered.policies {
            now.insert(named(&old.name), None);
        }
        for policy in &rendered.policies {
            now.insert(named(&policy.name), Some(Resource::Policy(policy.clone())));
        }
        for set in &rendered.sets {
            *self.uses.entry(set.clone()).or_default() += 1;
        }
        for set in &standing.rendered.sets {
            if let Some(count) = self.uses.get_mut(set) {
                *count -= 1;
                if *count == 0 {
                    self.uses.remove(set);
                }
            }
        }
        sets.extend(standing.rendered.sets.symmetric_difference(&rendered.sets).cloned());
        standing.rendered = rendered;
        if standing.holds.is_none() && !self.problems.contains_key(key) {
            self.policies.remove(key);
        }
    }

    /// Notes which addresses of a pod are another one's.
    fn note_lost_addresses(&mut self, key: &ObjectKey) {
        if key.kind != ObjectKind::Pod {
            return;
        }
        let mut lost = Vec::new();
        let pod = self.cluster.pod(&key.namespace, &key.name);
        for address in pod.into_iter().flat_map(|pod| &pod.addresses) {
            if let Some(holder) = self.cluster.holder(*address).filter(|holder| holder != key) {
                lost.push(Problem {
                    object: key.clone(),
                    field: "status.podIPs".to_owned(),
                    reason: format!("{address} is the address of {holder}, which is newer"),
                    effect: Effect::FieldIgnored,
                });
            }
        }
        note(&mut self.conflicts, key.clone(), lost);
    }

    fn note_host_ports(&mut self, key: &ObjectKey) {
        if key.kind == ObjectKind::Node {
            return self.host_ports.touch_node(&key.name);
        }
        let pod = self.cluster.pod(&key.namespace, &key.name);
        let has = |address| self.cluster.holder(address).as_ref() == Some(key);
        self.host_ports.set_pod(key, pod, has);
    }

    /// The resource that a node or pod is itself.
    fn own(&self, key: &ObjectKey) -> (Key, Option<Resource>) {
        if key.kind == ObjectKind::Node {
            let node = self.cluster.node(&key.name).cloned().map(Resource::Node);
            return (Key { kind: Kind::Node, name: key.name.clone() }, node);
        }
        let pod = self.cluster.pod(&key.namespace, &key.name);
        let has = |address| self.cluster.holder(address).as_ref() == Some(key);
        let workload = pod.and_then(|pod| pod.workload(key, has)).map(Resource::Workload);
        (Key { kind: Kind::Workload, name: super::pods::workload_name(key) }, workload)
    }

    fn give(&mut self, key: Key, resource: Option<Resource>, outcome: &mut Outcome) {
        match resource {
            Some(resource) if self.given.get(&key) != Some(&resource) => {
                outcome.upserts.push(resource.clone());
                self.given.insert(key, resource);
            }
            Some(_) => {}
            None => {
                if self.given.remove(&key).is_some() {
                    outcome.removes.push(key);
                }
            }
        }
    }
}

fn name_of(key: &ObjectKey) -> Name {
    Name::new((key.namespace.clone(), key.name.clone()))
}

/// What the changes of one call touch.
#[derive(Debug, Default)]
struct Batch {
    /// Nodes and pods.
    own: BTreeSet<ObjectKey>,
    policies: BTreeSet<ObjectKey>,
    upserted: BTreeSet<ObjectKey>,
    /// Pools and the policies that need them no more.
    released: Vec<(PoolId, ObjectKey)>,
}
