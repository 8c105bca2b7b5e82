//! What an event is as a log record.
//!
//! In: an event. Out: the resource, which is the object that it is about, and the record's attributes. The names are those of the
//! OpenTelemetry Collector's `k8sevents` receiver (`k8s_event_to_logdata.go`), those of the object besides by the semantic
//! conventions for Kubernetes resources, so that an event stands beside the object's logs and metrics.

use hawsepipe_cluster::{Event, Regarding};
use hawsepipe_model::Attributes;
use hawsepipe_model::otlp::Severity;

/// What all of them are called.
pub(super) const NAME: &str = "k8s.event";

/// Kinds that the semantic conventions name, and what their attributes begin with.
const KINDS: [(&str, &str); 13] = [
    ("CronJob", "k8s.cronjob"),
    ("DaemonSet", "k8s.daemonset"),
    ("Deployment", "k8s.deployment"),
    ("HorizontalPodAutoscaler", "k8s.hpa"),
    ("Job", "k8s.job"),
    ("Node", "k8s.node"),
    ("PersistentVolume", "k8s.persistentvolume"),
    ("PersistentVolumeClaim", "k8s.persistentvolumeclaim"),
    ("Pod", "k8s.pod"),
    ("ReplicaSet", "k8s.replicaset"),
    ("ReplicationController", "k8s.replicationcontroller"),
    ("ResourceQuota", "k8s.resourcequota"),
    ("StatefulSet", "k8s.statefulset"),
];

/// How grave it is, by its type.
pub(super) fn severity(event: &Event) -> Severity {
    match event.kind.as_str() {
        "Normal" => Severity::Info,
        "Warning" => Severity::Warn,
        _ => Severity::Unspecified,
    }
}

/// The object that it is about; the event's namespace, where it is about none. `added` wins.
pub(super) fn resource(event: &Event, cluster: Option<&str>, added: &Attributes) -> Attributes {
    let Regarding { kind, name, namespace, uid, api_version, resource_version, field_path } =
        &event.regarding;
    let mut resource = Attributes::new();
    resource.set("k8s.cluster.uid", cluster.unwrap_or_default());
    let about_nothing = kind.is_empty() && name.is_empty();
    let within = if about_nothing { &event.metadata.namespace } else { namespace };
    resource.set("k8s.namespace.name", within.as_str());
    resource.set("k8s.object.kind", kind.as_str());
    resource.set("k8s.object.name", name.as_str());
    resource.set("k8s.object.uid", uid.as_str());
    resource.set("k8s.object.fieldpath", field_path.as_str());
    resource.set("k8s.object.api_version", api_version.as_str());
    resource.set("k8s.object.resource_version", resource_version.as_str());
    // Who said so, in the older form, is on a node.
    resource.set("k8s.node.name", event.source.host.as_str());
    if kind == "Namespace" {
        resource.set("k8s.namespace.name", name.as_str());
    }
    if let Some((_, prefix)) = KINDS.iter().find(|(known, _)| known == kind) {
        resource.set(format!("{prefix}.name"), name.as_str());
        // The kubelet writes a node's name where its UID should be.
        if uid != name {
            resource.set(format!("{prefix}.uid"), uid.as_str());
        }
    }
    if kind == "Pod"
        && let Some(container) = container(field_path)
    {
        resource.set("k8s.container.name", container);
    }
    resource.extend(added);
    resource
}

/// What it says besides its note.
pub(super) fn attributes(event: &Event) -> Attributes {
    let mut attributes = Attributes::new();
    let meta = &event.metadata;
    attributes.set("k8s.event.name", meta.name.as_str());
    attributes.set("k8s.event.uid", meta.uid.as_str());
    attributes.set("k8s.event.resource_version", meta.resource_version.as_str());
    attributes.set("k8s.event.reason", event.reason.as_str());
    attributes.set("k8s.event.action", event.action.as_str());
    attributes.set("k8s.event.reporting_controller", event.reporter());
    attributes.set("k8s.namespace.name", meta.namespace.as_str());
    if let Some(start) = event.start_time() {
        attributes.set("k8s.event.start_time", start.to_string());
    }
    if event.occurrences() > 0 {
        attributes.set("k8s.event.count", event.occurrences());
    }
    attributes
}

/// `web` of `spec.containers{web}`, or of `spec.initContainers{web}`.
fn container(field_path: &str) -> Option<&str> {
    let (list, rest) = field_path.split_once('{')?;
    let known = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    known.contains(&list).then(|| rest.strip_suffix('}'))?
}
