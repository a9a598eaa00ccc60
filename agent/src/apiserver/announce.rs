//! What is told to the cluster: events on objects with problems, and conditions of policies.
//!
//! Every agent finds the same problems, since they follow from the objects. So that a large cluster
//! does not hear of one from each of its nodes, three nodes speak of an object, whichever its
//! identity falls to ([`speaks_for`]); three, because one may be down. What they say is the same:
//! an event's name follows from what it says, so that the second one is refused, and a condition
//! is written only where it differs from the one that is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use kube::{
    Client, ResourceExt,
    api::{DynamicObject, PostParams},
};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Mirror, conditions, events,
    kinds::api,
    seen::{Condition, Seen},
};
use crate::kubernetes::{ObjectKey, Problem};

/// Decides what is told, and has a task tell it.
pub(super) struct Announcer {
    node: String,
    queue: mpsc::Sender<Announcement>,
    /// As they were looked at last.
    problems: Vec<Problem>,
    /// The names of the events about them.
    events: BTreeSet<String>,
    /// What was said of each policy last, and the policy's uid.
    said: BTreeMap<ObjectKey, (Box<str>, Condition)>,
}

enum Announcement {
    Event(Box<DynamicObject>),
    Condition(ObjectKey, Condition),
}

impl Announcer {
    pub(super) fn start(client: Client, node: String) -> Self {
        let (queue, announcements) = mpsc::channel(QUEUE);
        tokio::spawn(tell(client, announcements));
        Self { node, queue, problems: Vec::new(), events: BTreeSet::new(), said: BTreeMap::new() }
    }

    /// Tells what is new. To be called once every kind was listed.
    pub(super) fn look(&mut self, mirror: &mut Mirror) {
        let problems = mirror.object_problems();
        let policies_changed = mirror.policies_changed();
        if problems != self.problems {
            self.tell_events(mirror, &problems);
            self.problems = problems;
        } else if !policies_changed {
            return;
        }
        self.tell_conditions(mirror);
    }

    fn tell_events(&mut self, mirror: &Mirror, problems: &[Problem]) {
        let mut names = BTreeSet::new();
        for problem in problems.iter().take(EVENTS) {
            let Some(seen) = mirror.seen(&problem.object) else { continue };
            let name = events::name(problem, seen);
            if !self.events.contains(&name) && self.speaks_for(mirror, seen) {
                let event = events::event(&name, problem, seen, &self.node);
                self.queue(Announcement::Event(Box::new(event)));
            }
            names.insert(name);
        }
        self.events = names;
    }

    fn tell_conditions(&mut self, mirror: &Mirror) {
        let mut said = BTreeMap::new();
        for (key, seen) in mirror.policies() {
            let of = self.problems.iter().filter(|problem| problem.object == *key);
            let condition = conditions::of_policy(of, seen);
            let new = (seen.uid.clone(), condition);
            let is_told = self
                .said
                .get(key)
                .is_some_and(|(uid, before)| *uid == new.0 && before.says(&new.1));
            let is_there = seen.condition.as_ref().is_some_and(|it| it.says(&new.1));
            if !is_told && !is_there && self.speaks_for(mirror, seen) {
                self.queue(Announcement::Condition(key.clone(), new.1.clone()));
            }
            said.insert(key.clone(), new);
        }
        self.said = said;
    }

    fn speaks_for(&self, mirror: &Mirror, seen: &Seen) -> bool {
        speaks_for(&seen.uid, &self.node, mirror.nodes())
    }

    /// Told sooner or later; not at all where there is too much to tell.
    fn queue(&self, announcement: Announcement) {
        if self.queue.try_send(announcement).is_err() {
            tracing::warn!("too much is to be told to the apiserver; some of it is not");
        }
    }
}

