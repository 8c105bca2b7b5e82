//! The bare cluster: the real Debian parts and the real Kubernetes as processes in one network
//! namespace of this machine, for machines without a docker engine. Two nodes, root needed.
//!
//! In: the tools and packages. Out: an API server at [`api_url`] with two ready nodes. What always
//! holds: `run/state.json` is written before anything is started, so that [`down`] (and the next
//! [`up`]) finds what a killed run left.

mod control_plane;
mod dns;
mod down;
mod node;
pub(crate) mod second;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use self::control_plane::{AUDITED, random_hex};
pub(crate) use self::down::down;
use crate::certs::Certs;
use crate::cluster::Flavor;
use crate::process::{self, Process};
use crate::work::{State, Work};
use crate::{cmd, images, netns, packages, tools, wait};

/// The node's name.
pub(crate) const NODE: &str = "hawsepipe-e2e";

/// Paths that the components make outside the work folder.
const OUTSIDE: &[&str] = &[
    "/etc/cni/net.d",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/run/netns",
    "/run/xtables.lock",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/hawsepipe",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// A started bare cluster.
#[derive(Debug)]
pub(crate) struct Bare {
    work: Work,
    kubernetes: PathBuf,
    helm: PathBuf,
}

/// The API server's address, inside the namespace.
pub(crate) fn api_url() -> String {
    format!("https://{}:6443", netns::NODE_IP)
}

impl Bare {
    /// Starts it, or takes the one that runs and is whole.
    pub(crate) fn up(work: &Work) -> Result<Self> {
        if !process::is_root() {
            bail!("the bare cluster needs root; with a docker engine, use --cluster kind");
        }
        packages::ensure(packages::BARE)?;
        let bare = Self {
            work: work.clone(),
            helm: tools::ensure(work, &tools::HELM)?.join("helm"),
            kubernetes: tools::ensure(work, &tools::KUBERNETES)?,
        };
        let coredns = tools::ensure(work, &tools::COREDNS)?.join("coredns");
        if let Some(state) = work.state()? {
            if state.ready && bare.is_whole(&state) {
                return Ok(bare);
            }
            wait::step("what an earlier run left is cleaned up", || down(work))?;
        }
        let absent_before: Vec<PathBuf> =
            OUTSIDE.iter().map(PathBuf::from).filter(|path| !path.exists()).collect();
        if has_entries(Path::new("/var/log/pods")) {
            bail!(
                "/var/log/pods is not empty: this machine looks like a node of another cluster, \
                 and the bare cluster would mix with it"
            );
        }
        work.save(&State {
            flavor: Flavor::Bare,
            ready: false,
            processes: Vec::new(),
            absent_before,
            foreign_namespaces: netns::list(),
        })?;
        wait::step("the cluster is up", || bare.start(&coredns))?;
        let mut state = work.state()?.context("state.json is gone")?;
        state.ready = true;
        work.save(&state)?;
        Ok(bare)
    }

    fn start(&self, coredns: &Path) -> Result<()> {
        netns::create()?;
        let names = [
            netns::NODE_IP,
            "10.96.0.1",
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let nodes = [NODE, netns::NODE_IP, second::NODE, second::ADDRESS];
        let certs = Certs::create(&self.work, &names, &nodes)?;
        control_plane::write_credentials(&self.work, &certs)?;
        wait::step("etcd and containerd", || {
            self.started(control_plane::etcd(&self.work)?)?;
            self.started(node::containerd(&self.work)?)
        })?;
        wait::step("kube-apiserver", || self.start_api_server())?;
        wait::step("pause and workload images", || {
            self.import(&images::pause(&self.work)?)?;
            self.import(&images::workload(&self.work)?)
        })?;
        self.started(control_plane::controller_manager(&self.work, &self.kubernetes, &certs)?)?;
        self.started(control_plane::scheduler(&self.work, &self.kubernetes)?)?;
        self.started(node::kubelet(&self.work, &self.kubernetes, &certs)?)?;
        self.started(node::proxy(&self.work, &self.kubernetes)?)?;
        self.started(dns::coredns(&self.work, coredns)?)?;
        wait::step("the node is ready", || self.wait_for_node(NODE))?;
        cmd::with_input(self.kubectl().args(["apply", "-f", "-"]), dns::SERVICE.as_bytes())?;
        second::prepare(&self.work, &self.kubernetes, &certs)?;
        wait::step("the second node boots", || self.restore_power())?;
        wait::step("pause and workload images there", || {
            for name in ["pause", "workload"] {
                let archive = self.work.run().join(format!("images/{name}.tar"));
                second::load_image(&self.work, &archive)?;
            }
            Ok(())
        })?;
        wait::step("the second node is ready", || self.wait_for_node(second::NODE))
    }

    fn wait_for_node(&self, name: &str) -> Result<()> {
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        wait::until("the node", Duration::from_secs(90), Duration::from_millis(300), || {
            let ready = cmd::run(self.kubectl().args(["get", "node", name, "-o", ready]))?;
            Ok((ready == "True").then_some(()))
        })
    }

    /// Switches the second node on; one that is on is left alone.
    pub(crate) fn restore_power(&self) -> Result<()> {
        if self.process(second::PROCESS).is_ok_and(|process| process.is_alive()) {
            return Ok(());
        }
        self.started(second::power_on(&self.work)?)
    }

    /// Cuts the second node's power: what its kernel had not written to its disk is gone.
    pub(crate) fn cut_power(&self) -> Result<()> {
        self.process(second::PROCESS)?.kill_session();
        Ok(())
    }

    /// What was on its disk at each boot, and what is there now.
    pub(crate) fn surviving_logs(&self) -> Result<PathBuf> {
        self.second_shell(&second::find_now(&self.work))?;
        Ok(second::found(&self.work))
    }

    /// Runs a shell script on the second node.
    pub(crate) fn second_shell(&self, script: &str) -> Result<String> {
        second::shell(&self.work, script, Duration::from_secs(60))
    }

    /// Notes a process before anything else happens.
    fn started(&self, process: Process) -> Result<()> {
        let mut state = self.work.state()?.context("state.json is gone")?;
        state.processes.retain(|known| known.name != process.name);
        state.processes.push(process);
        self.work.save(&state)
    }

    fn process(&self, name: &str) -> Result<Process> {
        let state = self.work.state()?.context("the cluster is not up")?;
        let found = state.processes.into_iter().find(|process| process.name == name);
        found.with_context(|| format!("{name} was never started"))
    }

    fn is_whole(&self, state: &State) -> bool {
        state.processes.iter().all(Process::is_alive) && self.api_is_ready()
    }

    fn api_is_ready(&self) -> bool {
        cmd::succeeds(self.kubectl().args(["get", "--raw", "/readyz", "--request-timeout=2s"]))
    }

    /// kubectl as administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = netns::command(self.kubernetes.join("kubectl"));
        command.arg(format!("--kubeconfig={}", self.kubeconfig().display()));
        command.env("KUBECACHEDIR", self.work.run().join("kube-cache"));
        command
    }

    /// Helm as administrator. Its own folders are in the work folder.
    pub(crate) fn helm(&self) -> Command {
        let mut command = netns::command(&self.helm);
        command.arg(format!("--kubeconfig={}", self.kubeconfig().display()));
        command.env("KUBECACHEDIR", self.work.run().join("kube-cache"));
        let home = self.work.run().join("helm");
        for kind in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(kind, &home);
        }
        command
    }

    fn kubeconfig(&self) -> PathBuf {
        self.work.run().join("kubeconfig/admin")
    }

    /// Imports an image archive on the first node.
    fn import(&self, archive: &Path) -> Result<()> {
        cmd::run(node::ctr(&self.work).args(["images", "import"]).arg(archive)).map(drop)
    }

    /// Imports an image archive on both nodes.
    pub(crate) fn load_image(&self, archive: &Path) -> Result<()> {
        self.import(archive)?;
        second::load_image(&self.work, archive)
    }

    /// The folder that the kubelet reads static pods from.
    pub(crate) fn static_pods(&self) -> Result<PathBuf> {
        self.work.run_folder("static-pods")
    }

    /// Runs a shell script on the node.
    pub(crate) fn node_shell(script: &str) -> Result<String> {
        cmd::run(netns::command("sh").args(["-c", script]))
    }

    /// Runs a program in a running container, with no help from the API server.
    pub(crate) fn container_exec(&self, container_id: &str, argv: &[&str]) -> Command {
        let mut command = node::ctr(&self.work);
        let id = format!("e2e-{}-{}", std::process::id(), unique());
        command.args(["tasks", "exec", "--exec-id", &id, container_id]).args(argv);
        command
    }

    /// Ends the API server. By force: its drain waits a minute for open watches.
    pub(crate) fn stop_api_server(&self) -> Result<()> {
        self.process("kube-apiserver")?.kill();
        Ok(())
    }

    /// Starts the API server and waits until it is ready.
    pub(crate) fn start_api_server(&self) -> Result<()> {
        if self.api_is_ready() {
            return Ok(());
        }
        let certs = Certs::of(&self.work);
        let api = control_plane::api_server(&self.work, &self.kubernetes, &certs)?;
        self.started(api.clone())?;
        wait::until_true("the API server's /readyz", Duration::from_secs(60), || {
            self.api_is_ready() || !api.is_alive()
        })?;
        if !api.is_alive() {
            let log = std::fs::read_to_string(self.work.log("kube-apiserver")?)?;
            bail!("kube-apiserver ended:\n{}", cmd::tail(&log));
        }
        Ok(())
    }

    /// Ends the controller manager.
    pub(crate) fn stop_controllers(&self) -> Result<()> {
        self.process("kube-controller-manager")?.kill();
        Ok(())
    }

    /// Starts the controller manager.
    pub(crate) fn start_controllers(&self) -> Result<()> {
        if self.process("kube-controller-manager")?.is_alive() {
            return Ok(());
        }
        let certs = Certs::of(&self.work);
        self.started(control_plane::controller_manager(&self.work, &self.kubernetes, &certs)?)
    }

    /// Forgets every old revision in etcd, so that a watch that resumes from one is answered 410.
    pub(crate) fn compact() -> Result<()> {
        let status = cmd::run(control_plane::etcdctl().args(["endpoint", "status", "-w", "json"]))?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let revision = status[0]["Status"]["header"]["revision"]
            .as_u64()
            .context("etcd's status has no revision")?;
        cmd::run(control_plane::etcdctl().args(["compaction", &revision.to_string()]))?;
        Ok(())
    }

    /// What runs, one line a process.
    pub(crate) fn status(state: &State) -> String {
        let line = |process: &Process| {
            let alive = if process.is_alive() { "running" } else { "ended" };
            format!("  {:<24} {:>8}  {alive}\n", process.name, process.pid)
        };
        state.processes.iter().map(line).collect()
    }
}

fn has_entries(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
