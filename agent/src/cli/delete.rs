//! `zonegate delete`: takes resources away in one transaction.

use std::io::Write;

use clap::Args;
use proto::v1::{ApplyRequest, ResourceKey};

use super::{
    apply::{Writer, submit},
    client::Client,
    error::CliError,
    kind::KindArgument,
    resource,
};

#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// Kind of resource: node, workload, address-set, policy, backend-set, service
    kind: KindArgument,
    /// Names; one that is not held is no error
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    writer: Writer,
    /// Only say whether it would be accepted
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(
    arguments: &DeleteArguments,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let kind = arguments.kind.0.into();
    let removes: Vec<ResourceKey> =
        arguments.names.iter().map(|name| ResourceKey { kind, name: name.clone() }).collect();
    let lines = removes.iter().map(|key| format!("{} removed", resource::describe_key(key)));
    let lines = lines.collect();
    let request = ApplyRequest {
        owner: arguments.writer.owner.clone(),
        writer_epoch: arguments.writer.writer_epoch,
        upserts: Vec::new(),
        removes,
        validate_only: arguments.dry_run,
    };
    submit(client, request, lines, out).await
}
