//! What is told of a pod and its containers.
//!
//! In: a pod as the API server gives it. Out: a [`PodMeta`] with OpenTelemetry's attribute names
//! (<https://opentelemetry.io/docs/specs/semconv/resource/k8s/> and `.../resource/container/`), the keys that its log
//! folder may carry, and the Job whose CronJob is still unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use hawsepipe_model::{Attributes, ContainerMeta, PodMeta};
use jiff::Timestamp;

use crate::image::{ImageRef, repo_digest, without_scheme};
use crate::object::{Container, ContainerStatus, Pod};
use crate::resources;
use crate::selection::Selection;
use crate::service;
use crate::workload::{self, CronJob, JobRef};

/// Annotations that hold the hash under which the kubelet knows a static pod. Its log folder carries that hash where
/// other pods' folders carry their UID: the kubelet makes the folder before the mirror pod has a UID. The first is
/// set on the mirror pod, the second on every pod that comes from a file.
const HASH_ANNOTATIONS: [&str; 2] = ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"];

/// A pod, made ready for the index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// What collectors see.
    pub(crate) meta: Arc<PodMeta>,
    /// Hashes of a static pod; empty for all others.
    pub(crate) hashes: Vec<String>,
    /// The Job that owns the pod.
    pub(crate) job: Option<JobRef>,
    /// The pod names its service itself: a CronJob that is found later does not rename it.
    names_itself: bool,
}

impl Known {
    /// Reads a pod.
    pub(crate) fn read(pod: &Pod, selection: &Selection) -> Self {
        let metadata = &pod.metadata;
        let mut attributes = Attributes::new();
        service::set_annotated(&metadata.annotations, &mut attributes);
        attributes.set("k8s.namespace.name", metadata.namespace.as_str());
        attributes.set("k8s.pod.name", metadata.name.as_str());
        attributes.set("k8s.pod.uid", metadata.uid.as_str());
        // "Date and time at which the object was acknowledged by the Kubelet", RFC 3339: as the API server writes it.
        attributes.set("k8s.pod.start_time", pod.status.start_time.as_str());
        attributes.set("k8s.pod.ip", pod.status.pod_ip.as_str());
        attributes.set("k8s.node.name", pod.spec.node_name.as_str());
        selection.apply(&metadata.labels, &metadata.annotations, &mut attributes);
        let job = workload::set_owner(metadata, &mut attributes);
        service::set_namespace(&metadata.namespace, &mut attributes);
        service::set_name(&metadata.labels, &metadata.name, &mut attributes);
        service::set_version(&metadata.labels, &mut attributes);

        let containers = containers(pod, &attributes);
        let hashes = HASH_ANNOTATIONS.iter().filter_map(|key| metadata.annotations.get(*key));
        let mut hashes: Vec<_> =
            hashes.filter(|hash| !hash.is_empty() && **hash != metadata.uid).cloned().collect();
        hashes.dedup();
        Self {
            meta: Arc::new(PodMeta {
                uid: metadata.uid.clone(),
                namespace: metadata.namespace.clone(),
                name: metadata.name.clone(),
                labels: metadata.labels.clone(),
                attributes,
                containers,
                started_unix_nano: unix_nano(&pod.status.start_time),
                resources: resources::of_pod(&pod.spec),
            }),
            hashes,
            job,
            names_itself: service::names_itself(&metadata.labels, &metadata.annotations),
        }
    }

    /// Adds the CronJob that made the pod's Job.
    pub(crate) fn add_cronjob(&mut self, cronjob: &CronJob) {
        let attributes = &mut Arc::make_mut(&mut self.meta).attributes;
        workload::set_cronjob(cronjob, attributes);
        if !self.names_itself {
            service::rename_by_cronjob(&cronjob.name, attributes);
        }
    }

    /// Whether the pod belongs to the Job with this UID.
    pub(crate) fn is_of(&self, job: &str) -> bool {
        self.job.as_ref().is_some_and(|owner| owner.uid == job)
    }

    /// Carries over the container ids of earlier runs that `before` still knew: the status names only the current
    /// run and the one before it, while lines of older runs may be unread.
    pub(crate) fn remember_runs(&mut self, before: &PodMeta) {
        for (name, container) in &mut Arc::make_mut(&mut self.meta).containers {
            let Some(earlier) = before.containers.get(name) else {
                continue;
            };
            let Some(newest) = container.ids.keys().next_back().copied() else {
                container.ids.clone_from(&earlier.ids);
                continue;
            };
            let oldest = newest.saturating_sub(RUNS_KEPT - 1);
            for (run, id) in earlier.ids.range(oldest..newest) {
                container.ids.entry(*run).or_insert_with(|| id.clone());
            }
        }
    }
}

/// Runs of a container whose ids are remembered.
const RUNS_KEPT: u32 = 4;

fn containers(pod: &Pod, attributes: &Attributes) -> BTreeMap<String, ContainerMeta> {
    let (spec, status) = (&pod.spec, &pod.status);
    let kinds = [
        (&spec.init_containers, &status.init_container_statuses),
        (&spec.containers, &status.container_statuses),
        (&spec.ephemeral_containers, &status.ephemeral_container_statuses),
    ];
    let mut all = BTreeMap::new();
    for (containers, statuses) in kinds {
        for container in containers {
            let status = statuses.iter().find(|status| status.name == container.name);
            let mut meta = describe(container, status, attributes);
            if std::ptr::eq(containers, &spec.init_containers) && status.is_some_and(is_over) {
                // An init container that did its work is not started again.
                meta.restarts = None;
            }
            all.insert(container.name.clone(), meta);
        }
    }
    all
}

fn describe(
    container: &Container,
    status: Option<&ContainerStatus>,
    pod: &Attributes,
) -> ContainerMeta {
    let image = ImageRef::parse(&container.image);
    let mut attributes = Attributes::new();
    attributes.set("k8s.container.name", container.name.as_str());
    attributes.set("container.image.name", image.name);
    if let Some(tag) = image.effective_tag() {
        attributes.set("container.image.tags", vec![tag.to_owned()]);
    }
    if let Some(digest) = status.and_then(|status| repo_digest(&status.image_id)) {
        attributes.set("container.image.repo_digests", vec![digest.to_owned()]);
    }
    service::set_of_container(pod, &container.name, &image, &mut attributes);
    ContainerMeta {
        attributes,
        ids: status.map(container_ids).unwrap_or_default(),
        restarts: status.map(|status| status.restart_count),
        started_unix_nano: status.and_then(|status| unix_nano(&status.state.running.started_at)),
        resources: resources::of(&container.resources),
    }
}

fn is_over(status: &ContainerStatus) -> bool {
    status.state.terminated.reason == "Completed"
}

/// A time as the API server writes it (RFC 3339), in nanoseconds since the epoch.
fn unix_nano(time: &str) -> Option<u64> {
    let time: Timestamp = time.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// Container ids by restart number. While a container waits to be restarted, `containerID` and
/// `lastState.terminated` name the same run, which is the one of `restartCount`; only when they differ is the latter
/// the run before.
fn container_ids(status: &ContainerStatus) -> BTreeMap<u32, String> {
    let current = without_scheme(&status.container_id);
    let last = without_scheme(&status.last_state.terminated.container_id);
    let mut ids = BTreeMap::new();
    if !current.is_empty() {
        ids.insert(status.restart_count, current.to_owned());
    }
    if !last.is_empty()
        && last != current
        && let Some(before) = status.restart_count.checked_sub(1)
    {
        ids.insert(before, last.to_owned());
    }
    ids
}

#[cfg(test)]
pub(crate) mod tests;
