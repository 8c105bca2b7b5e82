//! Workloads: pods that write numbered lines (`WORKLOAD 17/300`), so that the receiver's lines say
//! by themselves whether all of them are there.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::images::WORKLOAD;

/// A namespace for one promise, removed when it goes out of scope.
pub(crate) struct Namespace<'a> {
    cluster: &'a Cluster,
    /// Its name, new at each run: what an earlier run left in the receiver is not mixed in.
    pub(crate) name: String,
    kept: bool,
}

impl<'a> Namespace<'a> {
    /// Makes it; its default service account must be there before pods can be made.
    pub(crate) fn create(cluster: &'a Cluster, purpose: &str) -> Result<Self> {
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let name = format!("e2e-{purpose}-{seconds:x}");
        cluster.kubectl(&["create", "namespace", &name])?;
        let namespace = Self { cluster, name, kept: false };
        crate::wait::until_true("the default service account", patience(), || {
            cluster.kubectl(&["get", "serviceaccount", "default", "-n", &namespace.name]).is_ok()
        })?;
        Ok(namespace)
    }

    /// It stays, to be looked at.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// Applies objects into it.
    pub(crate) fn apply(&self, objects: &[Value]) -> Result<()> {
        let mut objects = objects.to_vec();
        for object in &mut objects {
            object["metadata"]["namespace"] = json!(self.name);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.cluster.apply(&list.to_string())
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let arguments = ["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"];
        if let Err(error) = self.cluster.kubectl(&arguments) {
            eprintln!("{error:#}");
        }
    }
}

fn patience() -> std::time::Duration {
    std::time::Duration::from_secs(30)
}

/// A script that writes `total` numbered lines at once, to stdout.
pub(crate) fn burst(name: &str, total: u64) -> String {
    format!("awk 'BEGIN {{ for (i = 1; i <= {total}; i++) print \"{name} \" i \"/{total}\" }}'")
}

/// A script that writes `total` numbered lines, one every `pause` seconds.
pub(crate) fn steady(name: &str, total: u64, pause: &str) -> String {
    format!(
        "i=1; while [ $i -le {total} ]; do echo \"{name} $i/{total}\"; i=$((i+1)); \
         sleep {pause}; done"
    )
}

/// What a container does when it has written everything: it stays.
pub(crate) const WAIT: &str = "while :; do sleep 1; done";
/// It stays, and ends at once when asked.
pub(crate) const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 1; done";

/// A container that runs a shell script.
pub(crate) fn container(name: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": WORKLOAD,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        // runc's init needs 64Mi to start.
        "resources": {"requests": {"cpu": "5m"}, "limits": {"memory": "64Mi"}},
    })
}

/// The spec of a pod.
pub(crate) fn pod_spec(containers: &[Value]) -> Value {
    json!({
        "containers": containers,
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
    })
}

/// A pod that belongs to nobody.
pub(crate) fn pod(name: &str, labels: &Value, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    })
}

/// Sends a pod to a node, whatever keeps pods away from it.
pub(crate) fn pin(pod: &mut Value, node: &str) {
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    pod["spec"]["tolerations"] = json!([{"operator": "Exists", "effect": "NoSchedule"}]);
}

/// A pod that runs once: it is not started again.
pub(crate) fn once(mut spec: Value) -> Value {
    spec["restartPolicy"] = json!("Never");
    spec
}

/// A Deployment, StatefulSet or DaemonSet.
pub(crate) fn controller(
    kind: &str,
    name: &str,
    replicas: u32,
    labels: &Value,
    spec: &Value,
) -> Value {
    let mut labels = labels.clone();
    labels["app"] = json!(name);
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(replicas);
    }
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

/// A Job.
pub(crate) fn job(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": once(spec)}},
    })
}

/// A CronJob that starts at each full minute.
pub(crate) fn cron_job(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": once(spec)}}},
        },
    })
}
