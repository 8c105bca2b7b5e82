//! Nodes that are only objects, with pods on them, of the size that real ones have; and their changes.
//!
//! In: how many. Out: the objects, through the API. No kubelet stands behind them. Always: the nodes are born as what the
//! controllers would make of a silent node (unknown, unreachable), and the pods bear that, so that no controller
//! changes them while something is measured; [`remove`] finds them by their names' label and namespace alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::admin::{Admin, inside};
use super::place::{NAMESPACE, Place};

/// Marks the nodes.
const LABEL: &str = "hawsepipe-e2e/clients";
/// How often a kubelet reports a node that has not changed: `nodeStatusReportFrequency`.
const NODE_REPORT: Duration = Duration::from_secs(5 * 60);
/// A kubelet reports so many images at most: `nodeStatusMaxImages`.
const IMAGES: usize = 50;

/// How many nodes, and what is on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// Nodes.
    pub(crate) nodes: usize,
    /// Pods on each.
    pub(crate) pods: usize,
    /// Changes of pods, a minute, on each.
    pub(crate) changes: f64,
}

/// What a node is called.
pub(crate) fn name(node: usize) -> String {
    format!("hawsepipe-load-{node}")
}

fn pod_name(node: usize, pod: usize) -> String {
    format!("app-{node}-{pod}")
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// Creates nodes, and their pods as running.
pub(crate) fn create(place: &Place<'_>, fleet: Fleet) -> Result<()> {
    inside(&place.admin(), async move |admin| {
        let admin = &admin;
        Admin::each(0..fleet.nodes, async |node| {
            admin.create("/api/v1/nodes", &node_object(node)).await
        })
        .await?;
        let all = (0..fleet.nodes).flat_map(|node| (0..fleet.pods).map(move |pod| (node, pod)));
        Admin::each(all, async |(node, pod)| {
            let path = pods_path();
            admin.create(&path, &pod_object(node, pod)).await?;
            let status = format!("{path}/{}/status", pod_name(node, pod));
            admin.patch(&status, &pod_status(0)).await
        })
        .await
    })
}

/// Removes the nodes and every pod.
pub(crate) fn remove(place: &Place<'_>) -> Result<()> {
    inside(&place.admin(), async move |admin| {
        // Without a kubelet nobody would end the grace period.
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        admin.delete_all(&pods_path(), &now).await?;
        let nodes = format!("/api/v1/nodes?labelSelector={LABEL}%3Dtrue");
        admin.delete_all(&nodes, &now).await
    })
}

/// Changes that go on until it is stopped.
pub(crate) struct Churn {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Churn {
    /// Starts to change pods' statuses, one after the other, and to report nodes as kubelets do.
    pub(crate) fn start(place: &Place<'_>, fleet: Fleet) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let kubeconfig = place.admin();
        let thread = std::thread::spawn(move || {
            inside(&kubeconfig, async move |admin| {
                let (admin, nodes) = (&admin, fleet.nodes as f64);
                let pods = every(nodes * fleet.changes / 60.0, &stopped, async |change| {
                    let (node, round) =
                        (change as usize % fleet.nodes, change / fleet.nodes as u64);
                    let pod = pod_name(node, round as usize % fleet.pods);
                    let path = format!("{}/{pod}/status", pods_path());
                    admin.patch(&path, &pod_status(change + 1)).await?;
                    counted.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                });
                let reports = every(nodes / NODE_REPORT.as_secs_f64(), &stopped, async |report| {
                    let node = name(report as usize % fleet.nodes);
                    let path = format!("/api/v1/nodes/{node}/status");
                    let patch = json!({"status": {"conditions": node_conditions()}});
                    admin.patch(&path, &patch).await
                });
                futures::future::try_join(pods, reports).await.map(drop)
            })
        });
        Self { stop, made, thread: Some(thread) }
    }

    /// Changes of pods so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Ends it; an error that ended it before.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_panic| anyhow!("the thread that changes pods panicked"))?
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Does something so many times a second, evenly, until it is stopped.
async fn every(
    a_second: f64,
    stopped: &AtomicBool,
    work: impl AsyncFn(u64) -> Result<()>,
) -> Result<()> {
    if a_second <= 0.0 {
        return Ok(());
    }
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / a_second));
    let mut number = 0;
    loop {
        // A tick may be minutes away.
        let second = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            _ = tick.tick() => {
                work(number).await?;
                number += 1;
            }
            () = second => {}
        }
        if stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn now() -> String {
    // metav1.Time has no fraction of a second.
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn node_object(node: usize) -> Value {
    let name = name(node);
    let taint = |effect| json!({"key": "node.kubernetes.io/unreachable", "effect": effect});
    let images: Vec<Value> = (0..IMAGES)
        .map(|image| {
            let repository = format!("registry.example.com/team-{}/service-{image}", image % 7);
            json!({
                "names": [format!("{repository}@sha256:{image:064x}"), format!("{repository}:v1.{image}.0")],
                "sizeBytes": 50_000_000 + image,
            })
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                LABEL: "true",
                "kubernetes.io/arch": "amd64",
                // No DaemonSet that asks for Linux, as the chart's does, sends its pods here.
                "kubernetes.io/os": "none",
                "kubernetes.io/hostname": name,
                "node.kubernetes.io/instance-type": "e2e.large",
                "topology.kubernetes.io/region": "eu-north-1",
                "topology.kubernetes.io/zone": "eu-north-1b",
            },
        },
        "spec": {
            "providerID": format!("aws:///eu-north-1b/i-0e2e{node:013x}"),
            "taints": [taint("NoSchedule"), taint("NoExecute")],
        },
        "status": {
            "addresses": [{"type": "Hostname", "address": name}],
            "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "conditions": node_conditions(),
            "images": images,
            "nodeInfo": {
                "architecture": "amd64", "bootID": "0e2e", "machineID": "0e2e", "systemUUID": "0e2e",
                "containerRuntimeVersion": "containerd://1.6.20", "kernelVersion": "6.1.0",
                "kubeProxyVersion": "", "kubeletVersion": "v1.34.4", "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 12 (bookworm)",
            },
        },
    })
}

fn node_conditions() -> Value {
    let now = now();
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastHeartbeatTime": now, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map(condition).into()
}

fn pod_object(node: usize, pod: usize) -> Value {
    let stays = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
    let variables: Vec<Value> = (0..12)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": "some words that a service is told"}))
        .collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    let container = |name: &str| {
        json!({
            "name": name,
            "image": format!("registry.example.com/team-1/{name}:v1.2.3"),
            "env": variables,
            "ports": [{"containerPort": 8080, "name": "http"}],
            "livenessProbe": probe,
            "readinessProbe": probe,
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(node, pod),
            "labels": {
                "app.kubernetes.io/name": "app", "app.kubernetes.io/part-of": "clients",
                "app.kubernetes.io/version": "1.2.3", "pod-template-hash": "5d4f8c7b9f",
            },
        },
        "spec": {
            "nodeName": name(node),
            "containers": [container("service"), container("proxy")],
            "tolerations": [
                stays("node.kubernetes.io/unreachable"),
                stays("node.kubernetes.io/not-ready"),
                {"operator": "Exists", "effect": "NoSchedule"},
            ],
        },
    })
}

/// Running, after so many changes.
fn pod_status(change: u64) -> Value {
    let now = now();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let container = |name: &str| {
        json!({
            "name": name, "ready": true, "started": true, "restartCount": change,
            "image": format!("registry.example.com/team-1/{name}:v1.2.3"),
            "imageID": format!("registry.example.com/team-1/{name}@sha256:{:064x}", 7),
            "containerID": format!("containerd://{change:064x}"),
            "state": {"running": {"startedAt": now}},
        })
    };
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
    let conditions = conditions.map(condition);
    json!({
        "status": {
            "phase": "Running",
            "startTime": now,
            "podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}],
            "conditions": conditions,
            "containerStatuses": [container("service"), container("proxy")],
        },
    })
}
