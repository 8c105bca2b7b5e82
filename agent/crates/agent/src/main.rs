//! `hawsepipe`: the agent, the receiving end, and what a person asks them.
//!
//! In: a command line. Out: an exit code: 0 when all went well, 1 when something failed, 64 (`EX_USAGE` of
//! sysexits.h) when the command line or the configuration is wrong.

mod admin;
mod app;
mod commands;
mod config;
mod heartbeats;
mod losses;
mod own_metrics;
mod telemetry;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use hawsepipe_receive::StartError;
use tracing::level_filters::LevelFilter;

use crate::commands::receive::ReceiveError;
use crate::config::{ConfigError, Log};

/// sysexits.h: the command was used incorrectly.
const EX_USAGE: u8 = 64;

/// Ships what happens on a Kubernetes node: container logs, exactly, metrics, and the events of the cluster.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the agent.
    Agent(commands::agent::AgentArgs),
    /// Runs the receiving end, for trials, tests and small set-ups.
    Receive(commands::receive::ReceiveArgs),
    /// Runs agent and receiver on this machine, on a fresh key, and shows what flows.
    Demo(commands::demo::DemoArgs),
    /// Shows pod logs from a receiver, as `kubectl logs` would.
    Logs(commands::logs::LogsArgs),
    /// Shows what the collectors say of this machine now.
    Metrics(commands::metrics::MetricsArgs),
    /// Examines config, mounts, rights and destinations, with a remedy for each finding.
    Check(commands::check::CheckArgs),
    /// Tells the agent of this host of jobs.
    Heartbeat(commands::heartbeat::HeartbeatArgs),
    /// Shows what the agent on this node is doing.
    Status(commands::status::StatusArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EX_USAGE) };
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            if is_usage(&error) { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether what was given is wrong, rather than what it met.
fn is_usage(error: &anyhow::Error) -> bool {
    let settings = |error: &ReceiveError| {
        matches!(error, ReceiveError::Start(StartError::Key(_) | StartError::Tls(_)))
    };
    error.downcast_ref::<ConfigError>().is_some() || error.downcast_ref().is_some_and(settings)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // One TLS stack for everything in the process; it is installed once, here.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider is installed already; this is a defect of ours");
    }
    // The log path has a thread of its own; this is for the control plane and the network.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(async {
        match command {
            Command::Agent(args) => commands::agent::run(args).await,
            Command::Receive(args) => {
                telemetry::init(Log { level: LevelFilter::INFO, json: true })?;
                commands::receive::run(args, commands::stop_signal()?).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Logs(args) => {
                commands::logs::run(args, commands::stop_signal()?).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Metrics(args) => commands::metrics::run(args).await,
            Command::Check(args) => commands::check::run(args).await,
            Command::Heartbeat(args) => commands::heartbeat::run(args).await,
            Command::Status(args) => commands::status::run(args).await,
        }
    });
    // A query that is followed, a connection of the admin port: nothing waits for them.
    runtime.shutdown_background();
    code
}
