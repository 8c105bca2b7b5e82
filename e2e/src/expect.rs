//! What a line's resource must say, taken from the API server's own objects.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::received::{Record, text};

/// The objects of a namespace and the node, as the API server has them.
pub(crate) struct Facts {
    pods: Vec<Value>,
    replica_sets: Vec<Value>,
    jobs: Vec<Value>,
    nodes: Vec<Value>,
    cluster_uid: String,
    cluster_name: &'static str,
}

impl Facts {
    /// Asks for them.
    pub(crate) fn read(
        cluster: &Cluster,
        namespace: &str,
        cluster_name: &'static str,
    ) -> Result<Self> {
        let items = |kind: &str| -> Result<Vec<Value>> {
            let list = cluster.get(&[kind, "-n", namespace])?;
            Ok(list["items"].as_array().cloned().unwrap_or_default())
        };
        let system = cluster.get(&["namespace", "kube-system"])?;
        Ok(Self {
            pods: items("pods")?,
            replica_sets: items("replicasets")?,
            jobs: items("jobs")?,
            nodes: items("nodes")?,
            cluster_uid: text(&system["metadata"]["uid"]),
            cluster_name,
        })
    }

    /// Whether the record's resource says what the objects say.
    pub(crate) fn check(&self, record: &Record) -> Result<()> {
        let expected = self.expected(record)?;
        for (key, value) in &expected {
            let found = record.resource_text(key);
            ensure!(
                found.as_ref() == Some(value),
                "{}/{}: {key} is {found:?}, the API server says {value:?}",
                record.pod,
                record.container,
            );
        }
        // What may be missing must still not be wrong: the first lines of a pod can be read
        // before its address is known.
        let pod = self.pod(record)?;
        for (key, value) in [
            ("k8s.pod.ip", &pod["status"]["podIP"]),
            ("k8s.pod.start_time", &pod["status"]["startTime"]),
        ] {
            if let (Some(found), Some(value)) = (record.resource_text(key), value.as_str()) {
                ensure!(found == value, "{}: {key} is {found}, not {value}", record.pod);
            }
        }
        ensure!(
            record.resource_text("hawsepipe.metadata.complete").as_deref() != Some("false"),
            "{}: its metadata came too late",
            record.pod
        );
        check_container(record, pod)
    }

    fn pod(&self, record: &Record) -> Result<&Value> {
        let found = self.pods.iter().find(|pod| pod["metadata"]["name"] == record.pod.as_str());
        found.with_context(|| format!("the API server has no pod {}", record.pod))
    }

    fn expected(&self, record: &Record) -> Result<BTreeMap<String, String>> {
        let pod = self.pod(record)?;
        let metadata = &pod["metadata"];
        let node = text(&pod["spec"]["nodeName"]);
        let mut expected = BTreeMap::from([
            ("k8s.cluster.name".into(), self.cluster_name.into()),
            ("k8s.cluster.uid".into(), self.cluster_uid.clone()),
            ("k8s.node.name".into(), node.clone()),
            ("k8s.namespace.name".into(), text(&metadata["namespace"])),
            ("k8s.pod.name".into(), record.pod.clone()),
            ("k8s.pod.uid".into(), text(&metadata["uid"])),
            ("k8s.container.name".into(), record.container.clone()),
            ("service.namespace".into(), text(&metadata["namespace"])),
        ]);
        for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
            expected.insert(format!("k8s.pod.label.{key}"), text(value));
        }
        let owners = self.owners(pod);
        // Semantic conventions, "How service attributes should be calculated" on Kubernetes: the
        // label, else the name of the top owner, else the pod's name.
        let top = ["deployment", "statefulset", "daemonset", "cronjob", "job"]
            .iter()
            .find_map(|kind| owners.get(*kind).cloned());
        let label = metadata["labels"]["app.kubernetes.io/name"].as_str().map(str::to_owned);
        let service = label.or(top).unwrap_or_else(|| record.pod.clone());
        expected.insert("service.name".into(), service);
        expected.extend(owners.into_iter().map(|(kind, name)| (format!("k8s.{kind}.name"), name)));
        if let Some(found) =
            self.nodes.iter().find(|found| found["metadata"]["name"] == node.as_str())
        {
            let labels = &found["metadata"]["labels"];
            for (label, key) in [
                ("topology.kubernetes.io/region", "cloud.region"),
                ("topology.kubernetes.io/zone", "cloud.availability_zone"),
                ("node.kubernetes.io/instance-type", "host.type"),
            ] {
                if let Some(value) = labels[label].as_str() {
                    expected.insert(key.into(), value.into());
                }
            }
            if let Some(id) = found["spec"]["providerID"].as_str()
                && let Some(instance) = id.strip_prefix("aws:///")
            {
                expected.insert("cloud.provider".into(), "aws".into());
                let instance = instance.rsplit('/').next().unwrap_or_default();
                expected.insert("host.id".into(), instance.into());
            }
        }
        Ok(expected)
    }

    /// Owners by the kind's name in attribute keys, up to the top.
    fn owners(&self, pod: &Value) -> BTreeMap<&'static str, String> {
        let mut owners = BTreeMap::new();
        let mut next = owner(pod);
        while let Some((kind, name)) = next.take() {
            let (key, list) = match kind.as_str() {
                "ReplicaSet" => ("replicaset", self.replica_sets.as_slice()),
                "Job" => ("job", self.jobs.as_slice()),
                "Deployment" => ("deployment", &[][..]),
                "StatefulSet" => ("statefulset", &[][..]),
                "DaemonSet" => ("daemonset", &[][..]),
                "CronJob" => ("cronjob", &[][..]),
                // A mirror pod is owned by its node.
                _ => break,
            };
            next = list
                .iter()
                .find(|object| object["metadata"]["name"] == name.as_str())
                .and_then(owner);
            owners.insert(key, name);
        }
        owners
    }
}

/// Restart count, container id and image: against the status of the run that wrote the line,
/// which is the current one or the one before it.
fn check_container(record: &Record, pod: &Value) -> Result<()> {
    let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    let status = statuses
        .iter()
        .find(|status| status["name"] == record.container.as_str())
        .with_context(|| format!("{} has no container {}", record.pod, record.container))?;
    let current = status["restartCount"].as_u64().unwrap_or_default();
    let restart = record.restart().context("no k8s.container.restart_count")?;
    ensure!(restart <= current, "restart {restart}, the API server says {current}");
    let id = if restart == current {
        &status["containerID"]
    } else if restart + 1 == current {
        &status["lastState"]["terminated"]["containerID"]
    } else {
        &Value::Null
    };
    if let (Some(found), Some(id)) = (record.resource_text("container.id"), id.as_str()) {
        let id = id.rsplit('/').next().unwrap_or_default();
        ensure!(found == id, "{}: container.id is {found}, not {id}", record.pod);
    }
    let image = record.resource_text("container.image.name").context("no container.image.name")?;
    let tags = record.resource_text("container.image.tags").context("no container.image.tags")?;
    let named = text(&status["image"]);
    let wanted = named.rsplit_once(':').context("an image without a tag")?;
    ensure!(
        wanted.0.ends_with(&image) && tags == wanted.1,
        "{}: image {image} {tags}, the API server says {named}",
        record.pod
    );
    Ok(())
}

fn owner(object: &Value) -> Option<(String, String)> {
    let references = object["metadata"]["ownerReferences"].as_array()?;
    let owner = references.iter().find(|reference| reference["controller"] == true)?;
    Some((text(&owner["kind"]), text(&owner["name"])))
}
