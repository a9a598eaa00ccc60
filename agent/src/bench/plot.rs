//! The plot: nanoseconds over the number of flows, with the least and the greatest as error bars.
//!
//! Texts are placed by estimated widths, not by fonts of this machine, so that the file is the same
//! everywhere.

use std::io;

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::{ErrorBar, PathElement},
    prelude::SVGBackend,
    series::LineSeries,
    style::{BLACK, Color, RGBColor, WHITE},
};

use super::report::Row;

type PlotError = DrawingAreaErrorKind<io::Error>;

/// Packets of known flows, and those that a flow is looked for in vain.
const PANELS: [(&str, &[&str]); 2] = [
    (
        "Known flows",
        &[
            "established",
            "established-v6",
            "reply",
            "reply-judged",
            "relayed",
            "reply-xdp",
            "masqueraded",
        ],
    ),
    ("Others", &["not-ours", "denied", "denied-far", "new", "new-fresh"]),
];

/// Told apart by the colour-blind as well (Okabe and Ito).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// The plot as SVG: a panel each for packets of known flows and for others.
pub fn draw(rows: &[Row]) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1080, 480)).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(540);
        for (area, (title, scenarios)) in [left, right].iter().zip(PANELS) {
            panel(area, title, scenarios, rows)?;
        }
        root.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    scenarios: &[&str],
    rows: &[Row],
) -> Result<(), PlotError> {
    let rows: Vec<_> = rows.iter().filter(|row| scenarios.contains(&row.scenario)).collect();
    let highest = rows.iter().map(|row| row.ns.max).fold(10.0, f64::max) * 1.05;
    let widest = rows.iter().map(|row| f64::from(row.flows).log2()).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{title}: ns per packet"), ("sans-serif", 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(45)
        .build_cartesian_2d(-0.5..widest + 0.5, 0.0..highest)?;
    chart
        .configure_mesh()
        .x_desc("Flows")
        .x_label_formatter(&|x| flows(*x))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .draw()?;
    for ((index, scenario), color) in (0_u32..).zip(scenarios).zip(COLORS) {
        // Side by side, so that no error bar hides another.
        let aside = (f64::from(index) - 3.0) * 0.08;
        let place = |row: &Row| f64::from(row.flows).log2() + aside;
        let own: Vec<_> = rows.iter().filter(|row| row.scenario == *scenario).collect();
        if own.is_empty() {
            continue;
        }
        let line = own.iter().map(|row| (place(row), row.ns.median));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(*scenario)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(own.iter().map(|row| {
            let ns = row.ns;
            ErrorBar::new_vertical(place(row), ns.min, ns.median, ns.max, color.filled(), 5)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}

/// Of the binary logarithm, as the options have it.
fn flows(logarithm: f64) -> String {
    let flows = logarithm.exp2();
    let (k, m) = (f64::from(1 << 10), f64::from(1 << 20));
    if flows < k {
        format!("{flows:.0}")
    } else if flows < m {
        format!("{:.0}k", flows / k)
    } else {
        format!("{:.0}M", flows / m)
    }
}
