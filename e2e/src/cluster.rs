//! The cluster as the suites see it. What one of the two cannot do it says as [`NotPossible`], which
//! the runner counts as skipped.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bare::{self, Bare};
use crate::kind::Kind;
use crate::work::Work;
use crate::{cmd, kind, process};

/// Which kind of cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Flavor {
    /// Kubernetes as processes of this machine
    Bare,
    /// kind, on a docker engine
    Kind,
}

/// The error of an operation that this cluster does not have.
#[derive(Debug)]
pub(crate) struct NotPossible(pub(crate) &'static str);

impl fmt::Display for NotPossible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for NotPossible {}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    work: Work,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Bare(Bare),
    Kind(Kind),
}

impl Cluster {
    /// Starts the cluster, or takes the running one.
    pub(crate) fn up(work: &Work, wanted: Option<Flavor>) -> Result<Self> {
        let running = work.state()?.map(|state| state.flavor);
        if let (Some(running), Some(wanted)) = (running, wanted)
            && running != wanted
        {
            bail!("a {running:?} cluster is up; take it down first: cargo e2e down");
        }
        let machine = match wanted.or(running).unwrap_or_else(Self::default_flavor) {
            Flavor::Bare => Machine::Bare(Bare::up(work)?),
            Flavor::Kind => Machine::Kind(Kind::up(work)?),
        };
        Ok(Self { work: work.clone(), machine })
    }

    fn default_flavor() -> Flavor {
        if process::is_root() && !kind::has_docker() { Flavor::Bare } else { Flavor::Kind }
    }

    /// Stops whatever is up.
    pub(crate) fn down(work: &Work) -> Result<()> {
        match work.state()?.map(|state| state.flavor) {
            Some(Flavor::Kind) => Kind::down(work),
            Some(Flavor::Bare) | None => bare::down(work),
        }
    }

    /// Prints what is up.
    pub(crate) fn print_status(work: &Work) -> Result<()> {
        match work.state()? {
            None => println!("down"),
            Some(state) => {
                let mark = if state.ready { "up" } else { "half up (a run was killed)" };
                print!("{:?}: {mark}\n{}", state.flavor, Bare::status(&state));
                println!("  folder: {}", work.run().display());
            }
        }
        Ok(())
    }

    /// The work folder.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// A kubectl command, to be completed and run.
    pub(crate) fn kubectl_command(&self) -> Command {
        match &self.machine {
            Machine::Bare(bare) => bare.kubectl(),
            Machine::Kind(kind) => kind.kubectl(),
        }
    }

