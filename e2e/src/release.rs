//! The installed chart, with the receiver as its destination and two Secrets: the key that the
//! receiver asks for and the key that the agents send.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::work::Work;
use crate::{cmd, images, wait};

/// Where it is installed.
pub(crate) const NAMESPACE: &str = "hawsepipe";
/// The release's name, and the DaemonSet's.
pub(crate) const RELEASE: &str = "hawsepipe";
/// The Deployment of what is done once in the cluster.
pub(crate) const CLUSTER_WORK: &str = "hawsepipe-cluster";
/// The receiver's only pod.
pub(crate) const RECEIVER_POD: &str = "hawsepipe-receiver-0";
/// `cluster.name` in the values.
pub(crate) const CLUSTER_NAME: &str = "e2e";

/// The Secret with the key that the receiver asks for.
const RECEIVER_SECRET: &str = "receiver-key";
/// The Secret with the key that the agents send.
const AGENT_SECRET: &str = "ingest-key";
/// The field of both.
const FIELD: &str = "api-key";

/// Whether this process has loaded the image already: a run tests one build.
static LOADED: Mutex<bool> = Mutex::new(false);

/// Makes the agent's image available, once in a run.
pub(crate) fn load_image(cluster: &Cluster) -> Result<()> {
    let mut loaded = LOADED.lock().map_err(|error| anyhow::anyhow!("{error}"))?;
    if !*loaded {
        let archive = images::agent(cluster.work())?;
        cluster.load_image(&archive)?;
        // What a run before this one installed may be another build.
        uninstall(cluster)?;
        *loaded = true;
    }
    Ok(())
}

/// The release with one right key; an installed one is taken as it is. Of those who ask side by side, one installs it.
pub(crate) fn ensure(cluster: &Cluster) -> Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _turn = INSTALLING.lock().map_err(|error| anyhow::anyhow!("{error}"))?;
    load_image(cluster)?;
    if is_installed(cluster) {
        return wait_ready(cluster);
    }
    let key = random_key()?;
    wait::step("helm install", || install(cluster, &key, &key))
}

/// Installs it with these keys; the agents' one may be wrong.
pub(crate) fn install(cluster: &Cluster, receiver_key: &str, agent_key: &str) -> Result<()> {
    prepare(cluster, receiver_key, agent_key)?;
    helm_upgrade(cluster, &json!({}))?;
    wait_ready(cluster)
}

/// What an installation needs: the image, the namespace and the two Secrets in it.
pub(crate) fn prepare(cluster: &Cluster, receiver_key: &str, agent_key: &str) -> Result<()> {
    load_image(cluster)?;
    if cluster.kubectl(&["get", "namespace", NAMESPACE]).is_err() {
        cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    }
    set_secret(cluster, RECEIVER_SECRET, receiver_key)?;
    set_agent_key(cluster, agent_key)
}

/// `helm upgrade --install` with the values of the suites and some more on top.
pub(crate) fn helm_upgrade(cluster: &Cluster, more: &Value) -> Result<()> {
    let values = json!({
        "cluster": {"name": CLUSTER_NAME},
        // Where agents and receiver go together there is nobody to send to.
        "shutdownTimeout": "3s",
        "receiver": {"enabled": true, "auth": {"existingSecret": RECEIVER_SECRET}},
        // The endpoint is the receiver's, filled in by the chart; the key is the agents' own.
        "destinations": {"receiver": {"auth": {"existingSecret": AGENT_SECRET}}},
    });
    // JSON is YAML.
    let values = cluster.work().run_file("values.yaml", values.to_string())?;
    let more = cluster.work().run_file("more-values.yaml", more.to_string())?;
    let chart = Work::repository().join("chart");
    let path = |path: &std::path::Path| path.display().to_string();
    cluster
        .helm(&[
            "upgrade",
            "--install",
            RELEASE,
            &path(&chart),
            "--namespace",
            NAMESPACE,
            "--values",
            &path(&values),
            "--values",
            &path(&more),
            "--wait",
            "--timeout",
            "120s",
        ])
        .map(drop)
}

