//! An address that is kept open until the store ends.

use std::net::SocketAddr;

use hyper::Response;
use tokio::time::sleep;

use super::{RETRY, listener::Listener};
use crate::{source_problem::SourceProblem, store::Handle};

/// Where something is answered, and what is said while it cannot be.
pub(super) struct Place {
    pub address: SocketAddr,
    /// What problems are reported under.
    pub source: &'static str,
    /// What is asked for there.
    pub paths: &'static str,
    /// What follows from not answering.
    pub without: &'static str,
}

impl Place {
    /// An address that somebody else has is tried again: a kube-proxy that is being replaced has it until
    /// it ends.
    pub async fn keep_open(
        &self,
        handle: &Handle,
        answer: impl Fn(&str) -> Response<String> + Clone + Send + Sync + 'static,
    ) {
        let mut reported = None;
        loop {
            let opened = Listener::open(self.address, answer.clone());
            let problem = opened.as_ref().err().map(|why| self.problem(&why.to_string()));
            if problem != reported {
                if let Some(problem) = &problem {
                    tracing::warn!(%problem, "{} is not answered", self.paths);
                }
                let problems = problem.iter().cloned().collect();
                if handle.report(self.source.to_owned(), problems).await.is_err() {
                    return;
                }
                reported = problem;
            }
            let Ok(_listener) = opened else {
                sleep(RETRY).await;
                continue;
            };
            let mut ready = handle.ready();
            while ready.changed().await.is_ok() {}
            return;
        }
    }

    fn problem(&self, why: &str) -> SourceProblem {
        SourceProblem {
            object: self.address.to_string(),
            reason: format!("the address for {} cannot be opened: {why}", self.paths),
            effect: format!("{}; tried again every {} seconds", self.without, RETRY.as_secs()),
            ..SourceProblem::default()
        }
    }
}
