//! The pods, namespaces and nodes that are known, and the pools that they are in.
//!
//! A pod's change costs what it is in: its namespace knows which pools look there, and an index
//! over their selectors finds those that may take the pod.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    net::IpAddr,
};

use super::{
    ObjectKey,
    draft::{PodQuery, Scope},
    holders::Holders,
    named_ports::Resolution,
    pods::Pod,
    pool::{Pool, PoolId, PoolKey, SetRef},
    selector::Labels,
    selector_index::SelectorIndex,
};
use crate::model::{AddressSet, Node, Prefix};

#[derive(Debug, Default)]
pub(super) struct Cluster {
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Node>,
    pools: BTreeMap<PoolId, Pool>,
    ids: HashMap<PoolKey, PoolId>,
    /// Pools of pods in one namespace, known or not; and those that select namespaces.
    by_namespace: HashMap<String, BTreeSet<PoolId>>,
    by_selector: BTreeSet<PoolId>,
    node_pools: BTreeSet<PoolId>,
    next: u32,
    holders: Holders,
    touched: Touched,
}

/// What may have changed since it was last asked for.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub sets: BTreeSet<SetRef>,
    /// Policies that refer to a pool whose groups are not the same any more.
    pub policies: BTreeSet<ObjectKey>,
    /// Pods of which another one has, or had, an address.
    pub pods: BTreeSet<ObjectKey>,
}

/// Exists as long as its object or a pod in it does.
#[derive(Debug)]
struct Namespace {
    /// `None` while its object is unknown.
    declared: Option<Labels>,
    /// With the label that is its name.
    labels: Labels,
    pods: BTreeMap<String, Pod>,
    pools: SelectorIndex<PoolId>,
}

