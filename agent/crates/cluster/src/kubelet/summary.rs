//! What the kubelet says of its node, by its pods and containers.
//!
//! Format: `Summary` in `staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go` of Kubernetes. Every field may
//! be absent or null: which ones there are depends on the kubelet's version, the runtime and the moment. What is not
//! named here is passed over.

use serde::Deserialize;

use super::KubeletError;
use super::error::beginning;
use crate::object::or_default;

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $field_doc:literal])+ $(#[serde($($attribute:tt)+)])? $field:ident: $kind:ty,)+
    })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {$(
            $(#[doc = $field_doc])+
            #[serde(deserialize_with = "or_default" $(, $($attribute)+)?)]
            pub $field: $kind,
        )+}
    )+};
}

stats! {
    /// The node and its pods.
    Summary {
        /// The node.
        node: NodeStats,
        /// Its pods, those that ended lately too.
        pods: Vec<PodStats>,
    }

    /// A node.
    NodeStats {
        /// Its name.
        node_name: String,
        /// Containers that are none of a pod's: `kubelet`, `runtime`, `pods`, ..
        system_containers: Vec<ContainerStats>,
        /// CPU.
        cpu: CpuStats,
        /// Memory.
        memory: MemoryStats,
        /// Network interfaces.
        network: NetworkStats,
        /// The file system of the kubelet's folder.
        fs: FsStats,
        /// What the container runtime has.
        runtime: RuntimeStats,
        /// Processes.
        rlimit: Rlimit,
        /// Swap.
        swap: SwapStats,
    }

    /// A pod.
    PodStats {
        /// Which.
        pod_ref: PodRef,
        /// When it was started, RFC 3339.
        start_time: String,
        /// Its containers.
        containers: Vec<ContainerStats>,
        /// CPU.
        cpu: CpuStats,
        /// Memory.
        memory: MemoryStats,
        /// Network interfaces.
        network: NetworkStats,
        /// Volumes.
        #[serde(rename = "volume")]
        volumes: Vec<VolumeStats>,
        /// What it holds on the node's disk: writable layers, logs, `emptyDir`.
        #[serde(rename = "ephemeral-storage")]
        ephemeral_storage: FsStats,
        /// Swap.
        swap: SwapStats,
    }

    /// Which pod.
    PodRef {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// Its UID; of a static pod the hash of its manifest.
        uid: String,
    }

    /// A container.
    ContainerStats {
        /// Its name.
        name: String,
        /// When it was started, RFC 3339.
        start_time: String,
        /// CPU.
        cpu: CpuStats,
        /// Memory.
        memory: MemoryStats,
        /// Its writable layer.
        rootfs: FsStats,
        /// Its logs.
        logs: FsStats,
        /// Swap.
        swap: SwapStats,
    }

    /// CPU.
    CpuStats {
        /// Used lately, in billionths of a CPU.
        usage_nano_cores: Option<u64>,
        /// Used since the start, in nanoseconds.
        usage_core_nano_seconds: Option<u64>,
    }

    /// Memory, in bytes.
    MemoryStats {
        /// What is left below the limit, where there is one.
        available_bytes: Option<u64>,
        /// All of it.
        usage_bytes: Option<u64>,
        /// What cannot be had back easily.
        working_set_bytes: Option<u64>,
        /// What no file is behind.
        rss_bytes: Option<u64>,
        /// Page faults since the start.
        page_faults: Option<u64>,
        /// Page faults that waited for a disk.
        major_page_faults: Option<u64>,
    }

    /// Swap, in bytes.
    SwapStats {
        /// What is left below the limit.
        swap_available_bytes: Option<u64>,
        /// What is used.
        swap_usage_bytes: Option<u64>,
    }

    /// The default interface.
    NetworkStats {
        /// The default interface's name.
        name: String,
        /// Bytes received.
        rx_bytes: Option<u64>,
        /// Errors of receiving.
        rx_errors: Option<u64>,
        /// Bytes sent.
        tx_bytes: Option<u64>,
        /// Errors of sending.
        tx_errors: Option<u64>,
    }

    /// A file system, in bytes.
    FsStats {
        /// What can still be written.
        available_bytes: Option<u64>,
        /// All of it.
        capacity_bytes: Option<u64>,
        /// What is used by whoever is told of: not what the file system holds.
        used_bytes: Option<u64>,
        /// Inodes that are free.
        inodes_free: Option<u64>,
        /// All inodes.
        inodes: Option<u64>,
        /// Inodes that are used by whoever is told of.
        inodes_used: Option<u64>,
    }

    /// What the container runtime has.
    RuntimeStats {
        /// The file system of images.
        image_fs: FsStats,
        /// The file system of writable layers, where that is another one.
        container_fs: FsStats,
    }

    /// Processes.
    Rlimit {
        /// How many there can be.
        #[serde(rename = "maxpid")]
        max_pid: Option<u64>,
        /// How many there are, threads too.
        #[serde(rename = "curproc")]
        current: Option<u64>,
    }

    /// A PersistentVolumeClaim.
    PvcRef {
        /// Its name; empty where there is none.
        name: String,
        /// Its namespace.
        namespace: String,
    }
}

/// A volume of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeStats {
    /// Its name in the pod.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// The claim behind it, if there is one.
    #[serde(deserialize_with = "or_default")]
    pub pvc_ref: PvcRef,
    /// How full it is.
    #[serde(flatten)]
    pub fs: FsStats,
}

impl Summary {
    /// Reads an answer.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KubeletError> {
        let summary: Self = serde_json::from_slice(bytes).map_err(|error| {
            KubeletError::NoSummary { reason: format!("{error}; it begins `{}`", beginning(bytes)) }
        })?;
        // Any object is a summary without anything.
        if summary == Self::default() {
            let reason = format!("it says nothing of a node; it begins `{}`", beginning(bytes));
            return Err(KubeletError::NoSummary { reason });
        }
        Ok(summary)
    }
}
