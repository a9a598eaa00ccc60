//! A tokio runtime on a thread inside a namespace, for as long as a value lives.

use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::netns::Netns;

/// Runs what `start` spawned until it is dropped; sockets are closed when the drop returns.
#[derive(Debug)]
pub(super) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Waits for `start`, which binds sockets and spawns the tasks that serve them.
    pub fn start<F: Future<Output = Result<()>>>(
        netns: &Netns,
        start: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (started, start_result) = std::sync::mpsc::channel();
        let thread = netns.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = runtime.context("building a runtime").and_then(|runtime| {
                runtime.block_on(start())?;
                Ok(runtime)
            });
            match outcome {
                Ok(runtime) => {
                    // A receiver that is gone means that nobody waits; a sender, that all is over.
                    let _ = started.send(Ok(()));
                    let _ = runtime.block_on(stopped);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        });
        start_result.recv().context("the server's thread died")??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic inside has been printed where it happened.
            let _ = thread.join();
        }
    }
}
