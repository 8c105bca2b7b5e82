//! `hawsepipe heartbeat run`: runs a command and tells the agent of this host when it began and how it ended.
//!
//! In: a command. Out: its own exit code and output, and two heartbeats: to the agent, or, where that does not answer at once,
//! as files from which it takes them later. Always: the command runs, and ends as it would without us, whatever becomes of its
//! heartbeats; what goes wrong with them is a line on stderr.

mod child;
mod delivery;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use hawsepipe_collect::{Beat, Report, Said};
use jiff::Timestamp;

use self::child::Ended;
use self::delivery::Delivery;
use crate::heartbeats::folder::Folder;

/// Options of `hawsepipe heartbeat`.
#[derive(Debug, Args)]
pub(crate) struct HeartbeatArgs {
    #[command(subcommand)]
    command: HeartbeatCommand,
}

#[derive(Debug, Subcommand)]
enum HeartbeatCommand {
    /// Runs a command and tells the agent of this host when it began and how it ended.
    Run(RunArgs),
}

/// Options of `hawsepipe heartbeat run`.
#[derive(Debug, Args)]
struct RunArgs {
    /// The job's name: letters, digits and `._-/`.
    #[arg(long, value_name = "NAME")]
    job: String,
    /// When it is to run, as a CronJob has it: the agent then says when it did not.
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// The time zone of the schedule. Default: the host's.
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    time_zone: Option<String>,
    /// How late it may begin before it counts as missed. Default: 5m.
    #[arg(long, value_name = "TIME", requires = "schedule")]
    grace: Option<String>,
    /// The agent's port for heartbeats, HOST:PORT.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "HAWSEPIPE_HEARTBEATS",
        default_value = "127.0.0.1:9465"
    )]
    agent: String,
    /// The agent's folder (spool.path), where heartbeats wait while it does not run.
    #[arg(
        long,
        value_name = "FOLDER",
        env = "HAWSEPIPE_SPOOL",
        default_value = "/var/lib/hawsepipe"
    )]
    spool: PathBuf,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command; the exit code is its own, or 128 and the signal that ended it, as a shell has it.
pub(crate) async fn run(args: HeartbeatArgs) -> anyhow::Result<ExitCode> {
    let HeartbeatCommand::Run(args) = args.command;
    let run = format!("{:032x}", fastrand::u128(..));
    let said = || Said { run: Some(run.clone()), time: Some(Timestamp::now()), ..Said::default() };
    let start =
        Said { schedule: args.schedule, time_zone: args.time_zone, grace: args.grace, ..said() };
    // What the agent would refuse is said here, where somebody may see it.
    let is_told = match Beat::new(&args.job, Report::Start, start.clone(), Timestamp::now()) {
        Ok(_) => true,
        Err(error) => {
            complain(&format!("{error}; the command runs without heartbeats"));
            false
        }
    };
    let delivery = is_told.then(|| Delivery {
        job: args.job,
        agent: args.agent,
        folder: Arc::new(Folder::of(&args.spool)),
    });
    let child = child::start(&args.command);
    // While the command runs. The end comes behind it.
    let begun = async {
        if let Some(delivery) = &delivery {
            delivery.send(Report::Start, start).await;
        }
    };
    let (ended, ()) = tokio::join!(child::wait(child), begun);
    if let Some(delivery) = &delivery {
        let report = if ended.is_success() { Report::Success } else { Report::Fail };
        let end = match &ended {
            Ended::Exit { code, after } => Said {
                exit_code: Some(i64::from(*code)),
                duration: Some(after.as_secs_f64()),
                ..said()
            },
            Ended::Signal { number, after } => Said {
                signal: Some(i64::from(*number)),
                duration: Some(after.as_secs_f64()),
                ..said()
            },
            Ended::NotRun { code, reason } => {
                Said { exit_code: Some(i64::from(*code)), message: Some(reason.clone()), ..said() }
            }
        };
        delivery.send(report, end).await;
    }
    if let Ended::NotRun { reason, .. } = &ended {
        complain(reason);
    }
    Ok(ExitCode::from(ended.code()))
}

fn complain(what: &str) {
    super::complain(&anyhow::anyhow!("heartbeat: {what}"));
}
