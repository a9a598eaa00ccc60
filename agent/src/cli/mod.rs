//! The command line: `zonegate agent`, and the commands that ask a running agent.

mod agent;
mod apply;
mod bench;
mod check;
mod client;
mod delete;
mod doctor;
mod error;
mod flows;
mod get;
mod kind;
mod manifest;
mod offers;
mod output;
mod resource;
mod status;
mod zones;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::DEFAULT_SOCKET;
use client::Client;
use error::CliError;

/// Runs the program: what `main` does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            if code != ExitCode::SUCCESS {
                eprintln!("zonegate: {error}");
            }
            code
        }
    }
}

/// Filters and steers packets on a node, and talks to the agent that does.
#[derive(Debug, Parser)]
#[command(name = "zonegate", version, arg_required_else_help = true)]
struct Cli {
    /// The agent's Unix socket [default: /run/zonegate/zonegate.sock]
    #[arg(long, global = true, env = "ZONEGATE_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the node's agent in the foreground
    Agent(agent::AgentArguments),
    /// Says what becomes of connections, from Kubernetes objects alone
    Check(check::CheckArguments),
    /// Measures what packets cost on this machine
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    #[command(flatten)]
    Ask(Question),
}

/// Commands that need a running agent.
#[derive(Debug, Subcommand)]
enum Question {
    /// Makes the agent hold the resources in files, in one transaction
    Apply(apply::ApplyArguments),
    /// Removes resources, in one transaction
    Delete(delete::DeleteArguments),
    /// Shows resources that the agent holds
    Get(get::GetArguments),
    /// Shows how the node is: readiness, attachments, tables, counters
    Status(status::StatusArguments),
    /// Puts right what is around the agent: removes what a kube-proxy has left
    Doctor(doctor::DoctorArguments),
    /// Shows live flows
    #[command(subcommand)]
    Flows(flows::FlowsCommand),
}

fn run(cli: &Cli) -> Result<(), CliError> {
    match &cli.command {
        Command::Agent(arguments) => agent::run(arguments, cli.socket.as_deref()),
        Command::Check(arguments) => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            check::run(arguments, &mut out)?;
            Ok(out.flush()?)
        }
        Command::Bench(command) => bench::run(command),
        Command::Ask(question) => {
            let socket = cli.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(question, &socket))
        }
    }
}

async fn ask(question: &Question, socket: &Path) -> Result<(), CliError> {
    let connect = || Client::connect(socket);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match question {
        Question::Apply(arguments) => {
            // What is wrong with the files is said whether or not an agent runs.
            let upserts = arguments.upserts()?;
            apply::run(arguments, upserts, &connect().await?, &mut out).await?;
        }
        Question::Delete(arguments) => delete::run(arguments, &connect().await?, &mut out).await?,
        Question::Get(arguments) => get::run(arguments, &connect().await?, &mut out).await?,
        Question::Status(arguments) => status::run(arguments, &connect().await?, &mut out).await?,
        Question::Doctor(arguments) => doctor::run(arguments, &connect().await?, &mut out).await?,
        Question::Flows(command) => flows::run(command, &connect().await?, &mut out).await?,
    }
    Ok(out.flush()?)
}
