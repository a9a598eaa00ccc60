//! `zonegate get`: what the agent holds.

use std::{collections::BTreeSet, io::Write, str::FromStr};

use clap::Args;
use proto::v1::{
    GetRequest, HeldResource, Policy, Resource, ResourceKey, Rules, resource, resource_key::Kind,
};
use serde_norway::{Mapping, Value};

use super::{
    client::Client,
    error::CliError,
    kind::{KindArgument, UnknownKind},
    offers,
    output::{Format, print_table, print_value},
    resource as resources, zones,
};

#[derive(Debug, Args)]
pub struct GetArguments {
    /// Kind of resource: node, workload, address-set, policy, backend-set, service; or zones, for
    /// what services carry from zone to zone
    what: What,
    /// Name of one resource, or of a service for zones; all without it
    name: Option<String>,
    /// Only those of this owner
    #[arg(long, conflicts_with = "name")]
    owner: Option<String>,
    /// Of services, what they offer on this node rather than what the agent was told; a table of
    /// services always shows that
    #[arg(long)]
    offers: bool,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Kind(Kind),
    Zones,
}

impl FromStr for What {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "zone" | "zones" => Ok(Self::Zones),
            text => text.parse().map(|KindArgument(kind)| Self::Kind(kind)),
        }
    }
}

pub async fn run(
    arguments: &GetArguments,
    client: &Client,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let name = arguments.name.as_deref().unwrap_or_default();
    let kind = match arguments.what {
        What::Kind(kind) => kind,
        What::Zones if arguments.offers => return Err(CliError::OffersOfServices),
        What::Zones => return zones::run(client, name, arguments.output, out).await,
    };
    if arguments.offers && kind != Kind::Service {
        return Err(CliError::OffersOfServices);
    }
    let held = match &arguments.name {
        Some(name) => vec![one(client, kind, name).await?],
        None => client.list(kind, arguments.owner.as_deref().unwrap_or_default()).await?,
    };
    if kind == Kind::Service && (arguments.offers || arguments.output == Format::Table) {
        let names: BTreeSet<&str> = held.iter().filter_map(service_name).collect();
        return offers::run(client, name, &names, arguments.output, out).await;
    }
    match arguments.output {
        Format::Table => table(out, kind, &held),
        Format::Yaml => yaml(out, &held),
        Format::Json if arguments.name.is_some() => {
            held.iter().try_for_each(|held| print_value(out, Format::Json, &document(held)?))
        }
        Format::Json => {
            let documents: Vec<Value> = held.iter().map(document).collect::<Result<_, _>>()?;
            let list = Mapping::from_iter([("items".into(), documents.into())]);
            print_value(out, Format::Json, &list)
        }
    }
}

async fn one(client: &Client, kind: Kind, name: &str) -> Result<HeldResource, CliError> {
    let key = ResourceKey { kind: kind.into(), name: name.to_owned() };
    let description = resources::describe_key(&key);
    let answer = client.dataplane().get(GetRequest { key: Some(key) }).await;
    match answer {
        Ok(answer) => answer.into_inner().held.ok_or(CliError::Protocol("it holds no resource")),
        Err(status) if status.code() == tonic::Code::NotFound => {
            Err(CliError::NotFound(format!("{description} is not held")))
        }
        Err(status) => Err(client.failed(status)),
    }
}

fn service_name(held: &HeldResource) -> Option<&str> {
    match held.resource.as_ref()?.kind.as_ref()? {
        resource::Kind::Service(service) => Some(&service.name),
        _ => None,
    }
}

/// Documents that `apply` reads; whose they are is a comment.
fn yaml(out: &mut dyn Write, held: &[HeldResource]) -> Result<(), CliError> {
    for (index, held) in held.iter().enumerate() {
        if index > 0 {
            writeln!(out, "---")?;
        }
        writeln!(out, "# owner {}, revision {}", held.owner.escape_default(), held.revision)?;
        print_value(out, Format::Yaml, &document(held)?)?;
    }
    Ok(())
}

fn document(held: &HeldResource) -> Result<Value, CliError> {
    let resource = held.resource.as_ref().ok_or(CliError::Protocol("it holds no resource"))?;
    Ok(resources::document(resource)?)
}

fn table(out: &mut dyn Write, kind: Kind, held: &[HeldResource]) -> Result<(), CliError> {
    let columns: Vec<&str> = ["NAME"]
        .into_iter()
        .chain(columns(kind).iter().copied())
        .chain(["OWNER", "REVISION"])
        .collect();
    let rows = held.iter().filter_map(|held| {
        let resource = held.resource.as_ref()?;
        let name = resources::key(resource)?.name;
        let around = [held.owner.clone(), held.revision.to_string()];
        Some([name].into_iter().chain(cells(resource)).chain(around))
    });
    print_table(out, &columns, rows)
}

fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Unspecified | Kind::Service => &[],
        Kind::Node => &["ZONE", "REGION", "ADDRESSES"],
        Kind::Workload => &["NODE", "INTERFACE", "ADDRESSES"],
        Kind::AddressSet => &["PREFIXES", "EXCEPT"],
        Kind::Policy => &["TIER", "PRIORITY", "SUBJECTS", "INGRESS", "EGRESS"],
        Kind::BackendSet => &["BACKENDS", "READY", "ZONES"],
    }
}

/// What goes under [`columns`].
fn cells(resource: &Resource) -> Vec<String> {
    use resource::Kind;
    match &resource.kind {
        // Services have a table of their own.
        None | Some(Kind::Service(_)) => Vec::new(),
        Some(Kind::Node(it)) => vec![it.zone.clone(), it.region.clone(), some(&it.addresses)],
        Some(Kind::Workload(it)) => {
            vec![it.node.clone(), it.interface.clone(), some(&it.addresses)]
        }
        Some(Kind::AddressSet(it)) => vec![some(&it.prefixes), some(&it.except)],
        Some(Kind::Policy(it)) => policy_cells(it),
        Some(Kind::BackendSet(it)) => {
            // Unset is ready: see the proto file.
            let ready = it.backends.iter().filter(|backend| backend.ready.unwrap_or(true)).count();
            let mut zones: Vec<String> =
                it.backends.iter().map(|backend| backend.zone.clone()).collect();
            zones.sort_unstable();
            zones.dedup();
            zones.retain(|zone| !zone.is_empty());
            vec![it.backends.len().to_string(), ready.to_string(), some(&zones)]
        }
    }
}

fn policy_cells(policy: &Policy) -> Vec<String> {
    let rules = |rules: &Option<Rules>| match rules {
        None => "-".to_owned(),
        Some(rules) => format!("{} rules", rules.rules.len()),
    };
    vec![
        policy.tier().as_str_name().to_owned(),
        policy.priority.to_string(),
        some(&policy.subjects),
        rules(&policy.ingress),
        rules(&policy.egress),
    ]
}

/// The first few, and how many more there are.
pub(super) fn some(values: &[String]) -> String {
    let shown = values.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match values.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown},+{more}"),
    }
}

const SHOWN: usize = 4;
