//! Answers load balancers that ask whether this node has backends of its own.
//!
//! A service with `healthCheckNodePort` has a port of its own on every node, at which HTTP says
//! what kube-proxy would: 200 with at least one ready backend on this node and an agent that is
//! ready, 503 otherwise. The store counts the backends as packets see them; this module owns the
//! listeners, which come and go with what is committed. [`proxy_health`] answers for the whole node, and
//! [`proxy_mode`] who asks which proxy it has.

mod answer;
mod listener;
mod place;
pub mod proxy_health;
pub mod proxy_mode;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::sync::watch;

pub use answer::State;
use listener::{Listener, everywhere};

use crate::{
    source_problem::SourceProblem,
    store::{Handle, HealthCheck},
};

/// What problems are reported under.
pub const SOURCE: &str = "health-checks";
/// How long a port is not tried again that somebody else has.
const RETRY: Duration = Duration::from_secs(5);

/// Answers until the store ends. From when `stopping` is true on, the answer is 503.
pub async fn run(handle: Handle, mut stopping: watch::Receiver<bool>) {
    let (mut checks, mut ready) = (handle.health_checks(), handle.ready());
    let (state, _) = watch::channel(State::default());
    let mut server = Server { handle, state, listeners: BTreeMap::new(), failed: BTreeMap::new() };
    loop {
        let now = State {
            checks: checks.borrow_and_update().clone(),
            healthy: *ready.borrow_and_update() && !*stopping.borrow_and_update(),
        };
        server.state.send_replace(now);
        server.listen().await;
        let retry = async {
            match server.failed.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(RETRY).await,
            }
        };
        let known = tokio::select! {
            changed = checks.changed() => changed.is_ok(),
            changed = ready.changed() => changed.is_ok(),
            changed = stopping.changed() => changed.is_ok(),
            () = retry => true,
        };
        if !known {
            return;
        }
    }
}

struct Server {
    handle: Handle,
    state: watch::Sender<State>,
    listeners: BTreeMap<u16, Listener>,
    /// Ports that could not be opened, and why.
    failed: BTreeMap<u16, String>,
}

impl Server {
    /// Opens and closes ports for the checks that there are. What cannot be opened is reported.
    async fn listen(&mut self) {
        let checks = self.state.borrow().checks.clone();
        self.listeners.retain(|port, _| checks.contains_key(port));
        let missing: BTreeSet<u16> =
            checks.keys().copied().filter(|port| !self.listeners.contains_key(port)).collect();
        let mut failed = BTreeMap::new();
        for port in missing {
            let state = self.state.subscribe();
            match Listener::open(everywhere(port), move |_| state.borrow().answer(port)) {
                Ok(listener) => drop(self.listeners.insert(port, listener)),
                Err(error) => drop(failed.insert(port, error.to_string())),
            }
        }
        if failed == self.failed {
            return;
        }
        let problems =
            failed.iter().filter_map(|(port, why)| Some(problem(*port, checks.get(port)?, why)));
        let problems: Vec<_> = problems.collect();
        for problem in &problems {
            tracing::warn!(%problem, "a health check is not answered");
        }
        // A store that is gone has nobody to tell.
        let _ = self.handle.report(SOURCE.to_owned(), problems).await;
        self.failed = failed;
    }
}

fn problem(port: u16, check: &HealthCheck, why: &str) -> SourceProblem {
    let HealthCheck { namespace, name, .. } = check;
    SourceProblem {
        object: format!("Service \"{namespace}/{name}\""),
        field: "healthCheckNodePort".to_owned(),
        reason: format!("port {port} cannot be opened: {why}"),
        effect: "load balancers get no answer; tried again every 5 seconds".to_owned(),
        ..SourceProblem::default()
    }
}

#[cfg(test)]
mod tests;