impl Cluster {
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.namespaces.get(namespace)?.pods.get(name)
    }

    /// The pod that has an address, of all that say so.
    pub(super) fn holder(&self, address: IpAddr) -> Option<ObjectKey> {
        self.holders.of(address)
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    pub(super) fn set_pod(&mut self, namespace: &str, name: &str, pod: Option<Pod>) {
        if self.pod(namespace, name) == pod.as_ref() {
            return;
        }
        if pod.is_some() && !self.namespaces.contains_key(namespace) {
            self.open_namespace(namespace, None);
        }
        let Some(entry) = self.namespaces.get_mut(namespace) else { return };
        if let Some(old) = entry.pods.remove(name) {
            self.touched.pods.extend(self.holders.remove(namespace, name, &old));
            for id in entry.pools.candidates(&old.labels) {
                change(&mut self.pools, id, &old, Change::Leaves, &mut self.touched);
            }
        }
        if let Some(pod) = pod {
            self.touched.pods.extend(self.holders.add(namespace, name, &pod));
            for id in entry.pools.candidates(&pod.labels) {
                change(&mut self.pools, id, &pod, Change::Joins, &mut self.touched);
            }
            entry.pods.insert(name.to_owned(), pod);
        }
        self.close_if_unused(namespace);
    }

    /// `None`: its object is unknown.
    pub(super) fn set_namespace(&mut self, name: &str, declared: Option<Labels>) {
        let Some(entry) = self.namespaces.get(name) else {
            if declared.is_some() {
                self.open_namespace(name, declared);
            }
            return;
        };
        if entry.declared == declared {
            return;
        }
        let labels = with_name(declared.as_ref(), name);
        let before = self.pools_of(name, &entry.labels);
        let after = self.pools_of(name, &labels);
        let Some(entry) = self.namespaces.get_mut(name) else { return };
        entry.declared = declared;
        entry.labels = labels;
        for id in before.difference(&after) {
            let Some(pool) = self.pools.get(id) else { continue };
            let PoolKey::Pods(query, _) = &pool.key else { continue };
            entry.pools.remove(&query.pods, *id);
            for pod in entry.pods.values() {
                change(&mut self.pools, *id, pod, Change::Leaves, &mut self.touched);
            }
        }
        for id in after.difference(&before) {
            let Some(pool) = self.pools.get(id) else { continue };
            let PoolKey::Pods(query, _) = &pool.key else { continue };
            entry.pools.insert(&query.pods, *id);
            for pod in entry.pods.values() {
                change(&mut self.pools, *id, pod, Change::Joins, &mut self.touched);
            }
        }
        self.close_if_unused(name);
    }

    pub(super) fn set_node(&mut self, name: &str, node: Option<Node>) {
        if self.nodes.get(name) == node.as_ref() {
            return;
        }
        let old = self.nodes.remove(name);
        for id in &self.node_pools {
            let Some(pool) = self.pools.get_mut(id) else { continue };
            let PoolKey::Nodes(selector) = &pool.key else { continue };
            let selects = |node: &&Node| selector.matches(&node.labels);
            let (old, new) = (old.as_ref().filter(selects), node.as_ref().filter(selects));
            if old.is_none() && new.is_none() {
                continue;
            }
            let group = Resolution::default();
            if let Some(old) = old {
                pool.remove(&group, addresses(old));
            }
            if let Some(new) = new {
                pool.add(&group, addresses(new));
            }
            self.touched.sets.insert(SetRef { pool: *id, resolution: group });
        }
        self.nodes.extend(node.map(|node| (name.to_owned(), node)));
    }

    /// The pool of a key, for a policy that refers to it; fills a new one.
    pub(super) fn acquire(&mut self, key: PoolKey, user: &ObjectKey) -> PoolId {
        let id = if let Some(id) = self.ids.get(&key) { *id } else { self.open_pool(key) };
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.users.insert(user.clone());
        }
        id
    }

    /// Undoes [`Self::acquire`]; a pool without users is gone.
    pub(super) fn release(&mut self, id: PoolId, user: &ObjectKey) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.users.remove(user);
        if !pool.users.is_empty() {
            return;
        }
        if let Some(pool) = self.pools.remove(&id) {
            self.ids.remove(&pool.key);
            self.unlink(id, &pool.key);
        }
    }

    /// The pool of a key that has been acquired.
    pub(super) fn pool(&self, key: &PoolKey) -> Option<(PoolId, &Pool)> {
        let id = *self.ids.get(key)?;
        self.pools.get(&id).map(|pool| (id, pool))
    }

    pub(super) fn set_name(&self, set: &SetRef) -> Option<String> {
        self.pools.get(&set.pool).map(|pool| pool.set_name(&set.resolution))
    }

    pub(super) fn address_set(&self, set: &SetRef) -> Option<AddressSet> {
        self.pools.get(&set.pool).map(|pool| pool.address_set(&set.resolution))
    }

    pub(super) fn take_touched(&mut self) -> Touched {
        mem::take(&mut self.touched)
    }

    fn open_pool(&mut self, key: PoolKey) -> PoolId {
        let id = PoolId(self.next);
        self.next += 1;
        self.ids.insert(key.clone(), id);
        self.pools.insert(id, Pool::new(key.clone()));
        match &key {
            PoolKey::Block(_) | PoolKey::Prefixes(_) => {}
            PoolKey::Nodes(selector) => {
                self.node_pools.insert(id);
                if let Some(pool) = self.pools.get_mut(&id) {
                    for node in self.nodes.values().filter(|it| selector.matches(&it.labels)) {
                        pool.add(&Resolution::default(), addresses(node));
                    }
                }
            }
            PoolKey::Pods(query, _) => {
                match &query.scope {
                    Scope::One(name) => {
                        self.by_namespace.entry(name.clone()).or_default().insert(id);
                    }
                    Scope::Selected(_) => drop(self.by_selector.insert(id)),
                }
                for entry in in_scope(&mut self.namespaces, query) {
                    entry.pools.insert(&query.pods, id);
                    for pod in entry.pods.values() {
                        change(&mut self.pools, id, pod, Change::Joins, &mut self.touched);
                    }
                }
            }
        }
        id
    }

    fn unlink(&mut self, id: PoolId, key: &PoolKey) {
        let PoolKey::Pods(query, _) = key else {
            self.node_pools.remove(&id);
            return;
        };
        match &query.scope {
            Scope::One(name) => {
                if let Some(pools) = self.by_namespace.get_mut(name) {
                    pools.remove(&id);
                    if pools.is_empty() {
                        self.by_namespace.remove(name);
                    }
                }
            }
            Scope::Selected(_) => drop(self.by_selector.remove(&id)),
        }
        for entry in in_scope(&mut self.namespaces, query) {
            entry.pools.remove(&query.pods, id);
        }
    }

    fn open_namespace(&mut self, name: &str, declared: Option<Labels>) {
        let labels = with_name(declared.as_ref(), name);
        let mut pools = SelectorIndex::new();
        for id in self.pools_of(name, &labels) {
            if let Some(Pool { key: PoolKey::Pods(query, _), .. }) = self.pools.get(&id) {
                pools.insert(&query.pods, id);
            }
        }
        let entry = Namespace { declared, labels, pods: BTreeMap::new(), pools };
        self.namespaces.insert(name.to_owned(), entry);
    }

    fn close_if_unused(&mut self, name: &str) {
        let unused = |entry: &Namespace| entry.declared.is_none() && entry.pods.is_empty();
        if self.namespaces.get(name).is_some_and(unused) {
            self.namespaces.remove(name);
        }
    }

    /// The pools of pods that look into a namespace.
    fn pools_of(&self, name: &str, labels: &Labels) -> BTreeSet<PoolId> {
        let selecting = self.by_selector.iter().filter(|id| match self.pools.get(id) {
            Some(Pool { key: PoolKey::Pods(query, _), .. }) => query.scope.contains(name, labels),
            _ => false,
        });
        self.by_namespace.get(name).into_iter().flatten().chain(selecting).copied().collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Joins,
    Leaves,
}

