//! What a run is compared with what was expected of it.

use std::{collections::BTreeSet, io::Write};

use serde::Serialize;

use super::ratios::{Ratios, Section};
use crate::bench::{BenchError, machine::Machine, options::Output, print};

#[derive(Debug, Serialize)]
pub struct CheckReport {
    pub machine: Machine,
    pub margin: f64,
    pub rows: Vec<Judgement>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    pub section: &'static str,
    pub row: String,
    pub expected: Option<f64>,
    pub measured: Option<f64>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Within,
    /// Beyond the margin, downwards: the file wants a new ratio, or it guards little.
    Faster,
    /// Beyond the margin.
    Slower,
    /// In the file, and nothing that was measured.
    NotMeasured,
    /// Measured, and not in the file.
    NotExpected,
}

impl Verdict {
    pub const fn fails(self) -> bool {
        !matches!(self, Self::Within | Self::Faster)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Faster => "faster",
            Self::Slower => "SLOWER",
            Self::NotMeasured => "NOT MEASURED",
            Self::NotExpected => "NOT EXPECTED",
        }
    }
}

/// A judgement for each row that either has.
pub fn judge(expected: &Ratios, measured: &Ratios) -> Vec<Judgement> {
    let margin = expected.margin;
    [("path", &expected.path, &measured.path), ("wire", &expected.wire, &measured.wire)]
        .into_iter()
        .flat_map(|(section, expected, measured)| rows(section, expected, measured, margin))
        .collect()
}

fn rows(
    section: &'static str,
    expected: &Section,
    measured: &Section,
    margin: f64,
) -> Vec<Judgement> {
    let names: BTreeSet<_> = expected.keys().chain(measured.keys()).collect();
    let judgement = |name: &String| {
        let (expected, measured) = (expected.get(name).copied(), measured.get(name).copied());
        let verdict = match (expected, measured) {
            (Some(expected), Some(measured)) => verdict(expected, measured, margin),
            (Some(_), None) => Verdict::NotMeasured,
            (None, _) => Verdict::NotExpected,
        };
        Judgement { section, row: name.clone(), expected, measured, verdict }
    };
    names.into_iter().map(judgement).collect()
}

/// What is no number is slower than any.
fn verdict(expected: f64, measured: f64, margin: f64) -> Verdict {
    if measured < expected * (1.0 - margin) {
        Verdict::Faster
    } else if measured <= expected * (1.0 + margin) {
        Verdict::Within
    } else {
        Verdict::Slower
    }
}

impl CheckReport {
    pub fn print(&self, output: Output, out: &mut dyn Write) -> Result<(), BenchError> {
        print::report(self, output, out, |out| {
            writeln!(out, "{}", self.machine)?;
            let percent = self.margin * 100.0;
            writeln!(out, "ratios that do not depend on the machine; margin {percent:.0} %\n")?;
            let names = ["SECTION", "ROW", "VERDICT", "EXPECTED", "MEASURED", "CHANGE %"];
            let rows = self.rows.iter().map(|row| {
                let figure = |it: Option<f64>| it.map_or("-".to_owned(), |it| format!("{it:.3}"));
                let change = row.expected.zip(row.measured);
                let change = change.map(|(expected, measured)| measured / expected - 1.0);
                let change = change.map_or("-".to_owned(), |it| format!("{:+.1}", it * 100.0));
                let (section, verdict) = (row.section.to_owned(), row.verdict.name().to_owned());
                let [expected, measured] = [figure(row.expected), figure(row.measured)];
                [section, row.row.clone(), verdict, expected, measured, change]
            });
            print::table(out, names, 3, rows)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(path: &[(&str, f64)], wire: &[(&str, f64)]) -> Ratios {
        let section = |rows: &[(&str, f64)]| {
            rows.iter().map(|(name, ratio)| ((*name).to_owned(), *ratio)).collect()
        };
        Ratios { path: section(path), wire: section(wire), ..Ratios::default() }
    }

    fn verdicts(expected: &Ratios, measured: &Ratios) -> Vec<Verdict> {
        judge(expected, measured).into_iter().map(|row| row.verdict).collect()
    }

    #[test]
    fn a_tampered_ratio_fails() {
        let measured = ratios(&[("established 1", 1.0)], &[("established 64", 4.4)]);
        assert_eq!(verdicts(&measured, &measured), [Verdict::Within; 2]);
        for (path, wire, expected) in [
            (0.88, 4.4, [Verdict::Within, Verdict::Within]),
            (0.86, 4.4, [Verdict::Slower, Verdict::Within]),
            (1.0, 3.8, [Verdict::Within, Verdict::Slower]),
            (1.2, 4.4, [Verdict::Faster, Verdict::Within]),
        ] {
            let committed = ratios(&[("established 1", path)], &[("established 64", wire)]);
            let found = verdicts(&committed, &measured);
            assert_eq!(found, expected, "{path} {wire}");
            assert_eq!(
                found.iter().any(|it| it.fails()),
                expected.contains(&Verdict::Slower),
                "{path} {wire}"
            );
        }
    }

    #[test]
    fn a_missing_row_fails_whichever_side_misses_it() {
        let (both, one) = (ratios(&[("a", 1.0), ("b", 1.0)], &[]), ratios(&[("a", 1.0)], &[]));
        assert_eq!(verdicts(&both, &one), [Verdict::Within, Verdict::NotMeasured]);
        assert_eq!(verdicts(&one, &both), [Verdict::Within, Verdict::NotExpected]);
        assert!(Verdict::NotMeasured.fails() && Verdict::NotExpected.fails());
        // The other section's row of the same name is another row.
        let wire = ratios(&[], &[("a", 1.0)]);
        assert_eq!(verdicts(&one, &wire), [Verdict::NotMeasured, Verdict::NotExpected]);
    }

    #[test]
    fn what_is_no_number_fails() {
        assert_eq!(verdict(1.0, f64::NAN, 0.15), Verdict::Slower);
        assert_eq!(verdict(1.0, f64::INFINITY, 0.15), Verdict::Slower);
    }

    #[test]
    fn the_table_says_row_expectation_and_finding() {
        let machine = Machine {
            cpu: "AMD EPYC".into(),
            cores: 2,
            kernel: "6.18.0".into(),
            date: "2026-01-02T03:04:05Z".into(),
            governor: None,
        };
        let rows = judge(&ratios(&[("new 1", 8.0)], &[]), &ratios(&[("new 1", 10.0)], &[]));
        let mut out = Vec::new();
        CheckReport { machine, margin: 0.15, rows }.print(Output::Table, &mut out).unwrap();
        let expected = "\
AMD EPYC, 2 cores, Linux 6.18.0, 2026-01-02T03:04:05Z
ratios that do not depend on the machine; margin 15 %

SECTION  ROW    VERDICT  EXPECTED  MEASURED  CHANGE %
path     new 1  SLOWER      8.000    10.000     +25.0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
