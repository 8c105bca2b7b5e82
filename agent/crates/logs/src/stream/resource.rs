//! The resource of a container's records: what the path, the API server and the admin say of it, encoded once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hawsepipe_model::otlp::encode_resource;
use hawsepipe_model::{Attributes, NodeMeta, PodMeta};

use super::{ContainerStream, Context};

/// How long lines that the next rotations delete wait for metadata: what an API server that is there needs to answer. More
/// would risk lines for labels.
const HURRIED: Duration = Duration::from_secs(1);

/// The resource of one run of the container, and what it was made from.
pub(super) struct Resource {
    restart: u32,
    pod: Option<Arc<PodMeta>>,
    node: Arc<NodeMeta>,
    bytes: Arc<[u8]>,
}

impl ContainerStream {
    /// The resource of a run, as bytes; `None` while metadata is waited for, or when the container is left out.
    pub(super) fn resource_for(
        &mut self,
        restart: u32,
        context: &Context<'_>,
    ) -> Option<Arc<[u8]>> {
        let pod = context.pods.pod(&self.pod.uid);
        let node = context.pods.node();
        if let Some(known) = &self.resource
            && known.restart == restart
            && same(known.pod.as_ref(), pod.as_ref())
            && Arc::ptr_eq(&known.node, &node)
        {
            return Some(Arc::clone(&known.bytes));
        }
        // A run that already flows is not held up again.
        let flows = self.resource.as_ref().is_some_and(|known| known.restart == restart);
        let complete = !context.pods.expected()
            || pod.as_ref().is_some_and(|pod| knows_run(pod, &self.container, restart));
        if !complete && !flows && !self.gone {
            let since = *self.waiting.get_or_insert_with(Instant::now);
            let patience = if self.hurry() > 0 { HURRIED } else { Duration::MAX };
            if since.elapsed() < context.metadata_timeout.min(patience) {
                return None;
            }
        }
        self.waiting = None;
        if self.included.is_none() {
            let labels = pod.as_ref().map(|pod| &pod.labels);
            let (namespace, name) = (&self.pod.namespace, &self.pod.pod);
            let decided = context.selection.decide(namespace, name, &self.container, labels);
            // Labels that cannot be had must not cost lines.
            if decided == Some(false) {
                self.included = decided;
                self.segments.clear();
                return None;
            }
            if labels.is_some() {
                self.included = Some(true);
            }
        }
        if !complete && !flows {
            context.metrics.incomplete_metadata.inc();
        }
        let attributes = self.attributes(restart, pod.as_deref(), &node, complete, context);
        let bytes: Arc<[u8]> = encode_resource(&attributes).into();
        self.resource = Some(Resource { restart, pod, node, bytes: Arc::clone(&bytes) });
        Some(bytes)
    }

    /// The resource of a run by what is known now, for lines that must not wait.
    pub(crate) fn resource_at_once(&self, restart: u32, context: &Context<'_>) -> Arc<[u8]> {
        if let Some(known) = self.resource.as_ref().filter(|known| known.restart == restart) {
            return Arc::clone(&known.bytes);
        }
        let (pod, node) = (context.pods.pod(&self.pod.uid), context.pods.node());
        let complete = !context.pods.expected()
            || pod.as_ref().is_some_and(|pod| knows_run(pod, &self.container, restart));
        encode_resource(&self.attributes(restart, pod.as_deref(), &node, complete, context)).into()
    }

    /// What the path says is always right; what the API server says is added; what the admin says wins.
    fn attributes(
        &self,
        restart: u32,
        pod: Option<&PodMeta>,
        node: &NodeMeta,
        complete: bool,
        context: &Context<'_>,
    ) -> Attributes {
        let mut attributes = node.attributes.clone();
        attributes.set("k8s.pod.uid", self.pod.uid.as_str());
        attributes.set("service.namespace", self.pod.namespace.as_str());
        if let Some(pod) = pod {
            attributes.extend(&pod.container_attributes(&self.container, restart));
        }
        attributes.set("k8s.namespace.name", self.pod.namespace.as_str());
        attributes.set("k8s.pod.name", self.pod.pod.as_str());
        attributes.set("k8s.container.name", self.container.as_str());
        attributes.set("k8s.container.restart_count", i64::from(restart));
        if !complete {
            attributes.set("hawsepipe.metadata.complete", false);
        }
        attributes.extend(context.attributes);
        attributes
    }
}

fn same(a: Option<&Arc<PodMeta>>, b: Option<&Arc<PodMeta>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Whether the pod's status has come as far as this run of the container. Runs before the last are never named there.
fn knows_run(pod: &PodMeta, container: &str, restart: u32) -> bool {
    let last = pod.containers.get(container).and_then(|meta| meta.ids.keys().next_back());
    last.is_some_and(|last| *last >= restart)
}
