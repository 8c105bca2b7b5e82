//! The parts of Kubernetes objects that are used here, read straight from the API server's JSON.
//!
//! In: JSON of `core/v1` and `batch/v1` objects. Out: small structs. Whatever is not named here (managed fields,
//! volumes, environment, conditions, ..) is skipped while parsing and never takes memory. Every field may be absent
//! or null: an object that is odd in one place is still good in the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::quantity::{Quantity, amount};

/// A kind of object that can be listed and watched.
pub(crate) trait Watched: serde::de::DeserializeOwned + Clone + Send + 'static {
    /// Path of the collection, over all namespaces.
    const PATH: &'static str;

    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
}

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) uid: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resource_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) owner_references: Vec<OwnerRef>,
}

impl Meta {
    /// The owner that controls the object, if any has it under control.
    pub(crate) fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerRef {
    #[serde(deserialize_with = "or_default")]
    pub(crate) api_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) uid: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) controller: bool,
}

impl OwnerRef {
    /// The API group: empty for `v1`, `apps` for `apps/v1`.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub(crate) spec: PodSpec,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: PodStatus,
}

impl Watched for Pod {
    const PATH: &'static str = "/api/v1/pods";

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec {
    #[serde(deserialize_with = "or_default")]
    pub(crate) node_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) init_containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ephemeral_containers: Vec<Container>,
    /// Of the pod as a whole (since Kubernetes 1.34 by default).
    #[serde(deserialize_with = "or_default")]
    pub(crate) resources: Requirements,
}

/// A container of any kind, as specified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Container {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resources: Requirements,
    /// Of an init container: `Always` makes it a sidecar.
    #[serde(deserialize_with = "or_default")]
    pub(crate) restart_policy: String,
}

/// `resources` of a container or a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requirements {
    #[serde(deserialize_with = "or_default")]
    pub(crate) requests: Amounts,
    #[serde(deserialize_with = "or_default")]
    pub(crate) limits: Amounts,
}

/// Amounts of the resources that are used here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Amounts {
    #[serde(deserialize_with = "amount")]
    pub(crate) cpu: Option<Quantity>,
    #[serde(deserialize_with = "amount")]
    pub(crate) memory: Option<Quantity>,
}

/// `status` of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    #[serde(rename = "podIP", deserialize_with = "or_default")]
    pub(crate) pod_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) start_time: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// What the kubelet says of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerStatus {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub(crate) container_id: String,
    #[serde(rename = "imageID", deserialize_with = "or_default")]
    pub(crate) image_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) restart_count: u32,
    #[serde(deserialize_with = "or_default")]
    pub(crate) state: ContainerState,
    #[serde(deserialize_with = "or_default")]
    pub(crate) last_state: ContainerState,
}

/// `state` or `lastState` of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState {
    #[serde(deserialize_with = "or_default")]
    pub(crate) running: Running,
    #[serde(deserialize_with = "or_default")]
    pub(crate) terminated: Terminated,
}

/// A run of a container that goes on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Running {
    #[serde(deserialize_with = "or_default")]
    pub(crate) started_at: String,
}

/// A run of a container that has ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terminated {
    /// `Completed`, `Error`, `OOMKilled`, ..
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub(crate) container_id: String,
}

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub(crate) spec: NodeSpec,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: NodeStatus,
}

impl Watched for Node {
    const PATH: &'static str = "/api/v1/nodes";

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// `spec` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    #[serde(rename = "providerID", deserialize_with = "or_default")]
    pub(crate) provider_id: String,
}

/// `status` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub(crate) node_info: NodeInfo,
    #[serde(deserialize_with = "or_default")]
    pub(crate) addresses: Vec<NodeAddress>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) daemon_endpoints: DaemonEndpoints,
}

/// `status.daemonEndpoints` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DaemonEndpoints {
    #[serde(deserialize_with = "or_default")]
    pub(crate) kubelet_endpoint: DaemonEndpoint,
}

/// Where a daemon of a node listens.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonEndpoint {
    #[serde(rename = "Port", deserialize_with = "or_default")]
    pub(crate) port: u16,
}

/// `status.nodeInfo` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NodeInfo {
    #[serde(rename = "machineID", deserialize_with = "or_default")]
    pub(crate) machine_id: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) architecture: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) operating_system: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) os_image: String,
}

/// An entry of `status.addresses` of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeAddress {
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) address: String,
}

/// An object of which only the metadata is wanted (a namespace, a Job).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MetaOnly {
    #[serde(deserialize_with = "or_default")]
    pub(crate) metadata: Meta,
}

/// The answer to a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "K: serde::de::DeserializeOwned")]
pub(crate) struct List<K> {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub(crate) items: Vec<K>,
}

/// Takes null for absent: Go writes an empty slice or map without `omitempty` that way.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
