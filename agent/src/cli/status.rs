//! `zonegate status`: how the node is.

use std::io::Write;

use clap::Args;
use proto::v1::{GetStatusRequest, GetStatusResponse};

use super::{
    client::Client,
    error::CliError,
    kind::kind_name,
    output::{Format, print_table, print_value},
};
use crate::source_problem::SourceProblem;

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub async fn run(
    arguments: &StatusArguments,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let status = client
        .observe()
        .get_status(GetStatusRequest {})
        .await
        .map_err(|status| client.failed(status))?
        .into_inner();
    match arguments.output {
        Format::Table => summary(out, &status),
        format => print_value(out, format, &status),
    }
}

fn summary(out: &mut dyn Write, status: &GetStatusResponse) -> Result<(), CliError> {
    writeln!(out, "node       {}", status.node)?;
    match status.ready {
        true => writeln!(out, "ready      yes")?,
        false => writeln!(out, "ready      no: {}", status.not_ready_reason)?,
    }
    let lineage: String = status.lineage.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "revision   {} of {lineage}", status.revision)?;
    if let Some(commits) = &status.commits {
        writeln!(
            out,
            "commits    {} accepted, {} refused, {} failed",
            commits.accepted, commits.refused, commits.failed
        )?;
    }
    let version = &status.agent_version;
    writeln!(out, "agent      {version}, tables version {}", status.abi_version)?;
    if !status.save_error.is_empty() {
        writeln!(out, "WARNING    the state could not be saved: {}", status.save_error)?;
    }

    if !status.problems.is_empty() {
        writeln!(out, "\nPROBLEMS")?;
        for problem in &status.problems {
            writeln!(out, "{}: {}", problem.source, said(problem))?;
        }
    }

    let resources =
        status.resources.iter().map(|it| [kind_name(it.kind()).to_owned(), it.count.to_string()]);
    section(out, &["RESOURCES", "HELD"], resources)?;
    let owners = status.owners.iter().map(|it| {
        let live = if it.live { "connected" } else { "" };
        [it.owner.clone(), it.writer_epoch.to_string(), it.resources.to_string(), live.to_owned()]
    });
    section(out, &["OWNER", "EPOCH", "RESOURCES", ""], owners)?;
    let attachments = status.attachments.iter().map(|it| [it.interface.clone(), it.hook.clone()]);
    section(out, &["INTERFACE", "HOOK"], attachments)?;
    let limits = status.limits.iter().filter(|it| it.used > 0);
    let limits = limits.map(|it| fill(&it.limit, it.used, it.room));
    section(out, &["LIMIT", "USED", "ROOM", "FILL"], limits)?;
    let tables = status.tables.iter().map(|it| fill(&it.table, it.used, it.capacity));
    section(out, &["TABLE", "USED", "CAPACITY", "FILL"], tables)?;
    let counters = status.counters.iter().filter(|it| it.packets > 0).map(|it| {
        let fate = if it.drop { "dropped" } else { "passed" };
        [it.name.clone(), fate.to_owned(), it.packets.to_string()]
    });
    section(out, &["REASON", "FATE", "PACKETS"], counters)
}

fn fill(name: &str, used: u64, room: u64) -> [String; 4] {
    let percent = used.saturating_mul(100).checked_div(room).unwrap_or(0);
    [name.to_owned(), used.to_string(), room.to_string(), format!("{percent}%")]
}

/// As the agent logs it.
fn said(problem: &proto::v1::SourceProblem) -> SourceProblem {
    let proto::v1::SourceProblem { source: _, file, line, column, object, field, reason, effect } =
        problem.clone();
    SourceProblem { file, line, column, object, field, reason, effect }
}

/// A table after a blank line; nothing when it has no rows.
fn section<const N: usize>(
    out: &mut dyn Write,
    names: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), CliError> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    writeln!(out)?;
    print_table(out, names, rows)
}
