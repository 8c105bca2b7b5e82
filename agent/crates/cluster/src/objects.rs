//! The state of all objects of the cluster, for the one process that leads.
//!
//! In: the API server's lists and watches of each [`ObjectKind`]. Out: [`ObjectStore`], which answers from memory, and calls
//! of each [`ObjectWatcher`] as objects appear, change and go. Always holds:
//! - of an object only what is used is kept; the structs mirror Kubernetes' own, field by field, with its names;
//! - texts that many objects have in common are kept once ([`Text`]), and so are the containers that pods are made of;
//! - nobody who reads waits for the API server; when it is away, what is known stays;
//! - one kind's trouble (no right to it, not there on this server) is that kind's alone.
//!
//! Every field may be absent or null, and a word, time or amount that cannot be read counts as absent: an object that is odd
//! in one place is still good in the others. Sources of the fields: <https://kubernetes.io/docs/reference/kubernetes-api/>.

mod change;
mod follow;
mod job;
mod kind;
mod limits;
mod meta;
mod node;
mod parts;
mod pod;
mod service;
mod status;
mod store;
mod text;
mod volume;
mod workload;

pub use change::{Cause, Change, ObjectWatcher};
pub use follow::ObjectFollower;
pub use job::{ConcurrencyPolicy, CronJob, CronJobSpec, CronJobStatus, Job, JobSpec, JobStatus};
pub use kind::{Kept, Object, ObjectKind};
pub use limits::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
    ResourceQuota, ResourceQuotaStatus, ScaleTarget,
};
pub use meta::{ContainerId, ObjectMeta, Owner, Time, Uid};
pub use node::{
    Namespace, NamespacePhase, NamespaceStatus, Node, NodeInfo, NodeSpec, NodeStatus, Taint,
};
pub use parts::{Condition, ConditionStatus, Conditions, ResourceList};
pub use pod::{
    Claim, Claims, Container, ContainerState, ContainerStatus, Pod, PodPhase, PodSpec, PodStatus,
    QosClass, ResourceRequirements, RestartPolicy, Terminated,
};
pub use service::{
    AddressType, EndpointSlice, Endpoints, LoadBalancerStatus, Selector, Service, ServiceSpec,
    ServiceStatus, ServiceType, ZoneEndpoints,
};
pub use status::{KindStatus, ObjectsStatus, Off};
pub use store::{ObjectError, ObjectStore};
pub use text::Text;
pub use volume::{
    ClaimRef, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimPhase,
    PersistentVolumeClaimSpec, PersistentVolumeClaimStatus, PersistentVolumePhase,
    PersistentVolumeSpec, PersistentVolumeStatus,
};
pub use workload::{
    DaemonSet, DaemonSetStatus, Deployment, DeploymentStatus, ReplicaSet, ReplicatedSpec,
    ReplicationController, ReplicationControllerStatus, StatefulSet, StatefulSetStatus,
};

pub use crate::quantity::Quantity;

#[cfg(test)]
mod tests;
