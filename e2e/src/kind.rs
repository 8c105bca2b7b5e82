//! The cluster on a docker engine: kind (<https://kind.sigs.k8s.io>), one node, with the settings of
//! `e2e/kind.yaml`. kind, kubectl and helm are taken from the PATH.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::Flavor;
use crate::work::{State, Work};
use crate::{cmd, images, packages, wait};

const NAME: &str = "hawsepipe-e2e";
/// The only node, a container of the docker engine.
pub(crate) const NODE: &str = "hawsepipe-e2e-control-plane";
/// Where kubeadm keeps the static pods of the node.
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// Where the API server's manifest waits while it is stopped.
const PARKED: &str = "/etc/kubernetes/kube-apiserver.parked";

/// Whether a docker engine answers.
pub(crate) fn has_docker() -> bool {
    cmd::find("docker").is_some() && cmd::succeeds(Command::new("docker").arg("info"))
}

/// A started kind cluster.
#[derive(Debug)]
pub(crate) struct Kind {
    work: Work,
}

impl Kind {
    /// Starts it, or takes the one that runs.
    pub(crate) fn up(work: &Work) -> Result<Self> {
        if !has_docker() {
            bail!("kind needs a docker engine; as root without one, use --cluster bare");
        }
        for program in ["kind", "kubectl", "helm"] {
            if cmd::find(program).is_none() {
                bail!("{program} is not on the PATH, and --cluster kind needs it");
            }
        }
        packages::ensure(packages::KIND)?;
        let kind = Self { work: work.clone() };
        if work.state()?.is_some_and(|state| state.ready) && kind.api_is_ready() {
            return Ok(kind);
        }
        Self::delete()?;
        work.save(&Self::state(false))?;
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind.yaml");
        wait::step("kind create cluster", || {
            cmd::run(
                Command::new("kind")
                    .args(["create", "cluster", "--name", NAME, "--wait", "180s", "--config"])
                    .arg(config)
                    .arg("--kubeconfig")
                    .arg(kind.kubeconfig()),
            )
        })?;
        Self::load_image(&images::workload(work)?)?;
        work.save(&Self::state(true))?;
        Ok(kind)
    }

    fn state(ready: bool) -> State {
        State {
            flavor: Flavor::Kind,
            ready,
            processes: Vec::new(),
            absent_before: Vec::new(),
            foreign_namespaces: Vec::new(),
        }
    }

    /// Deletes the cluster and what was written for it.
    pub(crate) fn down(work: &Work) -> Result<()> {
        Self::delete()?;
        match std::fs::remove_dir_all(work.run()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("work folder"),
            _ => Ok(()),
        }
    }

    fn delete() -> Result<()> {
        cmd::run(Command::new("kind").args(["delete", "cluster", "--name", NAME])).map(drop)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.work.run().join("kind-kubeconfig")
    }

    fn api_is_ready(&self) -> bool {
        cmd::succeeds(self.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=2s"]))
    }

    /// kubectl as administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// Helm as administrator.
    pub(crate) fn helm(&self) -> Command {
        let mut command = Command::new("helm");
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// Loads an image archive into the node.
    pub(crate) fn load_image(archive: &Path) -> Result<()> {
        cmd::run(Command::new("kind").args(["load", "image-archive", "--name", NAME]).arg(archive))
            .map(drop)
    }

    /// Runs a shell script on the node.
    pub(crate) fn node_shell(script: &str) -> Result<String> {
        cmd::run(Command::new("docker").args(["exec", NODE, "sh", "-c", script]))
    }

    /// Runs a program in a running container, with no help from the API server.
    pub(crate) fn container_exec(container_id: &str, argv: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", NODE, "crictl", "exec", container_id]).args(argv);
        command
    }

    /// Puts a manifest into the kubelet's folder of static pods.
    pub(crate) fn put_static_pod(file: &str, manifest: &str) -> Result<()> {
        // Written beside and moved in: the kubelet must not read half of it.
        let script = format!("cat > /run/{file} && mv /run/{file} {STATIC_PODS}/{file}");
        let mut command = Command::new("docker");
        command.args(["exec", "-i", NODE, "sh", "-c", &script]);
        cmd::with_input(&mut command, manifest.as_bytes()).map(drop)
    }

    /// Takes it out again.
    pub(crate) fn remove_static_pod(file: &str) -> Result<()> {
        Self::node_shell(&format!("rm -f {STATIC_PODS}/{file}")).map(drop)
    }

    /// Stops the API server, which is a static pod here.
    pub(crate) fn stop_api_server(&self) -> Result<()> {
        Self::node_shell(&format!("mv {STATIC_PODS}/kube-apiserver.yaml {PARKED}"))?;
        wait::until_true("the API server's end", Duration::from_secs(90), || !self.api_is_ready())
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start_api_server(&self) -> Result<()> {
        Self::node_shell(&format!(
            "test ! -e {PARKED} || mv {PARKED} {STATIC_PODS}/kube-apiserver.yaml"
        ))?;
        wait::until_true("the API server", Duration::from_secs(120), || self.api_is_ready())
    }
}
