//! Pods, of which there are the most.
//!
//! In: JSON of `core/v1` pods. Out: [`Pod`]. What the pods of one workload have in common (their containers as specified)
//! is kept once.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer};

use super::meta::{ContainerId, ObjectMeta, Time, time};
use super::parts::{Conditions, ResourceList, words};
use super::text::{Pool, Text};
use crate::object::or_default;

static CONTAINERS: LazyLock<Pool<Arc<[Container]>>> = LazyLock::new(Pool::default);

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it is bound to; empty until it is scheduled.
    #[serde(deserialize_with = "or_default")]
    pub node_name: Text,
    /// Its containers.
    #[serde(deserialize_with = "containers")]
    pub containers: Arc<[Container]>,
    /// Those that run before, sidecars among them.
    #[serde(deserialize_with = "containers")]
    pub init_containers: Arc<[Container]>,
    /// What becomes of containers that end.
    #[serde(deserialize_with = "or_default")]
    pub restart_policy: RestartPolicy,
    /// The PersistentVolumeClaims that it mounts, by name (`volumes[].persistentVolumeClaim.claimName`; of ephemeral
    /// volumes `pod-volume`, as the controller names them).
    #[serde(rename = "volumes", deserialize_with = "or_default")]
    pub claims: Claims,
}

/// The PersistentVolumeClaims of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims(pub Box<[Claim]>);

/// A volume that is a PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The volume's name in the pod.
    pub volume: Text,
    /// The claim's name; empty for an ephemeral volume, whose claim is named by the pod and the volume (`POD-VOLUME`).
    pub claim: Text,
}

/// A container as specified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: Text,
    /// The image as written.
    #[serde(deserialize_with = "or_default")]
    pub image: Text,
    /// What it asks for.
    #[serde(deserialize_with = "or_default")]
    pub resources: ResourceRequirements,
    /// Of an init container: `Always` makes it a sidecar; `Unspecified` for others.
    #[serde(deserialize_with = "or_default")]
    pub restart_policy: RestartPolicy,
}

/// `resources` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements {
    /// What it is sure of.
    #[serde(deserialize_with = "or_default")]
    pub requests: ResourceList,
    /// What it may use.
    #[serde(deserialize_with = "or_default")]
    pub limits: ResourceList,
}

/// `status` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// Where it is in its life.
    #[serde(deserialize_with = "or_default")]
    pub phase: PodPhase,
    /// Why, in one word: `Evicted`, `NodeLost`, ..; mostly empty.
    #[serde(deserialize_with = "or_default")]
    pub reason: Text,
    /// How it is treated when its node is short of something.
    #[serde(deserialize_with = "or_default")]
    pub qos_class: QosClass,
    /// When the kubelet took it.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<Time>,
    /// `PodScheduled`, `Initialized`, `ContainersReady`, `Ready`, ..
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
    /// How its containers are; empty until the kubelet says so.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Box<[ContainerStatus]>,
    /// How those are that run before, sidecars among them.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Box<[ContainerStatus]>,
}

/// What the kubelet says of a container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: Text,
    /// The runtime's ID of its run.
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    pub container_id: ContainerId,
    /// The image as the runtime resolved it.
    #[serde(rename = "imageID", deserialize_with = "or_default")]
    pub image_id: Text,
    /// Whether it passes its readiness probe.
    #[serde(deserialize_with = "or_default")]
    pub ready: bool,
    /// How often it was started again.
    #[serde(deserialize_with = "or_default")]
    pub restart_count: u32,
    /// What it does.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How the run before has ended (`lastState.terminated`).
    #[serde(rename = "lastState", deserialize_with = "last_run")]
    pub last_terminated: Option<Box<Terminated>>,
}

