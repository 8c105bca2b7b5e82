//! `cargo e2e beside`: the leader and kube-state-metrics beside one another, over the same objects.
//!
//! In: a running cluster, numbers of objects. Out: a table of what both took. The objects are made through the API (pods
//! as running, of the size that real ones have, and ReplicaSets without pods); no kubelet stands behind them. Always: both
//! follow the same API server at the same time, both are asked by the same kernel, and all of it is gone at the end.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::clients::Fleet;
use crate::clients::admin::{Admin, inside};
use crate::clients::nodes;
use crate::clients::place::{NAMESPACE, Place};
use crate::clients::server::Page;
use crate::cluster::Cluster;
use crate::process::Process;
use crate::{cmd, netns, release, tools, wait};

/// Pods of a node.
const PODS: usize = 100;
/// Where kube-state-metrics answers, and where it tells of itself.
const PORTS: [u16; 2] = [18_080, 18_081];
/// How often it is read, and the leader tells.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long both are watched.
const WINDOW: Duration = Duration::from_secs(60);
/// Until everything is known.
const SOON: Duration = Duration::from_secs(300);

/// What a process takes.
struct Taken {
    resident: f64,
    peak: f64,
    cpu: f64,
}

/// Measures and prints.
pub(crate) fn run(cluster: &Cluster, pods: usize, replica_sets: usize) -> Result<()> {
    let program = tools::ensure(cluster.work(), &tools::KUBE_STATE_METRICS)?;
    let program = program.join(tools::KUBE_STATE_METRICS.binaries[0]);
    let place = Place::create(cluster)?;
    // Before the objects: the controller of ReplicaSets looks at each of them before it makes a pod.
    let key = release::random_key()?;
    release::prepare(cluster, &key, &key)?;
    // The nodes are objects: no agent is to be sent to them.
    let values = json!({
        "metrics": {"interval": format!("{}s", INTERVAL.as_secs())},
        "nodeSelector": {"kubernetes.io/hostname": cluster.node()},
        "cluster": {"nodeSelector": {"kubernetes.io/hostname": cluster.node()}},
        "receiver": {"nodeSelector": {"kubernetes.io/hostname": cluster.node()}},
    });
    wait::step("helm install", || release::helm_upgrade(cluster, &values))?;
    let fleet = Fleet { nodes: pods.div_ceil(PODS), pods: PODS, changes: 0.0 };
    wait::step(&format!("{pods} pods"), || nodes::create(&place, fleet))?;
    wait::step(&format!("{replica_sets} ReplicaSets"), || create(&place.admin(), replica_sets))?;
    let theirs = KubeStateMetrics::start(cluster, &program, &place.admin())?;
    let read = wait::step("both know everything", || {
        leader_knows(cluster, pods)?;
        wait::until("kube-state-metrics", SOON, Duration::from_secs(2), || {
            let page = theirs.read()?;
            let told = page.lines().filter(|line| line.starts_with("kube_pod_info{")).count();
            Ok((told >= pods).then_some(page.len()))
        })
    })?;

    let pod = release::cluster_pod(cluster)?;
    let leader = release::container_pid(cluster, &release::container_id(&pod)?)?;
    let before = [cpu_seconds(leader)?, cpu_seconds(theirs.process.pid)?];
    let started = Instant::now();
    while started.elapsed() < WINDOW {
        std::thread::sleep(INTERVAL);
        theirs.read()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let taken = |pid, before| -> Result<Taken> {
        let cpu = (cpu_seconds(pid)? - before) / seconds * INTERVAL.as_secs_f64();
        Ok(Taken { resident: memory(pid, "VmRSS:")?, peak: memory(pid, "VmHWM:")?, cpu })
    };
    let ours = taken(leader, before[0])?;
    let theirs_taken = taken(theirs.process.pid, before[1])?;
    println!(
        "          | {pods} pods, {replica_sets} ReplicaSets | RSS, MiB | peak, MiB | CPU s an interval of {} s |\n          |---|---|---|---|",
        INTERVAL.as_secs()
    );
    let version = tools::KUBE_STATE_METRICS.version;
    for (name, taken) in
        [("hawsepipe".to_owned(), &ours), (format!("kube-state-metrics {version}"), &theirs_taken)]
    {
        let Taken { resident, peak, cpu } = taken;
        println!("          | {name} | {resident:.1} | {peak:.1} | {cpu:.3} |");
    }
    println!(
        "          ratio: {:.2} of its memory, {:.2} of its CPU time; its page has {:.1} MB",
        ours.resident / theirs_taken.resident,
        ours.cpu / theirs_taken.cpu,
        read as f64 / 1e6
    );
    release::uninstall(cluster)?;
    ensure!(ours.resident > 0.0 && theirs_taken.resident > 0.0, "one of them was not there");
    Ok(())
}

/// Creates ReplicaSets that want no pods.
fn create(kubeconfig: &Path, count: usize) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/replicasets");
    let path = &path;
    inside(kubeconfig, async move |admin| {
        let admin = &admin;
        Admin::each(0..count, async |number| admin.create(path, &replica_set(number)).await).await
    })
}

