//! Nodes and namespaces.

use serde::Deserialize;

use super::meta::ObjectMeta;
use super::parts::{Conditions, ResourceList, words};
use super::text::Text;
use crate::object::or_default;

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: NodeSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSpec {
    /// Whether it is cordoned: no new pods are scheduled to it.
    #[serde(deserialize_with = "or_default")]
    pub unschedulable: bool,
    /// What keeps pods away that do not tolerate it.
    #[serde(deserialize_with = "or_default")]
    pub taints: Box<[Taint]>,
    /// The cloud's name for it: `aws:///eu-central-1a/i-0123`; empty where there is none.
    #[serde(rename = "providerID", deserialize_with = "or_default")]
    pub provider_id: Box<str>,
}

/// A taint of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    #[serde(deserialize_with = "or_default")]
    pub key: Text,
    /// Its value; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub value: Text,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(deserialize_with = "or_default")]
    pub effect: Text,
}

/// `status` of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// All there is of each resource.
    #[serde(deserialize_with = "or_default")]
    pub capacity: ResourceList,
    /// What of it pods can have.
    #[serde(deserialize_with = "or_default")]
    pub allocatable: ResourceList,
    /// `Ready`, `MemoryPressure`, `DiskPressure`, `PIDPressure`, `NetworkUnavailable`, ..
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
    /// What runs on it.
    #[serde(deserialize_with = "or_default")]
    pub node_info: NodeInfo,
}

/// `status.nodeInfo` of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeInfo {
    /// `arm64`, `amd64`, ..
    #[serde(deserialize_with = "or_default")]
    pub architecture: Text,
    /// `linux` or `windows`.
    #[serde(deserialize_with = "or_default")]
    pub operating_system: Text,
    /// The operating system's name for people.
    #[serde(deserialize_with = "or_default")]
    pub os_image: Text,
    /// The kernel's version.
    #[serde(deserialize_with = "or_default")]
    pub kernel_version: Text,
    /// `containerd://2.1.4`, ..
    #[serde(deserialize_with = "or_default")]
    pub container_runtime_version: Text,
    /// The kubelet's version: `v1.34.1`, ..
    #[serde(deserialize_with = "or_default")]
    pub kubelet_version: Text,
}

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: NamespaceStatus,
}

/// `status` of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// Whether it is being deleted.
    #[serde(deserialize_with = "or_default")]
    pub phase: NamespacePhase,
    /// What keeps it from being deleted.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
}

words! {
    /// `status.phase` of a namespace.
    NamespacePhase {
        /// Not said.
        Unspecified = "",
        /// In use.
        Active,
        /// It is being deleted.
        Terminating,
    }
}
