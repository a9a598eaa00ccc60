//! `zonegate check`: offline answers.

use std::{fs, io::Write};

use clap::{Args, ValueEnum};

use super::{error::CliError, output};
use crate::{
    check::{Answer, Checker, Cluster, Matrix, Objects, Probe, matrix},
    documents,
};

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Files of Kubernetes objects (YAML or JSON)
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    objects: Vec<String>,
    /// Files of probes: `{id, node?, source, destination, protocol, port}`
    #[arg(long, num_args = 1.., value_name = "FILE", required_unless_present = "matrix")]
    probes: Vec<String>,
    /// The node that translates services, for probes that name none
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Print what every pod may open towards every other
    #[arg(long, conflicts_with = "probes")]
    matrix: bool,
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    Json,
}

pub fn run(arguments: &CheckArguments, out: &mut dyn Write) -> Result<(), CliError> {
    let mut objects = Objects::default();
    for file in &arguments.objects {
        objects
            .read(&read(file)?)
            .map_err(|error| CliError::Objects(format!("{file}, {error}")))?;
    }
    let cluster = Cluster::from(objects);
    for problem in &cluster.problems {
        eprintln!("zonegate: {problem}");
    }
    let mut checker = Checker::new(cluster);
    if arguments.matrix {
        return print_matrix(&matrix(&mut checker)?, arguments.output, out);
    }
    let mut answers = Vec::new();
    for file in &arguments.probes {
        for (index, document) in read(file)?.into_iter().enumerate() {
            let probe: Probe = serde_path_to_error::deserialize(document).map_err(|error| {
                CliError::Objects(format!("{file}, probe {}: {error}", index + 1))
            })?;
            let node = probe.node.clone().or_else(|| arguments.node.clone());
            answers.push(checker.answer(&Probe { node, ..probe })?);
        }
    }
    print(&answers, arguments.output, out)
}

fn read(file: &str) -> Result<Vec<serde_json::Value>, CliError> {
    let text = fs::read_to_string(file)
        .map_err(|error| CliError::Objects(format!("cannot read {file}: {error}")))?;
    let documents =
        documents::parse(&text).map_err(|error| CliError::Objects(format!("{file}, {error}")))?;
    Ok(documents.into_iter().map(|it| it.value).collect())
}

fn print(answers: &[Answer], form: Form, out: &mut dyn Write) -> Result<(), CliError> {
    if form == Form::Json {
        return output::print_value(out, output::Format::Json, &answers);
    }
    let rows = answers.iter().map(|answer| {
        let verdict = format!("{:?}", answer.verdict).to_lowercase();
        let backends = answer.backends.iter().flatten().cloned().collect::<Vec<_>>().join(",");
        let snat = answer.snat.map_or("", |snat| if snat { "yes" } else { "no" });
        [answer.id.clone(), verdict, backends, snat.to_owned(), because(answer)]
    });
    output::print_table(out, &["ID", "VERDICT", "BACKENDS", "SNAT", "BECAUSE"], rows)
}

/// What decided, in one line.
fn because(answer: &Answer) -> String {
    let decisions = answer.decisions.iter().map(|decision| {
        let (direction, policy, rule) = (decision.direction, &decision.policy, &decision.rule);
        match (policy.as_str(), rule.as_str()) {
            ("", _) => format!("{direction}: no policy"),
            (_, "") => format!("{direction}: {policy} isolates"),
            _ => format!("{direction}: {policy} {rule}"),
        }
    });
    decisions.chain(answer.reason.map(str::to_owned)).collect::<Vec<_>>().join("; ")
}

fn print_matrix(matrix: &Matrix, form: Form, out: &mut dyn Write) -> Result<(), CliError> {
    if form == Form::Json {
        let pairs: Vec<_> = matrix.pairs().collect();
        return output::print_value(out, output::Format::Json, &pairs);
    }
    let name = |group: &Vec<String>| match group.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (+{})", rest.len()),
    };
    let names: Vec<String> = matrix.groups.iter().map(name).collect();
    let header = std::iter::once("FROM \\ TO").chain(names.iter().map(String::as_str));
    let header: Vec<&str> = header.collect();
    let rows = names.iter().zip(&matrix.cells).map(|(name, cells)| {
        std::iter::once(name.clone()).chain(cells.iter().cloned()).collect::<Vec<_>>()
    });
    output::print_table(out, &header, rows)
}
