//! `hawsepipe agent`: runs until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::app::Agent;
use crate::commands::stop_signal;
use crate::config::Config;
use crate::telemetry;

/// Options of `hawsepipe agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CONFIG")]
    config: PathBuf,
}

/// Runs the agent until SIGTERM or SIGINT.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?;
    let suppressed = telemetry::init(config.log)?;
    let stop = stop_signal()?;
    let mut agent = Agent::start(config, &suppressed).await?;
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        what = agent.failed() => Some(what),
    };
    agent.stop().await;
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(what) => bail!("{what} by itself; this is a defect of ours, the log above says more"),
    }
}