/// `state` of a container.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "RawState")]
pub enum ContainerState {
    /// It does not run yet, or not at the moment.
    Waiting {
        /// `ContainerCreating`, `CrashLoopBackOff`, `ImagePullBackOff`, ..
        reason: Text,
    },
    /// It runs.
    Running {
        /// Since when.
        started_at: Option<Time>,
    },
    /// It has ended.
    Terminated(Terminated),
}

/// A run of a container that has ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// `Completed`, `Error`, `OOMKilled`, ..
    #[serde(deserialize_with = "or_default")]
    pub reason: Text,
    /// Its exit code.
    #[serde(deserialize_with = "or_default")]
    pub exit_code: i32,
    /// The signal that ended it; 0 for none.
    #[serde(deserialize_with = "or_default")]
    pub signal: i32,
    /// When it began.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Time>,
}

words! {
    /// `status.phase` of a pod.
    PodPhase {
        /// Its node is not heard of.
        Unknown = "Unknown",
        /// Not all of its containers have been started.
        Pending,
        /// A container runs, or is about to.
        Running,
        /// All containers have ended well.
        Succeeded,
        /// All containers have ended, one at least not well.
        Failed,
    }
}

words! {
    /// `status.qosClass` of a pod.
    QosClass {
        /// Not said.
        Unspecified = "",
        /// Every container's limits are its requests.
        Guaranteed,
        /// Something is asked for.
        Burstable,
        /// Nothing is asked for.
        BestEffort,
    }
}

words! {
    /// `restartPolicy` of a pod or an init container.
    RestartPolicy {
        /// Not said.
        Unspecified = "",
        /// It is started again.
        Always,
        /// It is started again when it failed.
        OnFailure,
        /// It is not.
        Never,
    }
}

/// `state` or `lastState` as written: at most one of them is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawState {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    #[serde(deserialize_with = "or_default")]
    reason: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Running {
    #[serde(deserialize_with = "time")]
    started_at: Option<Time>,
}

// === impl Pod ===

impl Pod {
    /// A container as specified, of whatever sort, by its name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        let all = self.spec.containers.iter().chain(self.spec.init_containers.iter());
        all.into_iter().find(|container| container.name == *name)
    }
}

// === impl ContainerState ===

impl ContainerState {
    /// `waiting`, `running` or `terminated`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Running { .. } => "running",
            Self::Terminated(_) => "terminated",
        }
    }

    /// Why it waits or has ended, in one word; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Waiting { reason } => reason,
            Self::Running { .. } => "",
            Self::Terminated(run) => &run.reason,
        }
    }
}

/// "If none of them is specified, the default one is ContainerStateWaiting" (core/v1 `ContainerState`).
impl Default for ContainerState {
    fn default() -> Self {
        Self::Waiting { reason: Text::default() }
    }
}

impl From<RawState> for ContainerState {
    fn from(state: RawState) -> Self {
        if let Some(run) = state.terminated {
            return Self::Terminated(run);
        }
        if let Some(run) = state.running {
            return Self::Running { started_at: run.started_at };
        }
        Self::Waiting { reason: state.waiting.unwrap_or_default().reason }
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Volume {
            #[serde(deserialize_with = "or_default")]
            name: Text,
            persistent_volume_claim: Option<Source>,
            ephemeral: Option<Source>,
        }

        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Source {
            #[serde(deserialize_with = "or_default")]
            claim_name: Text,
        }

        let volumes = Vec::<Volume>::deserialize(deserializer)?;
        let claims = volumes.into_iter().filter_map(|volume| {
            let source = volume.persistent_volume_claim.or(volume.ephemeral)?;
            Some(Claim { volume: volume.name, claim: source.claim_name })
        });
        Ok(Self(claims.collect()))
    }
}

fn containers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[Container]>, D::Error> {
    let all: Vec<Container> = or_default(deserializer)?;
    Ok(CONTAINERS.share(all.as_slice(), || Arc::from(all.clone())))
}

fn last_run<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<Terminated>>, D::Error> {
    let state: RawState = or_default(deserializer)?;
    Ok(state.terminated.map(Box::new))
}
