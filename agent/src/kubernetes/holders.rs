//! Whose an address is when several pods say that it is theirs.
//!
//! An address is given to another pod as soon as the first one's sandbox is gone, while the first
//! one's object may still be there and say it runs. The pod that was created last has it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ObjectKey, ObjectKind, pods::Pod};

/// Pods by address.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<IpAddr, BTreeSet<Claim>>);

/// Creation, namespace, name: the greatest has the address.
type Claim = (Option<Time>, String, String);

impl Holders {
    /// Notes a pod's addresses; gives the other pods that say they have one of them.
    pub(super) fn add(&mut self, namespace: &str, name: &str, pod: &Pod) -> BTreeSet<ObjectKey> {
        let claim = (pod.created.clone(), namespace.to_owned(), name.to_owned());
        let mut others = BTreeSet::new();
        for address in &pod.addresses {
            let claims = self.0.entry(*address).or_default();
            others.extend(claims.iter().map(key));
            claims.insert(claim.clone());
        }
        others
    }

    /// Undoes [`Self::add`].
    pub(super) fn remove(&mut self, namespace: &str, name: &str, pod: &Pod) -> BTreeSet<ObjectKey> {
        let claim = (pod.created.clone(), namespace.to_owned(), name.to_owned());
        let mut others = BTreeSet::new();
        for address in &pod.addresses {
            let Some(claims) = self.0.get_mut(address) else { continue };
            claims.remove(&claim);
            others.extend(claims.iter().map(key));
            if claims.is_empty() {
                self.0.remove(address);
            }
        }
        others
    }

    /// The pod that has an address.
    pub(super) fn of(&self, address: IpAddr) -> Option<ObjectKey> {
        self.0.get(&address)?.last().map(key)
    }
}

fn key((_, namespace, name): &Claim) -> ObjectKey {
    let (namespace, name) = (namespace.clone(), name.clone());
    ObjectKey { kind: ObjectKind::Pod, namespace, name }
}
