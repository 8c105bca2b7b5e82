//! `hawsepipe agent`: runs until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::app::Agent;
use crate::commands::stop_signal;
use crate::config::{Config, ConfigError};
use crate::telemetry;

/// Options of `hawsepipe agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CONFIG")]
    config: PathBuf,
    /// What this process does: what is done on every node, what is done once in the cluster (by the one of its
    /// processes that holds the Lease), or both.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Role {
    /// Logs and metrics of this node.
    #[default]
    Node,
    /// What is done once in the cluster.
    Cluster,
    /// Both.
    Both,
}

impl Role {
    pub(crate) fn is_node(self) -> bool {
        self != Self::Cluster
    }

    pub(crate) fn is_cluster(self) -> bool {
        self != Self::Node
    }

    /// Reads the configuration of a process that does this.
    pub(crate) fn load(self, path: &Path) -> Result<Config, ConfigError> {
        if self.is_cluster() { Config::load_with_cluster(path) } else { Config::load(path) }
    }
}

/// Runs the agent until SIGTERM or SIGINT.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let config = args.role.load(&args.config)?;
    let suppressed = telemetry::init(config.log)?;
    let stop = stop_signal()?;
    let mut agent = Agent::start(config, args.role, &suppressed).await?;
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
