//! Waits until a directory may have changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// Follows one directory, and whatever else takes its name.
pub struct Watch {
    directory: PathBuf,
    /// `None` where the kernel has no room for one: then the directory is read often.
    watcher: Option<RecommendedWatcher>,
    /// The kernel reports changes of the directory.
    following: bool,
    changed: Arc<Notify>,
}

impl Watch {
    pub fn new(directory: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let event = Arc::clone(&changed);
        let watcher = RecommendedWatcher::new(
            move |it: notify::Result<Event>| {
                // What is lost or unclear may have been a change.
                if it.map_or(true, |event| is_change(event.kind)) {
                    event.notify_one();
                }
            },
            notify::Config::default(),
        );
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "the kernel cannot watch the manifests"))
            .ok();
        Self { directory: directory.to_owned(), watcher, following: false, changed }
    }

    /// Follows what has the directory's name now; to be called before it is read, so that
    /// nothing changes unseen in between.
    pub fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        // The name may have moved on to another directory, and the kernel follows the old one.
        let _ = watcher.unwatch(&self.directory);
        self.following = watcher.watch(&self.directory, RecursiveMode::NonRecursive).is_ok();
    }

    /// Waits for a change and then for quiet, or until it is time to look anyway.
    pub async fn changed(&self) {
        let patience = if self.following { RESCAN } else { BLIND_RESCAN };
        if timeout(patience, self.changed.notified()).await.is_err() {
            return;
        }
        let latest = Instant::now() + GATHER;
        loop {
            tokio::select! {
                () = sleep(QUIET) => return,
                () = self.changed.notified() => if Instant::now() >= latest { return },
            }
        }
    }
}

/// Reading a file is an event, too.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// After the last of several changes that belong together.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that changes are waited out.
const GATHER: Duration = Duration::from_secs(2);
/// For what the kernel does not report, such as changes behind links.
const RESCAN: Duration = Duration::from_secs(30);
/// Where it reports nothing.
const BLIND_RESCAN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Far more than a change needs, far less than a rescan.
    const SOON: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn a_change_is_seen_also_in_a_directory_that_took_the_name() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("manifests");
        fs::create_dir(&directory).unwrap();
        let mut watch = Watch::new(&directory);
        watch.follow();
        fs::write(directory.join("a.yaml"), "").unwrap();
        timeout(SOON, watch.changed()).await.unwrap();

        fs::rename(&directory, scratch.path().join("old")).unwrap();
        fs::create_dir(&directory).unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        watch.follow();
        fs::write(directory.join("b.yaml"), "").unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), "").unwrap();
        let mut watch = Watch::new(directory.path());
        watch.follow();
        fs::read(directory.path().join("a.yaml")).unwrap();
        watch.follow();
        timeout(Duration::from_secs(1), watch.changed()).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_looked_for() {
        let mut watch = Watch::new(Path::new("/nonexistent/manifests"));
        watch.follow();
        timeout(SOON, watch.changed()).await.unwrap();
    }
}
