//! The task that keeps the store told of what the directory holds.

use std::{collections::BTreeSet, path::PathBuf};

use super::{Contents, Directory, OWNER, scan::scan, watch::Watch};
use crate::{
    kubernetes::{Options, whole},
    model::Key,
    source::{Before, Trouble, Writer},
    source_problem::SourceProblem,
    store::{Gone, Handle, Readiness},
};

/// Keeps the store told until the store ends. Nothing that becomes of the directory ends it.
pub async fn run(directory: PathBuf, options: Options, handle: Handle) {
    let source = Source {
        watch: Watch::new(&directory),
        path: directory,
        directory: Directory::new(options),
        read: false,
        writer: Writer::new(OWNER, handle),
        first: true,
    };
    let Err(Gone) = source.follow().await;
}

struct Source {
    path: PathBuf,
    watch: Watch,
    directory: Directory,
    /// The directory was read at least once.
    read: bool,
    writer: Writer,
    /// Nothing was accepted since the agent started.
    first: bool,
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
            self.writer.report(problems).await?;
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
                self.writer.add(self.directory.update(contents));
                self.read = true;
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
        if !self.read {
            return Ok(());
        }
        if self.first
            && let Some(before) = self.writer.open().await?
            && let Err(trouble) = self.refuse_to_forget(&before)
        {
            self.writer.close();
            return Err(trouble);
        }
        self.writer.tell(|| self.directory.resources()).await?;
        self.first = false;
        Ok(())
    }

    /// A snapshot would remove what an earlier agent knew of files that are broken now.
    fn refuse_to_forget(&self, Before { held, readiness }: &Before) -> Result<(), Trouble> {
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
}
