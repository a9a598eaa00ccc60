//! What is reported of several rounds.

use serde::Serialize;

/// The least, the median and the greatest of some figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Summary {
    /// To a tenth. Of no figures: zeros.
    pub fn of(figures: &[f64]) -> Self {
        Self::rounded(figures, 10.0)
    }

    /// To a hundredth. Of no figures: zeros.
    pub fn hundredths(figures: &[f64]) -> Self {
        Self::rounded(figures, 100.0)
    }

    fn rounded(figures: &[f64], parts: f64) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        let round = |figure: f64| (figure * parts).round() / parts;
        Self {
            min: round(at(0)),
            median: round(f64::midpoint(at(last / 2), at(last.div_ceil(2)))),
            max: round(at(last)),
        }
    }
}

/// The figure that a quarter of all are below. Of no figures: zero.
pub fn lower_quartile(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 4).copied().unwrap_or(0.0)
}

/// How long something took that was done many times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    /// The least figures that so many of all are not above, to a hundredth. Of no figures: zeros.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (figures.len() * percent).div_ceil(100);
            let figure = figures.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
            (figure * 100.0).round() / 100.0
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        for (figures, min, median, max) in [
            (&[][..], 0.0, 0.0, 0.0),
            (&[7.04], 7.0, 7.0, 7.0),
            (&[9.0, 1.0, 5.0], 1.0, 5.0, 9.0),
            (&[4.0, 1.0, 100.0, 2.0], 1.0, 3.0, 100.0),
            (&[-1.26, 0.0, 2.0], -1.3, 0.0, 2.0),
        ] {
            assert_eq!(Summary::of(figures), Summary { min, median, max }, "{figures:?}");
        }
        let summary = Summary { min: 0.13, median: 0.25, max: 0.38 };
        assert_eq!(Summary::hundredths(&[0.126, 0.376]), summary);
    }

    #[test]
    fn the_lower_quartile_is_a_figure_that_was_measured() {
        for (figures, expected) in
            [(&[][..], 0.0), (&[7.0], 7.0), (&[9.0, 1.0, 5.0, 3.0], 3.0), (&[4.0, 2.0, 1.0], 1.0)]
        {
            assert!((lower_quartile(figures) - expected).abs() < 1e-9, "{figures:?}");
        }
    }

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let of = |count: u32| Percentiles::of((1..=count).rev().map(f64::from).collect());
        for (count, p50, p99, max) in [
            (0, 0.0, 0.0, 0.0),
            (1, 1.0, 1.0, 1.0),
            (100, 50.0, 99.0, 100.0),
            (200, 100.0, 198.0, 200.0),
        ] {
            assert_eq!(of(count), Percentiles { p50, p99, max }, "{count}");
        }
    }
}