fn replica_set(number: usize) -> Value {
    let name = format!("service-{}-{:08x}", number / 10, number);
    let labels = json!({
        "app.kubernetes.io/name": format!("service-{}", number / 10),
        "app.kubernetes.io/part-of": "clients",
        "pod-template-hash": format!("{number:08x}"),
    });
    let container = json!({
        "name": "service", "image": "registry.example.com/team-1/service:v1.2.3",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name, "labels": labels,
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": "1", "deployment.kubernetes.io/max-replicas": "2",
                "deployment.kubernetes.io/revision": number.to_string(),
            },
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

/// Waits until the leader has told of that many pods, twice.
fn leader_knows(cluster: &Cluster, pods: usize) -> Result<()> {
    wait::until("the leader to tell of every pod", SOON, Duration::from_secs(2), || {
        let pod = release::name(&release::cluster_pod(cluster)?);
        let page = Page::read(&release::admin(cluster, &pod, "metrics")?);
        let of = |metric| page.sum(metric, &["collector=\"cluster_pods\""]);
        let (runs, points) =
            (of("hawsepipe_collector_runs_total"), of("hawsepipe_collector_points_total"));
        ensure!(points >= 2.0 * pods as f64, "{points} points in {runs} runs");
        Ok(Some(()))
    })
}

/// Resident memory or its peak, in MiB.
fn memory(pid: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024.0)
}

/// User and system time of all threads: fields 14 and 15 of /proc/PID/stat (proc(5)), in hundredths of a second.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? as f64 / 100.0)
}

/// A running kube-state-metrics, with its default resources and metrics.
struct KubeStateMetrics {
    process: Process,
}

impl KubeStateMetrics {
    fn start(cluster: &Cluster, program: &Path, kubeconfig: &Path) -> Result<Self> {
        let [port, telemetry] = PORTS;
        let mut command = netns::command(program);
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--host=127.0.0.1", "--telemetry-host=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--telemetry-port={telemetry}"));
        let log = cluster.work().log("kube-state-metrics")?;
        Ok(Self { process: Process::spawn("kube-state-metrics", &mut command, &log)? })
    }

    /// Its page.
    fn read(&self) -> Result<String> {
        ensure!(self.process.is_alive(), "kube-state-metrics has ended, see its log");
        let mut ask: Command = netns::command("python3");
        // No curl is needed for it, and Python is here for the chart.
        let script = format!(
            "import urllib.request,sys; sys.stdout.buffer.write(urllib.request.urlopen('http://127.0.0.1:{}/metrics').read())",
            PORTS[0]
        );
        cmd::run(ask.args(["-c", &script]))
    }
}

impl Drop for KubeStateMetrics {
    fn drop(&mut self) {
        self.process.end(Duration::from_secs(10));
    }
}
