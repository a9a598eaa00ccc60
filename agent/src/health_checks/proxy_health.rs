//! Answers who asks whether the node's services work at all, as kube-proxy does at port 10256
//! (`pkg/proxy/healthcheck/proxy_health.go`, KEP-3836).
//!
//! | path | 200 while |
//! |---|---|
//! | `/healthz` | the agent is ready, its tables are current, and the node is there to stay |
//! | `/livez` | what was heard does not wait for the tables for longer than [`PATIENCE`] |
//!
//! Load balancers ask `/healthz` for traffic to any node; a node that drains says so there. Whoever
//! restarts what is broken asks `/livez`. Unlike kube-proxy an agent that starts is no
//! reason to send traffic before its tables are in force.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::{
    answer::{json_answer, with_status},
    place::Place,
};
use crate::store::Handle;

/// What problems are reported under.
pub const SOURCE: &str = "healthz";
/// What was heard may wait so long for the tables: kube-proxy's two periods of synchronisation.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How far the source's words have come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The node is there to stay: neither being deleted nor chosen for it.
    pub eligible: bool,
    /// Since when something that was heard is not in the tables.
    pub behind: Option<Instant>,
    /// When the tables last were as was heard.
    pub updated: Timestamp,
}

impl Default for Progress {
    /// As kube-proxy before it has heard of its node.
    fn default() -> Self {
        Self { eligible: true, behind: None, updated: Timestamp::UNIX_EPOCH }
    }
}

impl Progress {
    /// Something was heard that is not in the tables yet.
    pub fn queued(&mut self) {
        self.behind.get_or_insert_with(Instant::now);
    }

    /// The tables are as was heard.
    pub fn updated(&mut self) {
        (self.behind, self.updated) = (None, Timestamp::now());
    }

    fn answer(&self, path: &str, ready: bool, at: Instant) -> Response<String> {
        let current = self.behind.is_none_or(|since| at.duration_since(since) < PATIENCE);
        let now = Timestamp::now();
        // kube-proxy's: what is healthy has just been updated.
        let updated = |healthy| if healthy { now } else { self.updated }.to_string();
        match path {
            "/healthz" => {
                let (healthy, eligible) = (ready && current, self.eligible);
                let body = json!({
                    "lastUpdated": updated(healthy && eligible),
                    "currentTime": now.to_string(),
                    "nodeEligible": eligible,
                });
                json_answer(healthy && eligible, &body)
            }
            "/livez" => {
                let body = json!({
                    "lastUpdated": updated(current), "currentTime": now.to_string(),
                });
                json_answer(current, &body)
            }
            _ => with_status(StatusCode::NOT_FOUND, String::new()),
        }
    }
}

/// Answers until the store ends.
pub async fn run(address: SocketAddr, handle: Handle, progress: watch::Receiver<Progress>) {
    let ready = handle.ready();
    let answer = move |path: &str| progress.borrow().answer(path, *ready.borrow(), Instant::now());
    let place = Place {
        address,
        source: SOURCE,
        paths: "/healthz and /livez",
        without: "load balancers get no answer",
    };
    place.keep_open(&handle, answer).await;
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn ask(progress: &Progress, path: &str, ready: bool, at: Instant) -> (u16, Value) {
        let answer = progress.answer(path, ready, at);
        let body = serde_json::from_str(answer.body()).unwrap_or_default();
        (answer.status().as_u16(), body)
    }

    #[test]
    fn a_node_is_healthy_while_it_stays_and_follows() {
        let mut progress = Progress::default();
        let statuses = |progress: &Progress, ready, at| {
            ["/healthz", "/livez", "/"].map(|path| ask(progress, path, ready, at).0)
        };
        let now = Instant::now();
        assert_eq!(statuses(&progress, false, now), [503, 200, 404], "it starts");
        progress.queued();
        progress.updated();
        assert_eq!(statuses(&progress, true, now + 2 * PATIENCE), [200, 200, 404]);
        let updated = progress.updated.to_string();
        progress.queued();
        let first = progress.behind.unwrap();
        progress.queued();
        let at = first + PATIENCE / 2;
        assert_eq!(statuses(&progress, true, at), [200, 200, 404], "not late yet");
        let at = first + PATIENCE;
        assert_eq!(statuses(&progress, true, at), [503, 503, 404], "late since the first of two");
        assert_eq!(ask(&progress, "/healthz", true, at).1["lastUpdated"], *updated);
        progress.updated();
        progress.eligible = false;
        assert_eq!(statuses(&progress, true, at), [503, 200, 404], "it drains");
    }

    #[test]
    fn bodies_have_the_fields_of_kube_proxys() {
        let (_, body) = ask(&Progress::default(), "/healthz", true, Instant::now());
        let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["currentTime", "lastUpdated", "nodeEligible"]);
        assert_eq!(
            (&body["nodeEligible"], &body["currentTime"]),
            (&true.into(), &body["lastUpdated"])
        );
        let (_, body) = ask(&Progress::default(), "/livez", true, Instant::now());
        let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["currentTime", "lastUpdated"]);
    }
}
