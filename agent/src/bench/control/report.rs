//! How the figures of changes are printed.

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::bench::{BenchError, machine::Machine, options::Output, print, statistics::Summary};

#[derive(Debug, Serialize)]
pub struct ControlReport {
    pub machine: Machine,
    pub changes: Vec<Change>,
    pub memory: Memory,
}

/// One kind of change, made some times; milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Change {
    #[serde(rename = "change")]
    pub what: &'static str,
    /// From objects to resources.
    pub translate_ms: Summary,
    /// From resources to tables.
    pub compile_ms: Summary,
    /// From there until packets see them.
    pub commit_ms: Summary,
    /// All of it, until the change is answered: both sides of the tables and the state are
    /// written.
    pub answer_ms: Summary,
    #[serde(skip)]
    figures: Vec<Figures>,
}

/// How long the stages of one change took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub translate: Duration,
    pub compile: Duration,
    pub commit: Duration,
    pub answer: Duration,
}

/// Bytes, after all changes.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Of the kernel's maps: they have their full size from the beginning.
    pub maps: u64,
    /// Resident memory of this process, which holds what an agent does; the objects too.
    pub agent: u64,
}

impl Change {
    pub fn new(what: &'static str) -> Self {
        Self { what, ..Self::default() }
    }

    pub fn push(&mut self, figures: Figures) {
        self.figures.push(figures);
        let of = |stage: fn(&Figures) -> Duration| {
            let stages = self.figures.iter().map(|it| stage(it).as_secs_f64() * 1e3);
            Summary::hundredths(&stages.collect::<Vec<_>>())
        };
        self.translate_ms = of(|it| it.translate);
        self.compile_ms = of(|it| it.compile);
        self.commit_ms = of(|it| it.commit);
        self.answer_ms = of(|it| it.answer);
    }

    fn cells(&self) -> [String; 5] {
        let once = self.figures.len() == 1;
        let cell = |Summary { min, median, max }: Summary| {
            let range = if once { String::new() } else { format!(" ({min:.2}-{max:.2})") };
            format!("{median:.2}{range}")
        };
        let figures = [self.translate_ms, self.compile_ms, self.commit_ms, self.answer_ms];
        let [translate, compile, commit, answer] = figures.map(cell);
        [self.what.to_owned(), translate, compile, commit, answer]
    }
}

impl ControlReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            writeln!(out, "milliseconds, median (min-max)\n")?;
            let names = ["CHANGE", "TRANSLATE", "COMPILE", "COMMIT", "ANSWER"];
            print::table(out, names, 1, self.changes.iter().map(Change::cells))?;
            let Memory { maps, agent } = self.memory;
            writeln!(out, "\nmaps {} MiB, agent {} MiB resident", maps >> 20, agent >> 20)
        })
    }
}
