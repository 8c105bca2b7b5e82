//! The kinds of objects, and an object of any of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::job::{CronJob, Job};
use super::limits::{HorizontalPodAutoscaler, ResourceQuota};
use super::meta::ObjectMeta;
use super::node::{Namespace, Node};
use super::pod::Pod;
use super::service::{EndpointSlice, Service};
use super::volume::{PersistentVolume, PersistentVolumeClaim};
use super::workload::{DaemonSet, Deployment, ReplicaSet, ReplicationController, StatefulSet};

/// What is kept of an object of one kind.
pub trait Kept: Sized {
    /// Its kind.
    const KIND: ObjectKind;

    /// The object, if it is of this kind.
    fn of(object: &Object) -> Option<&Arc<Self>>;

    /// Who it is.
    fn metadata(&self) -> &ObjectMeta;
}

macro_rules! kinds {
    ($($resource:ident $kind:ident $name:literal $group:literal $version:literal,)+) => {
        /// A kind of object, by its resource's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum ObjectKind {
            $(#[doc = concat!("`", $name, "`.")] $resource,)+
        }

        /// An object of any kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Object {
            $(#[doc = concat!("A `", stringify!($kind), "`.")] $kind(Arc<$kind>),)+
        }

        impl ObjectKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$resource,)+];

            /// The resource's name: `pods`, `persistentvolumeclaims`, ..
            #[must_use]
            pub fn resource(self) -> &'static str {
                match self {
                    $(Self::$resource => $name,)+
                }
            }

            /// The kind's name: `Pod`, `PersistentVolumeClaim`, ..
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$resource => stringify!($kind),)+
                }
            }

            /// The API group; empty for the core's.
            #[must_use]
            pub fn group(self) -> &'static str {
                match self {
                    $(Self::$resource => $group,)+
                }
            }

            /// The group's version.
            #[must_use]
            pub fn version(self) -> &'static str {
                match self {
                    $(Self::$resource => $version,)+
                }
            }
        }

        impl Object {
            /// Reads an object of this kind.
            pub(super) fn read(kind: ObjectKind, json: &str) -> serde_json::Result<Self> {
                Ok(match kind {
                    $(ObjectKind::$resource => Self::$kind(Arc::new(serde_json::from_str(json)?)),)+
                })
            }

            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> ObjectKind {
                match self {
                    $(Self::$kind(_) => ObjectKind::$resource,)+
                }
            }

            /// Who it is.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                }
            }
        }

        $(
            impl Kept for $kind {
                const KIND: ObjectKind = ObjectKind::$resource;

                fn of(object: &Object) -> Option<&Arc<Self>> {
                    match object {
                        Object::$kind(object) => Some(object),
                        _ => None,
                    }
                }

                fn metadata(&self) -> &ObjectMeta {
                    &self.metadata
                }
            }
        )+
    };
}

// In the order in which they are listed: what others refer to comes first.
kinds! {
    Namespaces Namespace "namespaces" "" "v1",
    Nodes Node "nodes" "" "v1",
    Deployments Deployment "deployments" "apps" "v1",
    StatefulSets StatefulSet "statefulsets" "apps" "v1",
    DaemonSets DaemonSet "daemonsets" "apps" "v1",
    CronJobs CronJob "cronjobs" "batch" "v1",
    Jobs Job "jobs" "batch" "v1",
    ReplicaSets ReplicaSet "replicasets" "apps" "v1",
    ReplicationControllers ReplicationController "replicationcontrollers" "" "v1",
    Pods Pod "pods" "" "v1",
    PersistentVolumes PersistentVolume "persistentvolumes" "" "v1",
    PersistentVolumeClaims PersistentVolumeClaim "persistentvolumeclaims" "" "v1",
    HorizontalPodAutoscalers HorizontalPodAutoscaler "horizontalpodautoscalers" "autoscaling" "v2",
    ResourceQuotas ResourceQuota "resourcequotas" "" "v1",
    Services Service "services" "" "v1",
    EndpointSlices EndpointSlice "endpointslices" "discovery.k8s.io" "v1",
}

impl ObjectKind {
    /// Path of the collection, over all namespaces.
    #[must_use]
    pub fn path(self) -> String {
        let (group, version, resource) = (self.group(), self.version(), self.resource());
        if group.is_empty() {
            format!("/api/{version}/{resource}")
        } else {
            format!("/apis/{group}/{version}/{resource}")
        }
    }

    /// Whether only the metadata is asked for (`PartialObjectMetadata`).
    #[must_use]
    pub fn metadata_only(self) -> bool {
        self == Self::ReplicaSets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_by_its_resources_name() {
        for kind in ObjectKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.resource());
            let plural = kind.name().to_lowercase();
            assert!(kind.resource().starts_with(&plural), "{kind:?}");
        }
        assert_eq!(ObjectKind::EndpointSlices.path(), "/apis/discovery.k8s.io/v1/endpointslices");
        assert_eq!(ObjectKind::Pods.path(), "/api/v1/pods");
    }
}
