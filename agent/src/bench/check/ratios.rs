//! The file of committed ratios.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::bench::BenchError;

/// Ratios by scenario and flows.
pub type Section = BTreeMap<String, f64>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratios {
    /// The part of a ratio by which a run may exceed it.
    pub margin: f64,
    /// Of the programs' time per packet, to that of a program of fixed work.
    pub path: Section,
    /// Of the time per packet through a node, to that through one that redirects everything.
    pub wire: Section,
}

impl Ratios {
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let text = fs::read_to_string(path)
            .map_err(|source| BenchError::RatiosFile { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|source| BenchError::Ratios { path: path.to_owned(), source })
    }

    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The margin that a file has chosen, or the usual one where there is no file.
    pub fn margin_of(path: &Path) -> Result<f64, BenchError> {
        Ok(if path.exists() { Self::read(path)?.margin } else { Self::default().margin })
    }

    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        fs::write(path, self.text()?)
            .map_err(|source| BenchError::RatiosFile { path: path.to_owned(), source })
    }

    fn text(&self) -> Result<String, toml::ser::Error> {
        let thousandths = |section: &Section| {
            section.iter().map(|(name, it)| (name.clone(), (it * 1e3).round() / 1e3)).collect()
        };
        let rounded = Self {
            margin: self.margin,
            path: thousandths(&self.path),
            wire: thousandths(&self.wire),
        };
        Ok(format!("{HEADER}{}", toml::to_string(&rounded)?))
    }

    /// The lower of two ratios for each row that both have, and the rows that one has.
    #[must_use]
    pub fn least(mut self, other: Self) -> Self {
        for (mine, theirs) in [(&mut self.path, other.path), (&mut self.wire, other.wire)] {
            for (name, ratio) in theirs {
                mine.entry(name).and_modify(|it| *it = it.min(ratio)).or_insert(ratio);
            }
        }
        self
    }
}

impl Default for Ratios {
    fn default() -> Self {
        Self { margin: 0.15, path: Section::new(), wire: Section::new() }
    }
}

const HEADER: &str = "\
# What packets cost, as ratios that do not depend on how fast a machine is. `hack/bench --check`
# compares a short run with them; `hack/bench --bless` writes them anew, on an idle machine.
#
# path: time per packet above an empty program, to that of a program of fixed work.
# wire: time per packet through the agent's node, to that through a node that redirects everything.
#
# The margin: two builds of the same path differ by up to 12 %, with where its code comes to lie.

";

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(path: &[(&str, f64)]) -> Ratios {
        let path = path.iter().map(|(name, ratio)| ((*name).to_owned(), *ratio)).collect();
        Ratios { path, ..Ratios::default() }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = ratios(&[("established 1", 1.001_4), ("new 1024", 10.5)]).text().unwrap();
        assert!(written.starts_with('#'), "{written}");
        let expected = ratios(&[("established 1", 1.001), ("new 1024", 10.5)]);
        assert_eq!(Ratios::parse(&written), Ok(expected));
    }

    #[test]
    fn of_two_runs_the_better_counts() {
        let runs = ratios(&[("a", 1.0), ("b", 2.0)]).least(ratios(&[("b", 1.5), ("c", 3.0)]));
        assert_eq!(runs, ratios(&[("a", 1.0), ("b", 1.5), ("c", 3.0)]));
    }
}
