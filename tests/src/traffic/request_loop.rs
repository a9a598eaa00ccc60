//! Requests without a pause, to show that something cost none of them.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{http, identity::Reply, udp};
use crate::bed::Host;

/// Sends requests from a host, one after another, until it is stopped or dropped.
#[derive(Debug)]
pub struct RequestLoop {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    report: Mutex<LoopReport>,
}

/// What became of the requests of a loop.
#[derive(Debug, Clone, Default)]
pub struct LoopReport {
    pub answered: u64,
    pub failed: u64,
    /// Answers by the server's name.
    pub servers: BTreeMap<String, u64>,
    /// Answers by the server's zone.
    pub zones: BTreeMap<String, u64>,
    /// The longest wait for an answer.
    pub slowest: Duration,
    /// The first failures, at most ten.
    pub failures: Vec<String>,
}

impl RequestLoop {
    /// HTTP requests, each over a new connection, with a pause between them.
    pub fn http(from: &Host, server: SocketAddr, pause: Duration) -> Self {
        Self::start(from, pause, move || http::get(server))
    }

    /// UDP exchanges, each from a new port, with a pause between them.
    pub fn udp(from: &Host, server: SocketAddr, pause: Duration) -> Self {
        Self::start(from, pause, move || udp::exchange(server, b"request"))
    }

    /// What happened so far.
    pub fn report(&self) -> LoopReport {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests have been made, counted from the start of the loop.
    pub fn wait_for(&self, requests: u64, timeout: Duration) -> Result<LoopReport> {
        let deadline = Instant::now() + timeout;
        loop {
            let report = self.report();
            if report.answered + report.failed >= requests {
                return Ok(report);
            }
            ensure!(Instant::now() < deadline, "not {requests} in {timeout:?}: {report}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops after the request under way and returns the whole story.
    pub fn stop(mut self) -> LoopReport {
        self.finish();
        self.report()
    }

    fn start(
        from: &Host,
        pause: Duration,
        request: impl Fn() -> Result<Reply> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = {
            let (shared, name) = (Arc::clone(&shared), from.name().to_owned());
            from.netns().spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let reply = request().with_context(|| format!("request from {name}"));
                    let mut report = shared.report.lock().unwrap_or_else(PoisonError::into_inner);
                    report.add(reply, start.elapsed());
                    drop(report);
                    thread::sleep(pause);
                }
            })
        };
        Self { shared, thread: Some(thread) }
    }

    fn finish(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for RequestLoop {
    fn drop(&mut self) {
        self.finish();
    }
}

impl LoopReport {
    /// Panics with the first failures if there were any, or if nothing was answered.
    #[track_caller]
    pub fn assert_none_failed(&self) {
        assert!(self.failed == 0 && self.answered > 0, "{self}");
    }

    fn add(&mut self, reply: Result<Reply>, took: Duration) {
        match reply {
            Ok(reply) => {
                self.answered += 1;
                *self.servers.entry(reply.server).or_default() += 1;
                *self.zones.entry(reply.zone).or_default() += 1;
                self.slowest = self.slowest.max(took);
            }
            Err(error) => {
                if self.failures.len() < 10 {
                    let number = self.answered + self.failed;
                    self.failures.push(format!("request {number}, after {took:?}: {error:#}"));
                }
                self.failed += 1;
            }
        }
    }
}

impl fmt::Display for LoopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, servers, slowest, failures, .. } = self;
        write!(f, "{answered} answered by {servers:?}, slowest {slowest:?}, {failed} failed")?;
        failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}
