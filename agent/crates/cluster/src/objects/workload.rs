//! Workloads that run for ever: deployments, stateful sets, daemon sets, replica sets, replication controllers.
//!
//! All counts are of pods, or for daemon sets of nodes.

use serde::Deserialize;

use super::meta::ObjectMeta;
use super::parts::Conditions;
use crate::object::or_default;

/// A deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ReplicatedSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: DeploymentStatus,
}

/// `spec` of what runs a number of pods.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicatedSpec {
    /// How many pods there are to be (the API server writes the default, 1).
    #[serde(deserialize_with = "or_default")]
    pub replicas: i32,
    /// Of a deployment: no roll-out begins or goes on.
    #[serde(deserialize_with = "or_default")]
    pub paused: bool,
}

/// `status` of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The version of the spec that this is about (`metadata.generation`).
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
    /// Pods that there are.
    #[serde(deserialize_with = "or_default")]
    pub replicas: i32,
    /// Those of the newest template.
    #[serde(deserialize_with = "or_default")]
    pub updated_replicas: i32,
    /// Those that are ready.
    #[serde(deserialize_with = "or_default")]
    pub ready_replicas: i32,
    /// Those that have been ready for `minReadySeconds`.
    #[serde(deserialize_with = "or_default")]
    pub available_replicas: i32,
    /// Those that are missing until all are available.
    #[serde(deserialize_with = "or_default")]
    pub unavailable_replicas: i32,
    /// `Available`, `Progressing`, `ReplicaFailure`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
}

/// A stateful set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ReplicatedSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: StatefulSetStatus,
}

/// `status` of a stateful set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetStatus {
    /// The version of the spec that this is about (`metadata.generation`).
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
    /// Pods that there are.
    #[serde(deserialize_with = "or_default")]
    pub replicas: i32,
    /// Those of the revision before the newest.
    #[serde(deserialize_with = "or_default")]
    pub current_replicas: i32,
    /// Those of the newest revision.
    #[serde(deserialize_with = "or_default")]
    pub updated_replicas: i32,
    /// Those that are ready.
    #[serde(deserialize_with = "or_default")]
    pub ready_replicas: i32,
    /// Those that have been ready for `minReadySeconds`.
    #[serde(deserialize_with = "or_default")]
    pub available_replicas: i32,
}

/// A daemon set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: DaemonSetStatus,
}

/// `status` of a daemon set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetStatus {
    /// The version of the spec that this is about (`metadata.generation`).
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
    /// Nodes that are to have its pod.
    #[serde(deserialize_with = "or_default")]
    pub desired_number_scheduled: i32,
    /// Those of them that have it.
    #[serde(deserialize_with = "or_default")]
    pub current_number_scheduled: i32,
    /// Nodes that have it and are not to.
    #[serde(deserialize_with = "or_default")]
    pub number_misscheduled: i32,
    /// Nodes where it is ready.
    #[serde(deserialize_with = "or_default")]
    pub number_ready: i32,
    /// Nodes where it is of the newest template.
    #[serde(deserialize_with = "or_default")]
    pub updated_number_scheduled: i32,
    /// Nodes where it has been ready for `minReadySeconds`.
    #[serde(deserialize_with = "or_default")]
    pub number_available: i32,
    /// Nodes where it is to be, and is not available.
    #[serde(deserialize_with = "or_default")]
    pub number_unavailable: i32,
}

/// A replica set: its metadata alone (`PartialObjectMetadata`). There are many more than deployments, and all but one of
/// each are its past.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
}

/// A replication controller.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicationController {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ReplicatedSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: ReplicationControllerStatus,
}

/// `status` of a replication controller.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicationControllerStatus {
    /// The version of the spec that this is about (`metadata.generation`).
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
    /// Pods that there are.
    #[serde(deserialize_with = "or_default")]
    pub replicas: i32,
    /// Those that are ready.
    #[serde(deserialize_with = "or_default")]
    pub ready_replicas: i32,
    /// Those that have been ready for `minReadySeconds`.
    #[serde(deserialize_with = "or_default")]
    pub available_replicas: i32,
}
