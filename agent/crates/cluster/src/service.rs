//! `service.*` and other attributes that a pod's own annotations and labels ask for.
//!
//! The rules are those of the semantic conventions, "Populating resources attributes in Kubernetes", sections
//! "Specify resource attributes using Kubernetes annotations" and "Service attributes"
//! (<https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/>). Each function names the one it
//! follows.

use std::collections::BTreeMap;

use hawsepipe_model::Attributes;

use crate::image::ImageRef;

/// Annotations with this prefix are resource attributes.
const ANNOTATION_PREFIX: &str = "resource.opentelemetry.io/";

/// The order in which owners name the service: from the ancestor to the descendant.
const NAMED_BY: [&str; 6] = [
    "k8s.deployment.name",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// "All annotations with the `resource.opentelemetry.io/` prefix should be translated into the corresponding
/// resource attributes." They are set first: what the API server knows of the pod goes over them, so that a pod
/// cannot pass for another one.
pub(crate) fn set_annotated(annotations: &BTreeMap<String, String>, attributes: &mut Attributes) {
    for (key, value) in annotations {
        if let Some(name) = key.strip_prefix(ANNOTATION_PREFIX)
            && !name.is_empty()
        {
            attributes.set(name, value.as_str());
        }
    }
}

/// "How `service.namespace` should be calculated": annotation, then the pod's namespace.
pub(crate) fn set_namespace(namespace: &str, attributes: &mut Attributes) {
    if attributes.get("service.namespace").is_none() {
        attributes.set("service.namespace", namespace);
    }
}

/// Whether the pod itself names its service, by annotation or label; no owner can change the name then.
pub(crate) fn names_itself(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> bool {
    let annotated = annotations.get("resource.opentelemetry.io/service.name");
    annotated.is_some_and(|name| !name.is_empty()) || label_name(labels).is_some()
}

/// "How `service.name` should be calculated": annotation, labels `app.kubernetes.io/instance` and
/// `app.kubernetes.io/name`, the owners, the pod. (The container comes last there and never has its turn: a pod has
/// a name.)
pub(crate) fn set_name(labels: &BTreeMap<String, String>, pod: &str, attributes: &mut Attributes) {
    if attributes.get("service.name").is_some() {
        return;
    }
    let owner = || NAMED_BY.iter().find_map(|key| attributes.str(key));
    let name = label_name(labels).or_else(owner).unwrap_or(pod).to_owned();
    attributes.set("service.name", name);
}

/// The CronJob's name goes before the Job's, once it is known.
pub(crate) fn rename_by_cronjob(cronjob: &str, attributes: &mut Attributes) {
    attributes.set("service.name", cronjob);
}

/// "How `service.version` should be calculated", the pod's part: annotation, label `app.kubernetes.io/version`.
pub(crate) fn set_version(labels: &BTreeMap<String, String>, attributes: &mut Attributes) {
    if attributes.get("service.version").is_none()
        && let Some(version) = labels.get("app.kubernetes.io/version")
    {
        attributes.set("service.version", version.as_str());
    }
}

/// The container's part of `service.version` (its image) and "How `service.instance.id` should be calculated":
/// annotation, else namespace, pod and container with dots between. What `pod` has already stays.
pub(crate) fn set_of_container(
    pod: &Attributes,
    name: &str,
    image: &ImageRef<'_>,
    attributes: &mut Attributes,
) {
    if pod.get("service.version").is_none() {
        attributes.set("service.version", image.version());
    }
    if pod.get("service.instance.id").is_none()
        && let (Some(namespace), Some(pod)) =
            (pod.str("k8s.namespace.name"), pod.str("k8s.pod.name"))
    {
        attributes.set("service.instance.id", format!("{namespace}.{pod}.{name}"));
    }
}

fn label_name(labels: &BTreeMap<String, String>) -> Option<&str> {
    ["app.kubernetes.io/instance", "app.kubernetes.io/name"]
        .iter()
        .find_map(|key| labels.get(*key))
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}