/// Whether a node is one of the [`SPEAKERS`] that speak of an object: of all nodes it is among those
/// whose hash with the object is the least (rendezvous hashing), which hardly changes with nodes.
fn speaks_for<'n>(uid: &str, node: &str, nodes: impl Iterator<Item = &'n str>) -> bool {
    let rank = |node: &str| Sha256::new().chain_update(uid).chain_update(node).finalize();
    let own = rank(node);
    nodes.filter(|other| *other != node && rank(other) < own).take(SPEAKERS).count() < SPEAKERS
}

async fn tell(client: Client, mut announcements: mpsc::Receiver<Announcement>) {
    while let Some(announcement) = announcements.recv().await {
        let mut tries = 0;
        while let Err(error) = announcement.tell(&client).await {
            tries += 1;
            match error {
                // Another agent has said the same, or this one before it was started again.
                kube::Error::Api(status) if status.code == 409 => {
                    tracing::debug!("{announcement} was told before");
                    break;
                }
                kube::Error::Api(status) if is_final(status.code, tries) => {
                    tracing::warn!("{announcement} was not taken: {}", status.message);
                    break;
                }
                error => {
                    tracing::debug!(%error, "{announcement} is told again");
                    sleep(RETRY).await;
                }
            }
        }
        sleep(PACE).await;
    }
}

/// Whether what was answered with an HTTP status, so many times, will be answered so for good. An object
/// that is gone does not come back; an apiserver that has too much to do will have less, and one that
/// denies the right to speak may not have heard of it yet.
const fn is_final(status: u16, tries: u32) -> bool {
    match status {
        429 => false,
        401 | 403 => tries >= DENIALS,
        _ => status / 100 == 4,
    }
}

impl Announcement {
    async fn tell(&self, client: &Client) -> kube::Result<()> {
        match self {
            Self::Event(event) => {
                let api = events::api(client.clone(), event);
                api.create(&PostParams::default(), event).await.map(drop)
            }
            Self::Condition(key, condition) => {
                conditions::write(&api(client.clone(), key.kind), key, condition).await
            }
        }
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => write!(f, "the event {}", event.name_any()),
            Self::Condition(key, _) => write!(f, "a condition of {key}"),
        }
    }
}

/// Nodes that speak of an object.
const SPEAKERS: usize = 3;
/// Problems that there are events about at a time.
const EVENTS: usize = 1000;
const QUEUE: usize = 2000;
/// Between two announcements, so that an apiserver hears little of many.
const PACE: Duration = Duration::from_millis(100);
/// Denials of the right to speak that are believed.
const DENIALS: u32 = 3;
/// While the apiserver does not answer, or not yet as it will.
const RETRY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_not_change_is_final() {
        for (status, tries, expected) in [
            (404, 1, true),
            (422, 1, true),
            (403, 1, false),
            (401, 2, false),
            (403, 3, true),
            (429, 100, false),
            (500, 100, false),
            (503, 1, false),
        ] {
            assert_eq!(is_final(status, tries), expected, "{status}, {tries} times");
        }
    }

    #[test]
    fn three_nodes_speak_of_an_object_and_others_of_others() {
        let nodes: Vec<String> = (0..50).map(|it| format!("n{it}")).collect();
        let all = || nodes.iter().map(String::as_str);
        let speakers = |uid: &str| -> Vec<&str> {
            all().filter(|node| speaks_for(uid, node, all())).collect()
        };
        let mut of_all = BTreeSet::new();
        for uid in (0..200).map(|it| format!("uid-{it}")) {
            let chosen = speakers(&uid);
            assert_eq!(chosen.len(), SPEAKERS);
            of_all.extend(chosen);
        }
        assert_eq!(of_all.len(), nodes.len(), "everybody speaks of something");
        let chosen = speakers("uid");
        let without = || all().filter(|node| *node != chosen[0]);
        assert!(chosen[1..].iter().all(|node| speaks_for("uid", node, without())));
        assert!(speaks_for("uid", "alone", std::iter::empty()));
    }
}
