//! The plot: what more and more clients in one zone do.
//!
//! Texts are placed by estimated widths, not by fonts of this machine, so that the file is the same
//! everywhere.

use std::io;

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::PathElement,
    prelude::SVGBackend,
    series::LineSeries,
    style::{BLACK, Color, RGBColor, WHITE},
};

use super::{cluster::Policy, flows::Outcome};

/// One cluster of the plot.
pub struct Point {
    /// Per cent of all clients that are in the first zone.
    pub clients: f64,
    /// By policy.
    pub outcomes: [Outcome; Policy::ALL.len()],
}

pub type PlotError = DrawingAreaErrorKind<io::Error>;

/// Same-Zone is not drawn: where every zone has backends, it is what hints are.
const LINES: [(Policy, &str, RGBColor); 3] = [
    (Policy::Spill, "zone spill 1.2", RGBColor(0, 114, 178)),
    (Policy::Hints, "PreferClose, Same-Zone", RGBColor(213, 94, 0)),
    (Policy::Random, "random", RGBColor(110, 110, 110)),
];

/// The plot as SVG: shares kept in the zone, and the load of the worst backend.
pub fn draw(points: &[Point]) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(480);
        panel(&left, points, "Flows kept in their zone, %", 110.0, |it| it.in_zone)?;
        panel(&right, points, "Load of the worst backend, % of fair", 320.0, |it| {
            it.worst_backend
        })?;
        root.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    points: &[Point],
    title: &str,
    highest: f64,
    figure: fn(&Outcome) -> f64,
) -> Result<(), PlotError> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..100.0, 0.0..highest)?;
    chart
        .configure_mesh()
        .x_desc("Clients in zone a, % (backends: a third in each zone)")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .draw()?;
    for (policy, name, color) in LINES {
        let line = points.iter().map(|it| (it.clients, figure(&it.outcomes[policy as usize])));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    // No line of either panel comes down to there.
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .label_font(("sans-serif", 13))
        .background_style(WHITE)
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}
