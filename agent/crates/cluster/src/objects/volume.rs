//! PersistentVolumes and PersistentVolumeClaims. All amounts are bytes, by the resource's name `storage`.

use serde::Deserialize;

use super::meta::ObjectMeta;
use super::parts::{ResourceList, words};
use super::pod::ResourceRequirements;
use super::text::Text;
use crate::object::or_default;

/// A PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: PersistentVolumeSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: PersistentVolumeStatus,
}

/// `spec` of a PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeSpec {
    /// How much it holds.
    #[serde(deserialize_with = "or_default")]
    pub capacity: ResourceList,
    /// Its storage class; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub storage_class_name: Text,
    /// `Retain`, `Delete` or `Recycle`.
    #[serde(rename = "persistentVolumeReclaimPolicy", deserialize_with = "or_default")]
    pub reclaim_policy: Text,
    /// The claim that has it; empty names where none has.
    #[serde(deserialize_with = "or_default")]
    pub claim_ref: ClaimRef,
}

/// The claim that has a volume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    /// The claim's namespace.
    #[serde(deserialize_with = "or_default")]
    pub namespace: Text,
    /// The claim's name.
    #[serde(deserialize_with = "or_default")]
    pub name: Text,
}

/// `status` of a PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeStatus {
    /// Whether a claim has it.
    #[serde(deserialize_with = "or_default")]
    pub phase: PersistentVolumePhase,
}

words! {
    /// `status.phase` of a PersistentVolume.
    PersistentVolumePhase {
        /// Not said.
        Unspecified = "",
        /// It is not there yet.
        Pending,
        /// No claim has it.
        Available,
        /// A claim has it.
        Bound,
        /// Its claim is gone, it is not cleared yet.
        Released,
        /// It could not be cleared.
        Failed,
    }
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: PersistentVolumeClaimSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: PersistentVolumeClaimStatus,
}

/// `spec` of a PersistentVolumeClaim.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimSpec {
    /// How much is asked for.
    #[serde(deserialize_with = "or_default")]
    pub resources: ResourceRequirements,
    /// Its storage class; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub storage_class_name: Text,
    /// The volume that it has; empty until it has one.
    #[serde(deserialize_with = "or_default")]
    pub volume_name: Text,
}

/// `status` of a PersistentVolumeClaim.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaimStatus {
    /// Whether it has a volume.
    #[serde(deserialize_with = "or_default")]
    pub phase: PersistentVolumeClaimPhase,
    /// How much its volume holds.
    #[serde(deserialize_with = "or_default")]
    pub capacity: ResourceList,
}

words! {
    /// `status.phase` of a PersistentVolumeClaim.
    PersistentVolumeClaimPhase {
        /// Not said.
        Unspecified = "",
        /// It has no volume yet.
        Pending,
        /// It has a volume.
        Bound,
        /// Its volume is gone.
        Lost,
    }
}
