//! The agents: real [`Cluster`]s in a few processes, each with a client and connections of its own.
//!
//! In: a kubeconfig, numbers of nodes. Out: one line an agent on standard output, once it knows its pods, its node and the
//! cluster. Always: a process ends by itself after a time that it is given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hawsepipe_cluster::{Cluster, Settings};
use tokio_util::sync::CancellationToken;

use super::nodes;
use crate::process::Process;
use crate::work::Work;
use crate::{netns, wait};

/// So many agents share a process.
const IN_A_PROCESS: usize = 100;

/// What `cargo e2e clients-process` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Part {
    /// The first node
    #[arg(long)]
    from: usize,
    /// How many nodes
    #[arg(long)]
    count: usize,
    /// How many pods each of them has
    #[arg(long)]
    pods: usize,
    /// When to end, in seconds
    #[arg(long)]
    seconds: u64,
}

/// Running agents; they end when this goes out of scope.
pub(crate) struct Agents {
    processes: Vec<(Process, PathBuf)>,
    count: usize,
}

impl Agents {
    /// Starts agents for the first so many nodes, all at once; they end after `longest` at the latest.
    pub(crate) fn start(
        work: &Work,
        kubeconfig: &Path,
        count: usize,
        pods: usize,
        longest: Duration,
    ) -> Result<Self> {
        let mut agents = Self { processes: Vec::new(), count };
        for from in (0..count).step_by(IN_A_PROCESS) {
            let log = work.log(&format!("clients-{from}"))?;
            let mut command = netns::command(std::env::current_exe()?);
            command
                .arg("clients-process")
                .arg(format!("--from={from}"))
                .arg(format!("--count={}", IN_A_PROCESS.min(count - from)))
                .arg(format!("--pods={pods}"))
                .arg(format!("--seconds={}", longest.as_secs()))
                .env("KUBECONFIG", kubeconfig);
            agents.processes.push((Process::spawn("clients", &mut command, &log)?, log));
        }
        Ok(agents)
    }

    /// The processes' ids.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|(process, _)| process.pid).collect()
    }

    /// Waits until every agent knows everything; the seconds that each took, by its node, in order.
    pub(crate) fn wait(&self) -> Result<Vec<f64>> {
        let second = Duration::from_millis(500);
        wait::until("the agents to know their pods", Duration::from_secs(300), second, || {
            let mut took = BTreeMap::new();
            for (process, log) in &self.processes {
                let said = std::fs::read_to_string(log)?;
                ensure!(
                    process.is_alive(),
                    "a process with agents ended:\n{}",
                    crate::cmd::tail(&said)
                );
                for line in said.lines() {
                    let Some((node, seconds)) =
                        line.strip_prefix("knows ").and_then(|line| line.split_once(' '))
                    else {
                        continue;
                    };
                    took.insert(node.parse::<usize>()?, seconds.parse::<f64>()?);
                }
            }
            ensure!(took.len() == self.count, "{} of {} do", took.len(), self.count);
            Ok(Some(took.into_values().collect()))
        })
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for (process, _) in &self.processes {
            process.end(Duration::from_secs(10));
        }
    }
}

/// `cargo e2e clients-process`: runs agents until it is asked to end, or its time is over.
pub(crate) fn run(part: &Part) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let started = Instant::now();
        let mut agents = Vec::new();
        for node in part.from..part.from + part.count {
            let settings = Settings::of_node(&nodes::name(node));
            let handle = Cluster::start(settings, stop.clone()).await.context("an agent")?;
            agents.push((node, handle, false));
        }
        let end = tokio::time::sleep(Duration::from_secs(part.seconds));
        let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let look = async {
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            loop {
                tick.tick().await;
                for (node, handle, known) in &mut agents {
                    if !*known && knows_all(handle.cluster(), part.pods) {
                        *known = true;
                        println!("knows {node} {:.3}", started.elapsed().as_secs_f64());
                    }
                }
            }
        };
        tokio::select! {
            () = look => {}
            () = end => {}
            _ = asked.recv() => {}
        }
        stop.cancel();
        for (_, handle, _) in agents {
            handle.join().await;
        }
        Ok(())
    })
}

/// Whether an agent has what it asks the API server for when it starts.
fn knows_all(cluster: &Cluster, pods: usize) -> bool {
    let node = cluster.directory().node();
    let has = |key: &str| node.attributes.iter().any(|(known, _)| known == key);
    cluster.status().pods >= pods && has("k8s.node.uid") && has("k8s.cluster.uid")
}
