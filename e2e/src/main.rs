//! Hawsepipe on a real Kubernetes: `cargo e2e up | test | torture | clients | beside | down | status | tools`.
//!
//! In: this repository (chart, manifests, Dockerfile, the agent's crates) and a machine. Out: one
//! line a promise, then `N passed, N failed, N skipped`; the exit code is not zero when one failed.
//! What always holds: a suite does not know which cluster it runs on ([`cluster::Cluster`] is all
//! it sees), only processes that this program started are ended, and `down` leaves nothing behind.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bare;
mod beside;
mod certs;
mod clients;
mod cluster;
mod cmd;
mod diagnose;
mod expect;
mod images;
mod kind;
mod netns;
mod objects;
mod packages;
mod process;
mod promise;
mod received;
mod release;
mod sink;
mod suites;
mod tools;
mod torture;
mod wait;
mod work;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cluster::{Cluster, Flavor};
use crate::work::Work;

/// Brings up a cluster, installs Hawsepipe with Helm and checks its promises.
#[derive(Parser)]
#[command(name = "e2e", bin_name = "cargo e2e")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the cluster (idempotent; cleans up after a killed run)
    Up {
        /// Which cluster; the default is bare for root on a machine without a docker engine
        #[arg(long, value_enum)]
        cluster: Option<Flavor>,
    },
    /// Run the suites on the running cluster (started when it is not)
    Test {
        /// Names of suites; all of them when none is given
        suites: Vec<String>,
        /// Which cluster, when none is running yet
        #[arg(long, value_enum)]
        cluster: Option<Flavor>,
        /// Stop after the first promise that does not hold, leaving the cluster as it is
        #[arg(long)]
        fail_fast: bool,
        /// List the suites and their promises, and run nothing
        #[arg(long)]
        list: bool,
    },
    /// Torment the agent while pods write, then check that nothing was lost without a word
    Torture {
        /// For how long
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// What decides the schedule; drawn and printed when it is not given
        #[arg(long)]
        seed: Option<u64>,
        /// On which node
        #[arg(long, value_enum, default_value = "fast")]
        node: torture::Node,
        /// Torments to leave out, as in kills,disk
        #[arg(long, value_enum, value_delimiter = ',')]
        without: Vec<torture::Torment>,
        /// Leave the release and the workloads as they are, to look at them
        #[arg(long)]
        keep: bool,
        /// Which cluster, when none is running yet
        #[arg(long, value_enum)]
        cluster: Option<Flavor>,
    },
    /// Measure what the agents of many nodes ask of the API server
    Clients {
        /// Numbers of agents, one after the other
        #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 500])]
        counts: Vec<usize>,
        /// How long each number is watched, in seconds; the default is a little more than the life of a watch
        #[arg(long, default_value_t = 295)]
        seconds: u64,
        /// Pods on each node
        #[arg(long, default_value_t = 10)]
        pods: usize,
        /// Changes of pods on each node, a minute
        #[arg(long, default_value_t = 2.0)]
        changes: f64,
    },
    /// Be some of these agents (what `clients` starts beside the cluster)
    #[command(hide = true)]
    ClientsProcess(clients::Part),
    /// Measure what the leader takes beside kube-state-metrics, over the same objects
    Beside {
        /// Pods
        #[arg(long, default_value_t = 10_000)]
        pods: usize,
        /// ReplicaSets
        #[arg(long, default_value_t = 10_000)]
        replicasets: usize,
    },
    /// Stop the cluster and leave nothing behind (the cached tools stay)
    Down,
    /// Say what is running
    Status,
    /// Take metrics over OTLP/gRPC and keep them in a file (what suites start beside the cluster)
    #[command(hide = true)]
    Sink {
        /// Where to listen
        #[arg(long)]
        listen: std::net::SocketAddr,
        /// Where to keep them
        #[arg(long)]
        file: std::path::PathBuf,
    },
    /// Build and cache the tools; with a name (helm, kubernetes, coredns) only that one
    Tools {
        /// The one tool that is wanted; the path of its binary is printed
        name: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let work = Work::open()?;
    match cli.command {
        Command::Up { cluster } => {
            Cluster::up(&work, cluster)?;
        }
        Command::Test { suites, cluster, fail_fast, list } => {
            if list {
                promise::list();
                return Ok(ExitCode::SUCCESS);
            }
            let chosen = promise::choose(&suites)?;
            let cluster = Cluster::up(&work, cluster)?;
            let tally = promise::run(&cluster, &chosen, fail_fast);
            println!("{tally}");
            return Ok(tally.code());
        }
        Command::Torture { minutes, seed, node, without, keep, cluster } => {
            let cluster = Cluster::up(&work, cluster)?;
            let tally =
                torture::run(&cluster, &torture::Plan { minutes, seed, node, without, keep });
            println!("{tally}");
            return Ok(tally.code());
        }
        Command::Clients { counts, seconds, pods, changes } => {
            let cluster = Cluster::up(&work, None)?;
            let fleet = clients::Fleet { nodes: 0, pods, changes };
            let window = Duration::from_secs(seconds);
            let tally = clients::run(&cluster, &clients::Plan { counts, window, fleet });
            println!("{tally}");
            return Ok(tally.code());
        }
        Command::ClientsProcess(part) => clients::run_part(&part)?,
        Command::Sink { listen, file } => sink::serve(listen, &file)?,
        Command::Beside { pods, replicasets } => {
            beside::run(&Cluster::up(&work, None)?, pods, replicasets)?;
        }
        Command::Down => Cluster::down(&work)?,
        Command::Status => Cluster::print_status(&work)?,
        Command::Tools { name: None } => {
            packages::ensure(packages::BARE)?;
            for tool in tools::ALL {
                println!("{}", tools::ensure(&work, tool)?.display());
            }
        }
        Command::Tools { name: Some(name) } => {
            let tool = tools::by_name(&name)?;
            println!("{}", tools::ensure(&work, tool)?.join(tool.binaries[0]).display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
