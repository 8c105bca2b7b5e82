//! No cluster: `kubernetes.source: none`.

use std::sync::Arc;

use hawsepipe_model::{Attributes, NodeMeta, PodDirectory, PodMeta};

/// Knows no pod and expects none; of the node it knows the name, if there is one.
#[derive(Debug, Default)]
pub struct NoCluster {
    node: Arc<NodeMeta>,
}

impl NoCluster {
    /// `node_name` is `kubernetes.nodeName`; empty if it is not set.
    #[must_use]
    pub fn new(node_name: &str) -> Self {
        let mut attributes = Attributes::new();
        attributes.set("k8s.node.name", node_name);
        Self { node: Arc::new(NodeMeta { attributes }) }
    }
}

impl PodDirectory for NoCluster {
    fn pod(&self, _uid: &str) -> Option<Arc<PodMeta>> {
        None
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::clone(&self.node)
    }

    fn expected(&self) -> bool {
        false
    }
}