    /// Runs kubectl; its standard output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        cmd::run(self.kubectl_command().args(arguments))
    }

    /// Runs `kubectl get .. -o json`.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.kubectl_command();
        let text = cmd::run(command.arg("get").args(arguments).args(["-o", "json"]))?;
        serde_json::from_str(&text).context("kubectl get -o json")
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) -> Result<()> {
        let mut command = self.kubectl_command();
        cmd::with_input(command.args(["apply", "-f", "-"]), manifests.as_bytes()).map(drop)
    }

    /// Runs helm; its standard output.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = match &self.machine {
            Machine::Bare(bare) => bare.helm(),
            Machine::Kind(kind) => kind.helm(),
        };
        cmd::run(command.args(arguments))
    }

    /// Makes an image archive's image available to pods.
    pub(crate) fn load_image(&self, archive: &Path) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => bare.load_image(archive),
            Machine::Kind(_) => Kind::load_image(archive),
        }
    }

    /// Runs a shell script as root on the node that all pods of the suites run on, unless they ask for the second.
    pub(crate) fn node_shell(&self, script: &str) -> Result<String> {
        match &self.machine {
            Machine::Bare(_) => Bare::node_shell(script),
            Machine::Kind(_) => Kind::node_shell(script),
        }
    }

    /// The name of the node that [`Cluster::node_shell`] is about.
    pub(crate) fn node(&self) -> &'static str {
        match &self.machine {
            Machine::Bare(_) => bare::NODE,
            Machine::Kind(_) => kind::NODE,
        }
    }

    /// A folder on that node for whoever needs one; it goes with the cluster, mounts below it too.
    pub(crate) fn node_folder(&self) -> Result<String> {
        match &self.machine {
            Machine::Bare(_) => Ok(self.work.run_folder("node")?.display().to_string()),
            Machine::Kind(_) => Ok("/var/hawsepipe-e2e".to_owned()),
        }
    }

    /// The second node's name. It has a kernel of its own, and a power switch.
    pub(crate) fn second_node(&self) -> Result<&'static str> {
        self.powered().map(|_| bare::second::NODE)
    }

    /// Runs a shell script as root on the second node.
    pub(crate) fn second_shell(&self, script: &str) -> Result<String> {
        self.powered()?.second_shell(script)
    }

    /// Cuts the second node's power.
    pub(crate) fn cut_power(&self) -> Result<()> {
        self.powered()?.cut_power()
    }

    /// Switches it on again; its pods follow.
    pub(crate) fn restore_power(&self) -> Result<()> {
        self.powered()?.restore_power()
    }

    /// What was on the second node's disk at each boot and at each call of this: folders like
    /// /var/log/pods, with what was compressed unpacked.
    pub(crate) fn surviving_logs(&self) -> Result<PathBuf> {
        self.powered()?.surviving_logs()
    }

    fn powered(&self) -> Result<&Bare> {
        match &self.machine {
            Machine::Bare(bare) => Ok(bare),
            Machine::Kind(_) => {
                Err(NotPossible("a node whose power can be cut needs a kernel of its own").into())
            }
        }
    }

    /// The node's folder of pod logs, where this process can read it itself.
    pub(crate) fn pod_logs(&self) -> Result<PathBuf> {
        match &self.machine {
            Machine::Bare(_) => Ok(PathBuf::from("/var/log/pods")),
            Machine::Kind(_) => {
                Err(NotPossible("the node's files are inside a container of kind").into())
            }
        }
    }

    /// Kills the agent's process on that node, with no help from the API server. How many there
    /// were: none when it is just being started.
    pub(crate) fn kill_agent(&self) -> Result<u32> {
        // Only what runs in a pod: somebody may try the agent on this very machine.
        let killed = self.node_shell(
            "for group in $(grep -l kubepods /proc/[0-9]*/cgroup 2>/dev/null); do \
             process=${group%/cgroup}; \
             tr '\\0' ' ' 2>/dev/null <$process/cmdline | grep -q '^[^ ]*hawsepipe agent ' && \
             kill -9 ${process#/proc/} 2>/dev/null && echo killed; done; true",
        )?;
        Ok(killed.lines().count() as u32)
    }

    /// A command that runs a program in a running container, with no help from the API server.
    pub(crate) fn container_exec(&self, container_id: &str, argv: &[&str]) -> Command {
        match &self.machine {
            Machine::Bare(bare) => bare.container_exec(container_id, argv),
            Machine::Kind(_) => Kind::container_exec(container_id, argv),
        }
    }

    /// Gives the kubelet a static pod.
    pub(crate) fn put_static_pod(&self, file: &str, manifest: &str) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => {
                // Written beside and moved in: the kubelet must not read half of it.
                let path = bare.static_pods()?.join(file);
                let new = self.work.run_file("static-pod.new", manifest)?;
                std::fs::rename(new, path).context("static pod")
            }
            Machine::Kind(_) => Kind::put_static_pod(file, manifest),
        }
    }

    /// Takes a static pod away.
    pub(crate) fn remove_static_pod(&self, file: &str) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => {
                drop(std::fs::remove_file(bare.static_pods()?.join(file)));
                Ok(())
            }
            Machine::Kind(_) => Kind::remove_static_pod(file),
        }
    }

    /// Stops the API server; pods go on running.
    pub(crate) fn stop_api_server(&self) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => bare.stop_api_server(),
            Machine::Kind(kind) => kind.stop_api_server(),
        }
    }

    /// Starts it again and waits until it is ready. One that runs is left alone.
    pub(crate) fn start_api_server(&self) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => bare.start_api_server(),
            Machine::Kind(kind) => kind.start_api_server(),
        }
    }

    /// Ends the controllers: no Job is made of a CronJob any more.
    pub(crate) fn stop_controllers(&self) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => bare.stop_controllers(),
            Machine::Kind(_) => Err(NotPossible("the controllers of kind are left alone").into()),
        }
    }

    /// Starts them again. Those that run are left alone.
    pub(crate) fn start_controllers(&self) -> Result<()> {
        match &self.machine {
            Machine::Bare(bare) => bare.start_controllers(),
            Machine::Kind(_) => Err(NotPossible("the controllers of kind are left alone").into()),
        }
    }

    /// Makes etcd forget all old revisions.
    pub(crate) fn compact_etcd(&self) -> Result<()> {
        match &self.machine {
            Machine::Bare(_) => Bare::compact(),
            Machine::Kind(_) => {
                Err(NotPossible("etcd cannot be reached while the API server is stopped").into())
            }
        }
    }
}

/// Runs a command and hands over its output line by line, as it comes.
pub(crate) fn stream(
    command: &mut Command,
    mut line: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let shown = cmd::show(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no output")?;
    let mut errors = child.stderr.take().context("no errors")?;
    let errors = thread::spawn(move || {
        let mut text = String::new();
        drop(errors.read_to_string(&mut text));
        text
    });
    let mut reader = BufReader::with_capacity(1 << 20, output);
    let mut bytes = Vec::new();
    let mut result = Ok(());
    while result.is_ok() {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        result = line(String::from_utf8_lossy(&bytes).trim_end_matches('\n'));
    }
    if result.is_err() {
        drop(child.kill());
    }
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_default();
    result?;
    if !status.success() {
        bail!("{shown}: {status}\n{}", cmd::tail(&errors));
    }
    Ok(())
}
