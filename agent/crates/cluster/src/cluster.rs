//! Everything put together: the tasks that ask, and what they fill.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::PodDirectory;
use kube::Client;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff::jitter;
use crate::failure::Resource;
use crate::index::PodIndex;
use crate::link::{LastError, Link};
use crate::lookups;
use crate::node;
use crate::object::{Node, Pod};
use crate::pod::Known;
use crate::selection::Selection;
use crate::watch::{Sink, Watch};
use crate::workload::JobRef;
use crate::{ClusterError, client};

/// Nodes that start together do not ask together: each asks for everything at some moment of this, the same for all, so that
/// lines have the node's and the cluster's attributes from when they have their pod's. Half of what lines wait for these
/// (`kubernetes.metadataTimeout`): none goes without because of it.
const START_JITTER: Duration = Duration::from_secs(5);

/// How often deleted pods whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the config's `kubernetes` says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `kubernetes.nodeName`: the node whose pods are watched.
    pub node_name: String,
    /// `kubernetes.labels`: globs over the keys of pod labels that become `k8s.pod.label.<key>`.
    pub labels: Vec<String>,
    /// `kubernetes.annotations`: globs over the keys of pod annotations that become `k8s.pod.annotation.<key>`.
    pub annotations: Vec<String>,
}

impl Settings {
    /// The defaults for a node: all labels, no annotations.
    #[must_use]
    pub fn of_node(node_name: &str) -> Self {
        let labels = vec!["*".to_owned()];
        Self { node_name: node_name.to_owned(), labels, annotations: Vec::new() }
    }
}

/// What is known of the cluster, and how well it can be reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    index: Arc<PodIndex>,
    pub(crate) link: Arc<Link>,
}

/// The running tasks. They end when the token is cancelled.
#[derive(Debug)]
pub struct Handle {
    cluster: Cluster,
    tasks: JoinSet<()>,
}

/// How the API server is doing, for `/status`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Whether the watch of pods is connected.
    pub connected: bool,
    /// Since when, RFC 3339.
    pub connected_since: Option<String>,
    /// Pods of this node that are known.
    pub pods: usize,
    /// Deleted pods that are remembered for their unread lines.
    pub deleted_pods: usize,
    /// Seconds since the watch of pods said something, bookmarks included.
    pub last_event_age_seconds: Option<f64>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
}

impl Cluster {
    /// Connects with the pod's ServiceAccount, or else KUBECONFIG, and starts to watch. Nothing needs to be reachable
    /// for that: what cannot be reached is tried until it can.
    ///
    /// # Errors
    /// [`ClusterError`] if there is no API server to try, or a setting is wrong.
    pub async fn start(
        settings: Settings,
        cancel: CancellationToken,
    ) -> Result<Handle, ClusterError> {
        Self::start_with(client::connect().await?, settings, cancel)
    }

    /// Starts to watch by a client that is already there. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ClusterError`] if a setting is wrong.
    pub fn start_with(
        client: Client,
        settings: Settings,
        cancel: CancellationToken,
    ) -> Result<Handle, ClusterError> {
        let Settings { node_name, labels, annotations } = settings;
        if node_name.is_empty() {
            return Err(ClusterError::NoNodeName);
        }
        let selection = Selection::new(&labels, &annotations)?;
        let cluster = Self { index: Arc::new(PodIndex::new(&node_name)), link: Arc::default() };
        let mut tasks = JoinSet::new();
        let (jobs, queued) = mpsc::channel(lookups::JOBS_QUEUED);
        let start = Instant::now() + jitter(START_JITTER);

        let pods = PodSink { cluster: cluster.clone(), selection, jobs };
        let selector = format!("spec.nodeName={node_name}");
        tasks.spawn(until(cancel.clone(), {
            let (cluster, client) = (cluster.clone(), client.clone());
            async move {
                sleep_until(start).await;
                cluster.watch(client, Resource::pods, selector).run(pods).await;
            }
        }));

        let node = NodeSink { index: Arc::clone(&cluster.index) };
        let selector = format!("metadata.name={node_name}");
        tasks.spawn(until(cancel.clone(), {
            let (cluster, client) = (cluster.clone(), client.clone());
            async move {
                sleep_until(start).await;
                cluster.watch(client, Resource::nodes, selector).run(node).await;
            }
        }));

        tasks.spawn(until(cancel.clone(), {
            let (cluster, client) = (cluster.clone(), client.clone());
            async move {
                sleep_until(start).await;
                lookups::cluster_uid(client, &cluster.link, &cluster.index).await;
            }
        }));

        tasks.spawn(until(cancel.clone(), {
            let cluster = cluster.clone();
            async move { lookups::cronjobs(client, &cluster.link, &cluster.index, queued).await }
        }));

        tasks.spawn(until(cancel, {
            let cluster = cluster.clone();
            async move {
                let mut tick = interval(SWEEP_EVERY);
                loop {
                    tick.tick().await;
                    cluster.index.sweep();
                    cluster.count();
                }
            }
        }));
        Ok(Handle { cluster, tasks })
    }

