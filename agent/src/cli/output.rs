//! How answers are printed.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::error::CliError;

/// `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// Resources as `apply` reads them.
    Yaml,
    Json,
}

/// Prints one value as YAML or JSON.
pub fn print_value(
    out: &mut dyn Write,
    format: Format,
    value: &impl Serialize,
) -> Result<(), CliError> {
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)?;
    } else {
        serde_norway::to_writer(&mut *out, value)?;
    }
    Ok(())
}

/// Prints aligned columns under their names; nothing but the names when there are no rows.
pub fn print_table<R>(
    out: &mut dyn Write,
    names: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> Result<(), CliError>
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(names.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        let mut out = Vec::new();
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        print_table(&mut out, &["NAME", "ZONE"], [row("node-1", ""), row("n", "zone-a")]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME    ZONE\nnode-1\nn       zone-a\n");
    }
}