/// A pod in the namespaces that a pool looks at joins or leaves it, if its labels are meant.
fn change(
    pools: &mut BTreeMap<PoolId, Pool>,
    id: PoolId,
    pod: &Pod,
    what: Change,
    touched: &mut Touched,
) {
    let Some(pool) = pools.get_mut(&id) else { return };
    let PoolKey::Pods(query, names) = &pool.key else { return };
    if !query.pods.matches(&pod.labels) {
        return;
    }
    let resolution = Resolution::new(names, &pod.ports);
    let prefixes: Vec<Prefix> = pod.prefixes(query.within.as_ref()).collect();
    if prefixes.is_empty() {
        return;
    }
    let regrouped = match what {
        Change::Joins => pool.add(&resolution, prefixes.into_iter()),
        Change::Leaves => pool.remove(&resolution, prefixes.into_iter()),
    };
    if regrouped && pool.is_split() {
        touched.policies.extend(pool.users.iter().cloned());
    }
    touched.sets.insert(SetRef { pool: id, resolution });
}

fn in_scope<'a>(
    namespaces: &'a mut BTreeMap<String, Namespace>,
    query: &'a PodQuery,
) -> Box<dyn Iterator<Item = &'a mut Namespace> + 'a> {
    match &query.scope {
        Scope::One(name) => Box::new(namespaces.get_mut(name).into_iter()),
        Scope::Selected(selector) => {
            Box::new(namespaces.values_mut().filter(|it| selector.matches(&it.labels)))
        }
    }
}

/// Labels of a namespace with the one that every namespace has.
fn with_name(declared: Option<&Labels>, name: &str) -> Labels {
    let mut labels = declared.cloned().unwrap_or_default();
    labels.entry(NAME_LABEL.to_owned()).or_insert_with(|| name.to_owned());
    labels
}

fn addresses(node: &Node) -> impl Iterator<Item = Prefix> {
    node.addresses.iter().map(|address| Prefix::host(*address))
}

/// Every namespace has it, also where the object does not say so.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