    /// The pods and the node, as collectors see them.
    #[must_use]
    pub fn directory(&self) -> Arc<dyn PodDirectory> {
        Arc::clone(&self.index) as Arc<dyn PodDirectory>
    }

    /// The pods and the node.
    #[must_use]
    pub fn index(&self) -> Arc<PodIndex> {
        Arc::clone(&self.index)
    }

    /// How the API server is doing.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let pods = self.index.count();
        let connected_since = self.link.connected_since(Resource::pods);
        ClusterStatus {
            connected: connected_since.is_some(),
            connected_since,
            pods: pods.live,
            deleted_pods: pods.deleted,
            last_event_age_seconds: self.link.metrics.silence(),
            last_error: self.link.last_error(),
        }
    }

    /// Registers the metrics; their names begin with `kubernetes_`, behind whatever prefix `registry` has.
    pub fn register(&self, registry: &mut Registry) {
        self.link.metrics.register(registry);
    }

    fn watch(&self, client: Client, resource: Resource, field_selector: String) -> Watch<'_> {
        Watch { client, resource, field_selector, link: &self.link }
    }

    fn count(&self) {
        let pods = self.index.count();
        self.link.metrics.set_pods(pods.live, pods.deleted);
    }
}

impl Handle {
    /// What is known of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until all tasks have ended, which they do once the token is cancelled.
    pub async fn join(self) {
        self.tasks.join_all().await;
    }
}

async fn until(cancel: CancellationToken, task: impl Future<Output = ()>) {
    cancel.run_until_cancelled_owned(task).await;
}

/// Puts the node's pods into the index.
struct PodSink {
    cluster: Cluster,
    selection: Selection,
    jobs: mpsc::Sender<JobRef>,
}

impl PodSink {
    fn look_up(&self, job: JobRef) {
        if let Err(error) = self.jobs.try_send(job) {
            self.cluster.index.unask(&error.into_inner());
        }
    }
}

impl Sink<Pod> for PodSink {
    fn replace(&mut self, all: Vec<Pod>) {
        let all = all.iter().map(|pod| Known::read(pod, &self.selection)).collect();
        for job in self.cluster.index.replace(all) {
            self.look_up(job);
        }
        self.cluster.count();
    }

    fn apply(&mut self, pod: Pod) {
        if let Some(job) = self.cluster.index.apply(Known::read(&pod, &self.selection)) {
            self.look_up(job);
        }
        self.cluster.count();
    }

    fn delete(&mut self, pod: Pod) {
        self.cluster.index.delete(Known::read(&pod, &self.selection));
        self.cluster.count();
    }

    fn heard(&mut self) {
        self.cluster.link.metrics.heard();
    }
}

/// Puts the node into the index. What is known of a deleted node stays: its last lines are read yet.
struct NodeSink {
    index: Arc<PodIndex>,
}

impl Sink<Node> for NodeSink {
    fn replace(&mut self, all: Vec<Node>) {
        if let Some(node) = all.into_iter().next() {
            self.apply(node);
        }
    }

    fn apply(&mut self, node: Node) {
        self.index.set_kubelet(node::kubelet(&node));
        self.index.set_node(node::attributes(&node));
    }

    fn delete(&mut self, _node: Node) {}
}
