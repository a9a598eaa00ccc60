//! `zonegate doctor`: puts right what is around the agent.

use std::io::Write;

use clap::Args;
use proto::v1::{GetStatusRequest, Protocol, resource, resource_key::Kind};

use super::{client::Client, error::CliError};
use crate::kube_proxy::{self, Leftovers, ServicePort, some};

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Shows the rules that a kube-proxy has left in this network namespace
    #[arg(long, required = true)]
    cleanup_kube_proxy: bool,
    /// Removes them, if the agent is ready and has their services
    #[arg(long)]
    yes: bool,
}

/// Removes a kube-proxy's rules, or says what would be removed.
pub async fn run(
    arguments: &DoctorArguments,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let leftovers = kube_proxy::find()?;
    for program in &leftovers.missing {
        writeln!(out, "there is no {program}; what only it shows was not looked at")?;
    }
    if leftovers.removals.is_empty() {
        return Ok(writeln!(out, "nothing is left of a kube-proxy")?);
    }
    for line in leftovers.removals.iter().flat_map(|removal| &removal.what) {
        writeln!(out, "{line}")?;
    }
    check(client, &leftovers).await?;
    if !arguments.yes {
        return Ok(writeln!(out, "nothing was removed; --yes removes all of this")?);
    }
    for removal in &leftovers.removals {
        removal.run()?;
    }
    Ok(writeln!(out, "removed")?)
}

/// Whether the agent does what the rules do.
async fn check(client: &Client, leftovers: &Leftovers) -> Result<(), CliError> {
    let failed = |status| client.failed(status);
    let status = client.observe().get_status(GetStatusRequest {}).await.map_err(failed)?;
    let status = status.into_inner();
    if !status.ready {
        return Err(CliError::StillNeeded(format!(
            "the agent is not ready: {}",
            status.not_ready_reason
        )));
    }
    let mut missing = leftovers.services.clone();
    for held in client.list(Kind::Service, "").await? {
        if let Some(resource::Kind::Service(service)) = held.resource.and_then(|it| it.kind) {
            for frontend in service.frontends {
                let protocol = match frontend.protocol() {
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                    _ => "tcp",
                };
                let (Ok(address), Ok(port)) =
                    (frontend.address.parse(), u16::try_from(frontend.port))
                else {
                    continue;
                };
                let protocol = protocol.to_owned();
                missing.remove(&ServicePort { address, port, protocol });
            }
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(CliError::StillNeeded(format!("the agent does not have {}", some(&missing)))),
    }
}
