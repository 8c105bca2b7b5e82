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