/// Uninstalls it and what the suites added; nothing installed is no error.
pub(crate) fn uninstall(cluster: &Cluster) -> Result<()> {
    if is_installed(cluster) {
        cluster.helm(&["uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "90s"])?;
    }
    // The manifests name everything else there can be, the namespace too.
    delete_manifests(cluster)
}

/// The folder of the rendered manifests.
pub(crate) fn manifests() -> String {
    Work::repository().join("manifests").display().to_string()
}

/// `kubectl delete -f manifests/`. The namespace is the first to go and takes along what is deleted
/// by name after it.
pub(crate) fn delete_manifests(cluster: &Cluster) -> Result<()> {
    let delete = ["delete", "-f", &manifests(), "--ignore-not-found", "--timeout=90s"];
    cluster.kubectl(&delete).map(drop)
}

fn is_installed(cluster: &Cluster) -> bool {
    cluster.helm(&["status", RELEASE, "-n", NAMESPACE]).is_ok()
}

/// Waits for the DaemonSet, the receiver and, where there is one, the pod that does what is done once in the cluster.
pub(crate) fn wait_ready(cluster: &Cluster) -> Result<()> {
    let once = ["get", "deployment", CLUSTER_WORK, "-n", NAMESPACE, "--ignore-not-found"];
    let once = cluster.kubectl(&[&once[..], &["-o", "name"]].concat())?;
    let always = ["daemonset/hawsepipe", "statefulset/hawsepipe-receiver"];
    for object in always.into_iter().chain(once.lines()) {
        cluster.kubectl(&["rollout", "status", object, "-n", NAMESPACE, "--timeout=90s"])?;
    }
    Ok(())
}

/// Sets the key that the agents send, as an admin with kubectl would.
pub(crate) fn set_agent_key(cluster: &Cluster, key: &str) -> Result<()> {
    set_secret(cluster, AGENT_SECRET, key)
}

/// Deletes both Secrets.
pub(crate) fn delete_secrets(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(&["delete", "secret", RECEIVER_SECRET, AGENT_SECRET, "-n", NAMESPACE]).map(drop)
}

/// Sets the key in a Secret, as an admin with kubectl would.
pub(crate) fn set_secret(cluster: &Cluster, name: &str, key: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {FIELD: key},
    });
    // Over standard input: a key on a command line would be in the process listing. Replaced, not
    // applied: apply would copy it into an annotation.
    let mut replace = cluster.kubectl_command();
    if cmd::with_input(replace.args(["replace", "-f", "-"]), secret.to_string().as_bytes()).is_ok()
    {
        return Ok(());
    }
    let mut create = cluster.kubectl_command();
    cmd::with_input(create.args(["create", "-f", "-"]), secret.to_string().as_bytes()).map(drop)
}

/// A key nobody has seen.
pub(crate) fn random_key() -> Result<String> {
    crate::bare::random_hex()
}

/// The agent's pod on the node that the suites are about.
pub(crate) fn agent_pod(cluster: &Cluster) -> Result<Value> {
    agent_pod_on(cluster, cluster.node())
}

/// The agent's pod on a node.
pub(crate) fn agent_pod_on(cluster: &Cluster, node: &str) -> Result<Value> {
    let pods =
        cluster.get(&["pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=agent"])?;
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let pods: Vec<Value> = pods
        .into_iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .filter(|pod| pod["spec"]["nodeName"] == node)
        .collect();
    ensure!(pods.len() == 1, "{} agent pods on {node}", pods.len());
    pods.into_iter().next().context("no agent pod")
}

/// The pod that does what is done once in the cluster.
pub(crate) fn cluster_pod(cluster: &Cluster) -> Result<Value> {
    let label = "app.kubernetes.io/component=cluster";
    let pods = cluster.get(&["pods", "-n", NAMESPACE, "-l", label])?;
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let alive = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    pods.into_iter().find(alive).context("no pod of the Deployment")
}

/// The receiver's pod.
pub(crate) fn receiver_pod(cluster: &Cluster) -> Result<Value> {
    cluster.get(&["pod", RECEIVER_POD, "-n", NAMESPACE])
}

/// The id of a pod's first container, as the runtime has it.
pub(crate) fn container_id(pod: &Value) -> Result<String> {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.and_then(|id| id.rsplit('/').next()).context("the container has no id yet")?;
    Ok(id.to_owned())
}

/// The id of the main process of a container, on the node.
pub(crate) fn container_pid(cluster: &Cluster, container_id: &str) -> Result<u32> {
    let found = cluster
        .node_shell(&format!("grep -l {container_id} /proc/[0-9]*/cgroup 2>/dev/null || true"))?;
    // The first process of the container is the oldest, and has the smallest id.
    let pids = found.lines().filter_map(|path| path.split('/').nth(2)?.parse::<u32>().ok());
    pids.min().with_context(|| format!("no process of container {container_id}"))
}

/// What an admin endpoint answers, asked through the API server.
pub(crate) fn admin(cluster: &Cluster, pod: &str, path: &str) -> Result<String> {
    cluster.kubectl(&[
        "get",
        "--raw",
        &format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9464/proxy/{path}"),
    ])
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> String {
    crate::received::text(&object["metadata"]["name"])
}

/// The uid of an object.
pub(crate) fn uid(object: &Value) -> String {
    crate::received::text(&object["metadata"]["uid"])
}

/// How long a change of a mounted Secret may take to be seen: by default the kubelet looks once a minute.
pub(crate) const SECRET_SYNC: Duration = Duration::from_secs(150);
