//! What grows and what bounds: HorizontalPodAutoscalers and ResourceQuotas.

use serde::Deserialize;

use super::meta::ObjectMeta;
use super::parts::{Conditions, ResourceList};
use super::text::Text;
use crate::object::or_default;

/// A HorizontalPodAutoscaler (`autoscaling/v2`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HorizontalPodAutoscaler {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: HorizontalPodAutoscalerSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: HorizontalPodAutoscalerStatus,
}

/// `spec` of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerSpec {
    /// The fewest pods; `None` counts as 1.
    pub min_replicas: Option<i32>,
    /// The most pods.
    #[serde(deserialize_with = "or_default")]
    pub max_replicas: i32,
    /// What it scales.
    #[serde(deserialize_with = "or_default")]
    pub scale_target_ref: ScaleTarget,
}

/// What a HorizontalPodAutoscaler scales.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaleTarget {
    /// `apps/v1`, ..
    #[serde(deserialize_with = "or_default")]
    pub api_version: Text,
    /// `Deployment`, ..
    #[serde(deserialize_with = "or_default")]
    pub kind: Text,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: Text,
}

/// `status` of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerStatus {
    /// The version of the spec that this is about (`metadata.generation`).
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
    /// Pods that there are.
    #[serde(deserialize_with = "or_default")]
    pub current_replicas: i32,
    /// Pods that it wants.
    #[serde(deserialize_with = "or_default")]
    pub desired_replicas: i32,
    /// `AbleToScale`, `ScalingActive`, `ScalingLimited`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
}

/// A ResourceQuota.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceQuota {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: ResourceQuotaStatus,
}

/// `status` of a ResourceQuota.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceQuotaStatus {
    /// The most that the namespace may have, by resource: `requests.cpu` in CPUs, `limits.memory` in bytes, `pods`, ..
    #[serde(deserialize_with = "or_default")]
    pub hard: ResourceList,
    /// What it has, by resource.
    #[serde(deserialize_with = "or_default")]
    pub used: ResourceList,
}
