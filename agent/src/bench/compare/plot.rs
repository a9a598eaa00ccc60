//! The plot: how many packets each router delivers, or drops, a bar with the least and the most.
//!
//! Texts are placed by estimated widths, not by fonts of this machine, so that the file is the same
//! everywhere.
#![expect(clippy::cast_precision_loss, reason = "there are few routers")]

use std::io;

use plotters::{
    chart::ChartBuilder,
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::{ErrorBar, Rectangle, Text},
    prelude::SVGBackend,
    style::{BLACK, Color, RGBColor, WHITE},
};

use super::report::{Row, Scenario};
use crate::bench::statistics::Summary;

type PlotError = DrawingAreaErrorKind<io::Error>;

const SCENARIOS: [Scenario; 4] =
    [Scenario::Established, Scenario::RoundTrip, Scenario::New, Scenario::Denied];
const COLOR: RGBColor = RGBColor(0, 114, 178);
const ROW: u32 = 24;
const HEAD: u32 = 60;

/// The plot as SVG: a panel for each scenario that was measured.
pub fn draw(rows: &[Row]) -> Result<String, PlotError> {
    let panels: Vec<(Scenario, Vec<&Row>)> = SCENARIOS
        .into_iter()
        .map(|scenario| (scenario, rows.iter().filter(|row| row.scenario == scenario).collect()))
        .filter(|(_, rows): &(_, Vec<&Row>)| !rows.is_empty())
        .collect();
    let heights: Vec<u32> = panels.iter().map(|(_, rows)| HEAD + ROW * rows.len() as u32).collect();
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (760, heights.iter().sum())).into_drawing_area();
        root.fill(&WHITE)?;
        let mut rest = root.clone();
        for ((scenario, rows), height) in panels.iter().zip(heights) {
            let (area, below) = rest.split_vertically(height);
            panel(&area, *scenario, rows)?;
            rest = below;
        }
        root.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    scenario: Scenario,
    rows: &[&Row],
) -> Result<(), PlotError> {
    let most = rows.iter().map(|row| row.figures.kpps.max).fold(1.0, f64::max);
    let title = format!("{}: thousands of packets a second, median", scenario.name());
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .build_cartesian_2d(-most * 0.3..most * 1.15, 0.0..rows.len() as f64)?;
    for (index, row) in rows.iter().enumerate() {
        let bottom = (rows.len() - index) as f64 - 0.85;
        let Summary { min, median, max } = row.figures.kpps;
        let bar = [(0.0, bottom), (median, bottom + 0.7)];
        let label = |text: String, x| Text::new(text, (x, bottom + 0.6), ("sans-serif", 13));
        chart.draw_series([Rectangle::new(bar, COLOR.filled())])?;
        let middle = bottom + 0.35;
        let span = ErrorBar::new_horizontal(middle, min, median, max, BLACK.stroke_width(1), 7);
        chart.draw_series([span])?;
        chart.draw_series([
            label(row.router.name(), -most * 0.29),
            label(format!("{median:.0}"), max + most * 0.01),
        ])?;
    }
    Ok(())
}
