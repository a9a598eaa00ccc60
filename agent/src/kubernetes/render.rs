//! From a draft to the policies that the compiler reads, once it is known who is selected.
//!
//! The model has no named ports. Where ingress rules use them, the subjects fall apart into
//! groups on which the names mean the same, with a policy each; where an egress rule does, its
//! peers fall apart, with a rule each. What a name means nowhere matches nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cluster::Cluster,
    draft::{Draft, DraftRule, Peer},
    named_ports::{NamedPort, PortNumber, Resolution, exactly},
    names::bounded,
    pool::{PoolKey, SetRef},
};
use crate::model::{Policy, Rule};

/// The policies of a draft and the address sets that they name.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub policies: Vec<Policy>,
    pub sets: BTreeSet<SetRef>,
}

/// Everything that rendering the draft will look at.
pub(super) fn pools(draft: &Draft) -> BTreeSet<PoolKey> {
    let mut pools = BTreeSet::from([subject(draft)]);
    pools.extend(draft.ingress.iter().flatten().flat_map(peers));
    for rule in draft.egress.iter().flatten() {
        let names = rule.named_ports();
        if names.is_empty() || !rule.numbered_ports().is_empty() {
            pools.extend(peers(rule));
        }
        if !names.is_empty() {
            let queries = rule.peer_pods().into_iter();
            pools.extend(queries.map(|query| PoolKey::Pods(query, names.clone())));
        }
    }
    pools
}

/// Renders a draft whose [`pools`] have been acquired.
pub(super) fn render(draft: &Draft, cluster: &Cluster) -> Rendered {
    let mut renderer = Renderer { cluster, sets: BTreeSet::new() };
    let subject = subject(draft);
    let egress = draft
        .egress
        .as_ref()
        .map(|rules| rules.iter().flat_map(|rule| renderer.egress(rule)).collect::<Vec<_>>());
    let split = matches!(&subject, PoolKey::Pods(_, names) if !names.is_empty());
    let groups: Vec<Resolution> = if split {
        let pool = cluster.pool(&subject);
        pool.into_iter().flat_map(|(_, pool)| pool.resolutions().cloned()).collect()
    } else {
        vec![Resolution::default()]
    };
    let mut policies = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let ingress = draft
            .ingress
            .as_ref()
            .map(|rules| rules.iter().map(|rule| renderer.ingress(rule, group)).collect());
        policies.push(Policy {
            name: match split {
                false => draft.name.clone(),
                true => bounded(format!("{}#{}", draft.name, index + 1)),
            },
            tier: draft.tier,
            priority: draft.priority,
            subjects: renderer.set(&subject, group).into_iter().collect(),
            ingress,
            egress: egress.clone(),
        });
    }
    // Without a group, nobody names the sets of the egress rules either.
    let sets = if policies.is_empty() { BTreeSet::new() } else { renderer.sets };
    Rendered { policies, sets }
}

fn subject(draft: &Draft) -> PoolKey {
    let names: BTreeSet<NamedPort> =
        draft.ingress.iter().flatten().flat_map(DraftRule::named_ports).collect();
    PoolKey::Pods(draft.subject.clone(), names)
}

/// The peers of a rule, all blocks without exceptions as one: a rule may have thousands.
fn peers(rule: &DraftRule) -> Vec<PoolKey> {
    let mut pools = Vec::new();
    let mut prefixes = BTreeSet::new();
    for peer in rule.peers.iter().flatten() {
        match peer {
            Peer::Pods(query) => pools.push(PoolKey::Pods(query.clone(), BTreeSet::new())),
            Peer::Nodes(selector) => pools.push(PoolKey::Nodes(selector.clone())),
            Peer::Block(block) if block.except.is_empty() => drop(prefixes.insert(block.prefix)),
            Peer::Block(block) => pools.push(PoolKey::Block(block.clone())),
        }
    }
    if !prefixes.is_empty() {
        pools.push(PoolKey::Prefixes(prefixes));
    }
    pools
}

struct Renderer<'a> {
    cluster: &'a Cluster,
    sets: BTreeSet<SetRef>,
}

impl Renderer<'_> {
    /// The destination is a subject, on which names mean what `group` says.
    fn ingress(&mut self, rule: &DraftRule, group: &Resolution) -> Rule {
        let ports = rule.ports.as_ref().map(|_| {
            let mut ports = rule.numbered_ports();
            let names = rule.named_ports();
            let named: BTreeSet<PortNumber> =
                names.iter().flat_map(|name| group.ports(name)).collect();
            ports.extend(named.into_iter().filter_map(exactly));
            ports
        });
        let (name, action) = (rule.name.clone(), rule.action);
        Rule { name, action, peers: self.peers(rule), ports }
    }

    /// The destination is a peer. The rules take the place of one: all have its action.
    fn egress(&mut self, rule: &DraftRule) -> Vec<Rule> {
        let (name, action) = (rule.name.clone(), rule.action);
        let names = rule.named_ports();
        let numbered = rule.ports.as_ref().map(|_| rule.numbered_ports());
        if names.is_empty() {
            return vec![Rule { name, action, peers: self.peers(rule), ports: numbered }];
        }
        let mut rules = Vec::new();
        if numbered.as_ref().is_some_and(|ports| !ports.is_empty()) {
            let (name, peers) = (name.clone(), self.peers(rule));
            rules.push(Rule { name, action, peers, ports: numbered });
        }
        let mut by_ports: BTreeMap<BTreeSet<PortNumber>, BTreeSet<String>> = BTreeMap::new();
        for query in rule.peer_pods() {
            let key = PoolKey::Pods(query, names.clone());
            let Some((_, pool)) = self.cluster.pool(&key) else { continue };
            for group in pool.resolutions() {
                let ports = group.all_ports();
                if !ports.is_empty() {
                    by_ports.entry(ports).or_default().extend(self.set(&key, group));
                }
            }
        }
        rules.extend(by_ports.into_iter().map(|(ports, sets)| Rule {
            name: name.clone(),
            action,
            peers: Some(sets.into_iter().collect()),
            ports: Some(ports.into_iter().filter_map(exactly).collect()),
        }));
        if rules.is_empty() {
            let (peers, ports) = (Some(Vec::new()), Some(Vec::new()));
            rules.push(Rule { name, action, peers, ports });
        }
        rules
    }

    fn peers(&mut self, rule: &DraftRule) -> Option<Vec<String>> {
        rule.peers.as_ref()?;
        let mut names = Vec::new();
        for key in peers(rule) {
            let name = self.set(&key, &Resolution::default());
            names.extend(name.filter(|name| !names.contains(name)));
        }
        Some(names)
    }

    /// The name of a set, which is thereby in use.
    fn set(&mut self, key: &PoolKey, resolution: &Resolution) -> Option<String> {
        let (id, pool) = self.cluster.pool(key)?;
        self.sets.insert(SetRef { pool: id, resolution: resolution.clone() });
        Some(pool.set_name(resolution))
    }
}
