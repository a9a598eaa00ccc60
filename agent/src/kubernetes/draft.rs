//! Policies before it is known who is selected: all kinds of policy objects become these.

use std::{collections::BTreeSet, fmt};

use super::{
    address::Block,
    named_ports::NamedPort,
    names::escaped,
    selector::{Labels, Selector},
};
use crate::model::{Action, PortMatch, Tier};

/// A policy in the words of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// Of the model's policy, but for what tells its parts apart.
    pub name: String,
    pub tier: Tier,
    pub priority: u32,
    pub subject: PodQuery,
    /// As in [`crate::model::Policy`].
    pub ingress: Option<Vec<DraftRule>>,
    pub egress: Option<Vec<DraftRule>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DraftRule {
    pub name: String,
    pub action: Action,
    /// `None` is every address, an empty list none.
    pub peers: Option<Vec<Peer>>,
    /// `None` is everything, an empty list nothing.
    pub ports: Option<Vec<DraftPort>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DraftPort {
    Number(PortMatch),
    /// On the pod that is the connection's destination.
    Named(NamedPort),
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Pods(PodQuery),
    Block(Block),
    Nodes(Selector),
}

/// Pods by namespace and labels, perhaps only their addresses within a block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PodQuery {
    pub scope: Scope,
    pub pods: Selector,
    pub within: Option<Block>,
}

/// Namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scope {
    One(String),
    Selected(Selector),
}

impl DraftRule {
    /// Matches nothing if it accepts, else denies everything: of a rule that is not understood.
    pub(super) fn failing_closed(name: String, action: Action) -> Self {
        match action {
            Action::Accept => {
                Self { name, action, peers: Some(Vec::new()), ports: Some(Vec::new()) }
            }
            Action::Deny | Action::Pass => Self::deny_all(name),
        }
    }

    pub(super) fn deny_all(name: String) -> Self {
        Self { name, action: Action::Deny, peers: None, ports: None }
    }

    pub(super) fn named_ports(&self) -> BTreeSet<NamedPort> {
        let ports = self.ports.iter().flatten();
        ports
            .filter_map(|port| match port {
                DraftPort::Named(named) => Some(named.clone()),
                DraftPort::Number(_) => None,
            })
            .collect()
    }

    pub(super) fn numbered_ports(&self) -> Vec<PortMatch> {
        let ports = self.ports.iter().flatten();
        ports
            .filter_map(|port| match port {
                DraftPort::Number(number) => Some(number.clone()),
                DraftPort::Named(_) => None,
            })
            .collect()
    }

    /// The pods among the rule's peers, where a named port means something.
    pub(super) fn peer_pods(&self) -> Vec<PodQuery> {
        let Some(peers) = &self.peers else { return vec![PodQuery::everything()] };
        peers.iter().filter_map(Peer::pods).collect()
    }
}

impl Peer {
    /// The pods that are meant; nodes' addresses are never a pod's.
    fn pods(&self) -> Option<PodQuery> {
        match self {
            Self::Pods(query) => Some(query.clone()),
            Self::Block(block) => {
                Some(PodQuery { within: Some(block.clone()), ..PodQuery::everything() })
            }
            Self::Nodes(_) => None,
        }
    }
}

impl PodQuery {
    pub(super) fn new(scope: Scope, pods: Selector) -> Self {
        Self { scope, pods, within: None }
    }

    fn everything() -> Self {
        Self::new(Scope::Selected(Selector::default()), Selector::default())
    }
}

impl Scope {
    pub(super) fn contains(&self, namespace: &str, labels: &Labels) -> bool {
        match self {
            Self::One(name) => name == namespace,
            Self::Selected(selector) => selector.matches(labels),
        }
    }
}

/// `shop/{app=web}` or `{team=a}/{}@10.0.0.0/8`.
impl fmt::Display for PodQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::One(name) => f.write_str(&escaped(name))?,
            Scope::Selected(selector) => selector.fmt(f)?,
        }
        write!(f, "/{}", self.pods)?;
        self.within.iter().try_for_each(|block| write!(f, "@{block}"))
    }
}
