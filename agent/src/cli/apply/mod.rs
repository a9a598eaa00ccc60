//! `zonegate apply`: makes the agent hold what files say, in one transaction.

mod objects;
mod replace;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use proto::v1::{
    Ack, ApplyRequest, Nack, Resource, ResourceKey, apply_response::Answer, resource_key::Kind,
};

use super::{
    client::Client,
    error::CliError,
    manifest::{self, Manifest},
    resource,
};
use objects::Objects;

#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// YAML or JSON files with resources or Kubernetes objects, or directories of such files
    /// (*.yaml, *.yml, *.json); `-` is standard input. Kubernetes objects depend on each other,
    /// so give all of them together: they are all that the owner has
    #[arg(short, long = "filename", required = true, value_name = "FILE", num_args = 1..)]
    files: Vec<String>,
    #[command(flatten)]
    writer: Writer,
    /// Only say whether it would be accepted
    #[arg(long)]
    dry_run: bool,
    /// Also remove what this owner holds and the files do not: the files are all there is. Ends
    /// the holding of an agent that was started without its saved state
    #[arg(long)]
    prune: bool,
}

/// What is to be held.
pub struct Upserts {
    resources: Vec<Resource>,
    /// Where some come from.
    objects: Option<Objects>,
}

/// On whose behalf resources are written.
#[derive(Debug, Args)]
pub struct Writer {
    /// Owner of the resources; those of others are not touched
    #[arg(long, default_value = "cli")]
    pub owner: String,
    /// Fences off writers of the same owner with a lower number
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub writer_epoch: u64,
}

impl ApplyArguments {
    /// What is in the files.
    pub fn upserts(&self) -> Result<Upserts, CliError> {
        let Manifest { mut resources, objects } = manifest::read(&self.files)?;
        let objects = (!objects.is_empty()).then(|| Objects::new(objects));
        resources.extend(objects.iter().flat_map(|objects| objects.resources.iter().cloned()));
        if resources.is_empty() && !self.prune {
            return Err(CliError::NothingToApply);
        }
        Ok(Upserts { resources, objects })
    }
}

pub async fn run(
    arguments: &ApplyArguments,
    upserts: Upserts,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let Upserts { resources: upserts, objects } = upserts;
    let mut lines: Vec<String> =
        upserts.iter().map(|it| format!("{} applied", resource::describe(it))).collect();
    let mut removes = Vec::new();
    if arguments.prune || objects.is_some() {
        let kept: BTreeSet<_> = upserts.iter().filter_map(resource::key).map(order).collect();
        let held = client.list(Kind::Unspecified, &arguments.writer.owner).await?;
        removes.extend(held.iter().filter_map(|it| resource::key(it.resource.as_ref()?)));
        removes.retain(|key| !kept.contains(&order(key.clone())));
        if let (Some(objects), false) = (&objects, arguments.prune) {
            objects.account_for(&removes)?;
        }
        lines.extend(removes.iter().map(|key| format!("{} removed", resource::describe_key(key))));
    }
    if arguments.prune && !arguments.dry_run {
        let answer = replace::replace(client, &arguments.writer, upserts).await?;
        return report(answer, false, lines, out);
    }
    let request = ApplyRequest {
        owner: arguments.writer.owner.clone(),
        writer_epoch: arguments.writer.writer_epoch,
        upserts,
        removes,
        validate_only: arguments.dry_run,
    };
    submit(client, request, lines, out).await
}

fn order(key: ResourceKey) -> (i32, String) {
    (key.kind, key.name)
}

/// Sends one transaction and prints what became of it; `lines` tell what it does.
pub async fn submit(
    client: &Client,
    request: ApplyRequest,
    lines: Vec<String>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let dry_run = request.validate_only;
    let response = match client.dataplane().apply(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(client.write_failed(status).await),
    };
    let answer = response.answer.ok_or(CliError::Protocol("it is empty"))?;
    report(answer, dry_run, lines, out)
}

fn report(
    answer: Answer,
    dry_run: bool,
    lines: Vec<String>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match answer {
        Answer::Ack(ack) => accepted(&ack, dry_run, lines, out),
        Answer::Nack(nack) => Err(refused(&nack, &mut io::stderr())?),
    }
}

fn accepted(
    ack: &Ack,
    dry_run: bool,
    lines: Vec<String>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let suffix = if dry_run { " (dry run)" } else { "" };
    for line in lines {
        writeln!(out, "{line}{suffix}")?;
    }
    if dry_run {
        writeln!(out, "would be accepted at revision {}; nothing was changed", ack.revision)?;
    } else {
        writeln!(
            out,
            "revision {}: compiled in {:?}, visible to packets {:?} later",
            ack.revision,
            Duration::from_micros(ack.compile_microseconds),
            Duration::from_micros(ack.commit_microseconds)
        )?;
    }
    Ok(())
}

/// One line for each reason, as `Service "web", frontends[1].port: …`.
fn refused(nack: &Nack, out: &mut dyn Write) -> io::Result<CliError> {
    for refusal in &nack.refusals {
        let resource = refusal.resource.as_ref().map(resource::describe_key);
        let place: Vec<&str> = resource
            .as_deref()
            .into_iter()
            .chain([refusal.field.as_str()])
            .filter(|part| !part.is_empty())
            .collect();
        let separator = if place.is_empty() { "" } else { ": " };
        writeln!(out, "refused: {}{separator}{}", place.join(", "), refusal.reason)?;
    }
    Ok(CliError::Refused(nack.refusals.len()))
}
