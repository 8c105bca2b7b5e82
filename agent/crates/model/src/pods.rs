//! What is known of the node and its pods, as the collectors see it.
//!
//! `cluster` makes these, `logs` reads them. The data path only ever reads a local map.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Attributes;

/// What is known of one container of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerMeta {
    /// Attributes of every run of the container (image, `service.version`, `service.instance.id`, ...).
    pub attributes: Attributes,
    /// Container ids by restart number, as far as the pod's status names them (the current and the last run).
    pub ids: BTreeMap<u32, String>,
    /// How often it was restarted, where the pod's status tells and it may be restarted again.
    pub restarts: Option<u32>,
    /// When the run with the highest number in `ids` began, nanoseconds since the epoch, while it runs.
    pub started_unix_nano: Option<u64>,
    /// What it asks for, by its specification.
    pub resources: Resources,
}

/// Requests and limits. `None`: nothing is requested, nothing is the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// CPUs that are set aside.
    pub cpu_request: Option<f64>,
    /// CPUs that are used at the most.
    pub cpu_limit: Option<f64>,
    /// Bytes of memory that are set aside.
    pub memory_request: Option<u64>,
    /// Bytes of memory that are used at the most.
    pub memory_limit: Option<u64>,
}

/// What is known of one pod: attributes by OpenTelemetry's names, and its labels to select by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodMeta {
    /// The pod's UID in the API server (for a static pod: the mirror pod's).
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Attributes of the pod: `k8s.pod.*`, its owners, the chosen labels and annotations, `service.*`.
    pub attributes: Attributes,
    /// Containers (init and ephemeral ones too) by name.
    pub containers: BTreeMap<String, ContainerMeta>,
    /// When the kubelet took the pod on, nanoseconds since the epoch.
    pub started_unix_nano: Option<u64>,
    /// What all of it asks for: its own word, or the sum over the containers that run side by side, where each says it.
    pub resources: Resources,
}

impl PodMeta {
    /// The attributes of one run of one container: the pod's, the container's, and the run's `container.id` if it
    /// is known.
    #[must_use]
    pub fn container_attributes(&self, container: &str, restart: u32) -> Attributes {
        let mut attributes = self.attributes.clone();
        if let Some(meta) = self.containers.get(container) {
            attributes.extend(&meta.attributes);
            if let Some(id) = meta.ids.get(&restart) {
                attributes.set("container.id", id.as_str());
            }
        }
        attributes
    }

    /// The container of that id, by name, and the number of its run.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<(&str, &ContainerMeta, u32)> {
        self.containers.iter().find_map(|(name, meta)| {
            let (restart, _) = meta.ids.iter().find(|(_, known)| *known == id)?;
            Some((name.as_str(), meta, *restart))
        })
    }
}

/// What is known of the node: `k8s.node.name`, `k8s.cluster.uid`, `cloud.*`, `host.*`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeMeta {
    /// Attributes by OpenTelemetry's names.
    pub attributes: Attributes,
}

/// Whoever knows the pods of this node. Answers at once, from memory.
pub trait PodDirectory: Send + Sync {
    /// The pod whose log folder carries `uid`: the pod's UID, or the config hash of a static pod. The same `Arc` is
    /// returned until the pod's metadata changes.
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>>;

    /// The node; the same `Arc` until it changes.
    fn node(&self) -> Arc<NodeMeta>;

    /// Whether metadata can be expected at all. False without a cluster: nothing waits for it then.
    fn expected(&self) -> bool;
}
