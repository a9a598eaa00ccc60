//! The task that keeps the store told of what the directory holds.

use std::{collections::BTreeSet, path::PathBuf};

use super::{Contents, Directory, OWNER, pending::Pending, scan::scan, watch::Watch};
use crate::{
    kubernetes::{Options, whole},
    model::Key,
    source_problem::SourceProblem,
    store::{Answer, Content, Digest, Gone, Handle, Mode, Readiness, SessionId, WriteError},
};

/// Keeps the store told until the store ends. Nothing that becomes of the directory ends it.
pub async fn run(directory: PathBuf, options: Options, handle: Handle) {
    let source = Source {
        watch: Watch::new(&directory),
        path: directory,
        handle,
        directory: Directory::new(options),
        known: Known::Nothing,
        pending: Pending::default(),
        session: None,
        first: true,
        reported: Vec::new(),
    };
    let Err(Gone) = source.follow().await;
}

struct Source {
    path: PathBuf,
    watch: Watch,
    handle: Handle,
    directory: Directory,
    known: Known,
    pending: Pending,
    session: Option<SessionId>,
    /// Nothing was accepted since the agent started.
    first: bool,
    /// The problems that were told last.
    reported: Vec<SourceProblem>,
}

/// How far the store was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The directory was never read.
    Nothing,
    /// A snapshot is due.
    Directory,
    /// The store has accepted a snapshot of this session.
    Snapshot,
}

/// Why the store does not hold what the directory says.
enum Trouble {
    Gone,
    /// For people: what is wrong, and what follows.
    Told(Vec<SourceProblem>),
}

impl Source {
    async fn follow(mut self) -> Result<std::convert::Infallible, Gone> {
        loop {
            self.watch.follow();
            let lost = self.look().await;
            let mut problems: Vec<SourceProblem> = lost.into_iter().collect();
            problems.extend(self.directory.problems());
            match self.tell().await {
                Ok(()) => {}
                Err(Trouble::Gone) => return Err(Gone),
                Err(Trouble::Told(more)) => problems.extend(more),
            }
            self.report(problems).await?;
            self.watch.changed().await;
        }
    }

    /// Reads the directory; tells why it could not be.
    async fn look(&mut self) -> Option<SourceProblem> {
        let path = self.path.clone();
        let contents: Result<Contents, String> = tokio::task::spawn_blocking(move || scan(&path))
            .await
            .map_err(|error| error.to_string())
            .and_then(|contents| contents.map_err(|error| error.to_string()));
        match contents {
            Ok(contents) => {
                self.pending.add(self.directory.update(contents));
                if self.known == Known::Nothing {
                    self.known = Known::Directory;
                }
                None
            }
            Err(reason) => Some(SourceProblem {
                file: self.path.display().to_string(),
                reason: format!("the directory cannot be read: {reason}"),
                effect: "its last objects hold".to_owned(),
                ..SourceProblem::default()
            }),
        }
    }

    /// Has the store hold what the directory says.
    async fn tell(&mut self) -> Result<(), Trouble> {
        let snapshot = match self.known {
            Known::Nothing => return Ok(()),
            Known::Directory => true,
            Known::Snapshot if self.pending.is_empty() => return Ok(()),
            Known::Snapshot => false,
        };
        let session = match self.session {
            Some(session) => session,
            None => self.open().await?,
        };
        let content = if snapshot {
            let upserts = self.directory.resources().cloned().collect();
            Content { upserts, ..Content::default() }
        } else {
            self.pending.content()
        };
        let (upserts, removes) = (content.upserts.len(), content.removes.len());
        // Nothing is ever sent twice, so no nonce is ever looked up again.
        let answer =
            self.handle.submit(session, rand::random(), Digest::default(), snapshot, content);
        match answer.await? {
            Ok(Answer::Accepted(accepted)) => {
                self.first = false;
                if snapshot {
                    self.pending.replaced(self.directory.resources());
                    self.known = Known::Snapshot;
                } else {
                    self.pending.accepted();
                }
                let revision = accepted.revision;
                tracing::info!(revision, upserts, removes, snapshot, "committed the manifests");
                Ok(())
            }
            Ok(Answer::Refused(refusals)) => {
                let refusals = refusals.into_iter().map(|refusal| SourceProblem {
                    object: refusal.key.map(|key| key.to_string()).unwrap_or_default(),
                    field: refusal.field,
                    reason: refusal.reason,
                    effect: NOTHING.to_owned(),
                    ..SourceProblem::default()
                });
                Err(Trouble::Told(refusals.collect()))
            }
            Err(error @ WriteError::Commit(_)) => Err(error.into()),
            Err(error) => {
                // The next look begins with a snapshot in a session of its own.
                self.handle.close(session);
                self.session = None;
                self.known = Known::Directory;
                Err(error.into())
            }
        }
    }

    async fn open(&mut self) -> Result<SessionId, Trouble> {
        let status = self.handle.status().await?;
        let owner = status.owners.iter().find(|owner| owner.name == OWNER);
        let epoch = owner.map_or(0, |owner| owner.epoch);
        let greeting = self.handle.open(OWNER.to_owned(), epoch, Mode::Replace).await??;
        let held: BTreeSet<Key> = greeting.inventory.into_iter().map(|(key, _)| key).collect();
        if self.first
            && let Err(trouble) = self.refuse_to_forget(&held, &status.readiness)
        {
            self.handle.close(greeting.session);
            return Err(trouble);
        }
        self.session = Some(greeting.session);
        Ok(greeting.session)
    }

    /// A snapshot would remove what an earlier agent knew of files that are broken now.
    fn refuse_to_forget(&self, held: &BTreeSet<Key>, readiness: &Readiness) -> Result<(), Trouble> {
        // Tables of an earlier agent may hold anything.
        let holding = *readiness == Readiness::Holding;
        let held_whole: BTreeSet<Key> = held.iter().map(whole).collect();
        let unknown = self.directory.unknown(|key| holding || held_whole.contains(key));
        if unknown.is_empty() || (held.is_empty() && !holding) {
            return Ok(());
        }
        Err(Trouble::Told(vec![SourceProblem {
            reason: format!(
                "the agent has started, and what these files held before they were broken is not \
                 known: {}",
                unknown.join(", ")
            ),
            effect: "all that was held before the start holds; nothing new does".to_owned(),
            ..SourceProblem::default()
        }]))
    }

    /// Logs what is new, and has the status show all.
    async fn report(&mut self, problems: Vec<SourceProblem>) -> Result<(), Gone> {
        if problems == self.reported {
            return Ok(());
        }
        let before: BTreeSet<String> = self.reported.iter().map(ToString::to_string).collect();
        let now: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        for problem in now.difference(&before) {
            tracing::warn!("manifests: {problem}");
        }
        for problem in before.difference(&now) {
            tracing::info!("manifests: no more: {problem}");
        }
        self.reported.clone_from(&problems);
        self.handle.report(OWNER.to_owned(), problems).await
    }
}

impl From<Gone> for Trouble {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<WriteError> for Trouble {
    fn from(error: WriteError) -> Self {
        let reason = error.to_string();
        let effect = NOTHING.to_owned();
        Self::Told(vec![SourceProblem { reason, effect, ..SourceProblem::default() }])
    }
}

const NOTHING: &str = "nothing of the last change holds; it is tried again with the next";
