//! What only the kubelet tells of the node, its pods and their volumes.

use std::sync::Arc;

use hawsepipe_cluster::kubelet::{FsStats, NetworkStats, NodeStats, Summary, VolumeStats};
use hawsepipe_host::uptime;
use hawsepipe_model::Attributes;

use crate::collector::{CollectError, Collector, Need};
use crate::kubelet::{self, Told};
use crate::metric::Metric;
use crate::pods::About;
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "kubelet",
    about: "What only the kubelet tells of the node, its pods and their volumes. Node, pod and container are the \
            same resources as elsewhere, a volume is its pod's with `k8s.volume.name`, `k8s.volume.type` and \
            `k8s.persistentvolumeclaim.name` where there is a claim. The names are those of the Collector's \
            kubeletstats receiver; swap, processes, the file system of images and which inodes pods and containers \
            use are ours",
    reads: &["/stats/summary"],
    needs: &[Need::Kubelet],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// CPU time of the node
    NODE_CPU_TIME: Counter Double "k8s.node.cpu.time" "s" [] on;
    /// CPUs of the node that are used
    NODE_CPU_USAGE: Gauge Double "k8s.node.cpu.usage" "{cpu}" [] on;
    /// Memory of the node that is left to pods
    NODE_AVAILABLE: Gauge Int "k8s.node.memory.available" "By" [] on;
    /// Memory of the node that is used, with caches
    NODE_USAGE: Gauge Int "k8s.node.memory.usage" "By" [] on;
    /// Memory of the node that cannot be had back easily
    NODE_WORKING_SET: Gauge Int "k8s.node.memory.working_set" "By" [] on;
    /// Memory of the node that no file is behind
    NODE_RSS: Gauge Int "k8s.node.memory.rss" "By" [] on;
    /// Page faults on the node
    NODE_FAULTS: Gauge Int "k8s.node.memory.page_faults" "1" [] on;
    /// Page faults on the node that waited for a disk
    NODE_MAJOR_FAULTS: Gauge Int "k8s.node.memory.major_page_faults" "1" [] on;
    /// Swap of the node that is used
    NODE_SWAP: Gauge Int "k8s.node.memory.swap" "By" [] on;
    /// Room on the file system of the kubelet's folder
    NODE_FS_AVAILABLE: Gauge Int "k8s.node.filesystem.available" "By" [] on;
    /// Size of the file system of the kubelet's folder
    NODE_FS_CAPACITY: Gauge Int "k8s.node.filesystem.capacity" "By" [] on;
    /// What is used of the file system of the kubelet's folder
    NODE_FS_USAGE: Gauge Int "k8s.node.filesystem.usage" "By" [] on;
    /// Inodes of the file system of the kubelet's folder
    NODE_INODES: UpDownCounter Int "k8s.node.filesystem.inode.count" "{inode}" [] on;
    /// Free inodes of the file system of the kubelet's folder
    NODE_INODES_FREE: UpDownCounter Int "k8s.node.filesystem.inode.free" "{inode}" [] on;
    /// Used inodes of the file system of the kubelet's folder
    NODE_INODES_USED: UpDownCounter Int "k8s.node.filesystem.inode.used" "{inode}" [] on;
    /// Room on the file system of images
    IMAGE_AVAILABLE: Gauge Int "k8s.node.image_filesystem.available" "By" [] on;
    /// Size of the file system of images
    IMAGE_CAPACITY: Gauge Int "k8s.node.image_filesystem.capacity" "By" [] on;
    /// What images use
    IMAGE_USAGE: Gauge Int "k8s.node.image_filesystem.usage" "By" [] on;
    /// Inodes of the file system of images
    IMAGE_INODES: UpDownCounter Int "k8s.node.image_filesystem.inode.count" "{inode}" [] on;
    /// Free inodes of the file system of images
    IMAGE_INODES_FREE: UpDownCounter Int "k8s.node.image_filesystem.inode.free" "{inode}" [] on;
    /// Inodes that images use
    IMAGE_INODES_USED: UpDownCounter Int "k8s.node.image_filesystem.inode.used" "{inode}" [] on;
    /// Bytes over the node's default interface
    NODE_NETWORK: Counter Int "k8s.node.network.io" "By" ["interface", "direction"] on;
    /// Errors of the node's default interface
    NODE_NETWORK_ERRORS: Counter Int "k8s.node.network.errors" "1" ["interface", "direction"] on;
    /// Processes and threads on the node
    NODE_PROCESSES: Gauge Int "k8s.node.process.count" "{process}" [] on;
    /// Processes and threads that there can be on the node
    NODE_PROCESSES_LIMIT: Gauge Int "k8s.node.process.limit" "{process}" [] on;
    /// Time since the node was booted
    NODE_UPTIME: Counter Int "k8s.node.uptime" "s" [] off;
    /// Bytes over the pod's default interface
    POD_NETWORK: Counter Int "k8s.pod.network.io" "By" ["interface", "direction"] on;
    /// Errors of the pod's default interface
    POD_NETWORK_ERRORS: Counter Int "k8s.pod.network.errors" "1" ["interface", "direction"] on;
    /// Room on the file system that the pod's ephemeral storage is on
    POD_FS_AVAILABLE: Gauge Int "k8s.pod.filesystem.available" "By" [] on;
    /// Size of the file system that the pod's ephemeral storage is on
    POD_FS_CAPACITY: Gauge Int "k8s.pod.filesystem.capacity" "By" [] on;
    /// What the pod uses of the node's disk: writable layers, logs, volumes that end with it
    POD_FS_USAGE: Gauge Int "k8s.pod.filesystem.usage" "By" [] on;
    /// Inodes that the pod uses on the node's disk
    POD_INODES_USED: UpDownCounter Int "k8s.pod.filesystem.inode.used" "{inode}" [] on;
    /// Room on the file system that the container's writable layer is on
    CONTAINER_FS_AVAILABLE: Gauge Int "container.filesystem.available" "By" [] on;
    /// Size of the file system that the container's writable layer is on
    CONTAINER_FS_CAPACITY: Gauge Int "container.filesystem.capacity" "By" [] on;
    /// What the container's writable layer uses
    CONTAINER_FS_USAGE: Gauge Int "container.filesystem.usage" "By" [] on;
    /// Inodes that the container's writable layer uses
    CONTAINER_INODES_USED: UpDownCounter Int "container.filesystem.inode.used" "{inode}" [] on;
    /// What the container's writable layer (`rootfs`) and its `logs` use of the node's disk
    EPHEMERAL: UpDownCounter Int "k8s.container.ephemeral_storage.usage" "By" ["fs.type"] off;
    /// Room on the volume
    VOLUME_AVAILABLE: Gauge Int "k8s.volume.available" "By" [] on;
    /// Size of the volume
    VOLUME_CAPACITY: Gauge Int "k8s.volume.capacity" "By" [] on;
    /// Inodes of the volume
    VOLUME_INODES: Gauge Int "k8s.volume.inodes" "1" [] on;
    /// Free inodes of the volume
    VOLUME_INODES_FREE: Gauge Int "k8s.volume.inodes.free" "1" [] on;
    /// Used inodes of the volume
    VOLUME_INODES_USED: Gauge Int "k8s.volume.inodes.used" "1" [] on;
    /// What is used of the volume
    VOLUME_USAGE: UpDownCounter Int "k8s.pod.volume.usage" "By" [] off;
    /// CPU time of the kubelet, the runtime and what else the kubelet tells of beside pods
    SYSTEM_CPU_TIME: Counter Double "k8s.node.system_container.cpu.time" "s" [] off;
    /// CPUs that it uses
    SYSTEM_CPU_USAGE: Gauge Double "k8s.node.system_container.cpu.usage" "{cpu}" [] off;
    /// Memory that it uses
    SYSTEM_USAGE: Gauge Int "k8s.node.system_container.memory.usage" "By" [] off;
    /// Memory of it that cannot be had back easily
    SYSTEM_WORKING_SET: Gauge Int "k8s.node.system_container.memory.working_set" "By" [] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let summary = tick.ask(kubelet::read)?;
    // Before anything else has become the resource.
    node(&summary.node, out);
    if out.wants(&NODE_UPTIME) {
        let up = tick.read(uptime::read)?.up;
        out.metric(&NODE_UPTIME).push(up, &[]);
    }
    system(&summary, tick, out);
    for pod in kubelet::pods(&summary, tick.sources()) {
        tell(&pod, out);
    }
    Ok(())
}

fn node(node: &NodeStats, out: &mut Points) {
    let usage = kubelet::usage(&node.cpu, &node.memory, &node.swap);
    out.metric(&NODE_CPU_TIME).maybe(usage.cpu_time.map(seconds), &[]);
    out.metric(&NODE_CPU_USAGE).maybe(usage.cpu_usage, &[]);
    out.metric(&NODE_AVAILABLE).maybe(usage.memory_available, &[]);
    out.metric(&NODE_USAGE).maybe(usage.memory_usage, &[]);
    out.metric(&NODE_WORKING_SET).maybe(usage.memory_working_set, &[]);
    out.metric(&NODE_RSS).maybe(usage.memory_rss, &[]);
    out.metric(&NODE_FAULTS).maybe(usage.page_faults, &[]);
    out.metric(&NODE_MAJOR_FAULTS).maybe(usage.major_page_faults, &[]);
    out.metric(&NODE_SWAP).maybe(usage.memory_swap, &[]);
    sizes(&node.fs, [&NODE_FS_AVAILABLE, &NODE_FS_CAPACITY, &NODE_FS_USAGE], out);
    inodes(&node.fs, [&NODE_INODES, &NODE_INODES_FREE, &NODE_INODES_USED], out);
    let images = &node.runtime.image_fs;
    sizes(images, [&IMAGE_AVAILABLE, &IMAGE_CAPACITY, &IMAGE_USAGE], out);
    inodes(images, [&IMAGE_INODES, &IMAGE_INODES_FREE, &IMAGE_INODES_USED], out);
    network(&node.network, &NODE_NETWORK, &NODE_NETWORK_ERRORS, out);
    out.metric(&NODE_PROCESSES).maybe(node.rlimit.current, &[]);
    out.metric(&NODE_PROCESSES_LIMIT).maybe(node.rlimit.max_pid, &[]);
}

/// The kubelet itself, the runtime, ..: they count from the boot, as the node does.
fn system(summary: &Summary, tick: &Tick, out: &mut Points) {
    let wanted = [&SYSTEM_CPU_TIME, &SYSTEM_CPU_USAGE, &SYSTEM_USAGE, &SYSTEM_WORKING_SET];
    if !wanted.into_iter().any(|metric| out.wants(metric)) {
        return;
    }
    for of in &summary.node.system_containers {
        let mut attributes = Attributes::new();
        attributes.set("k8s.node.system_container.name", of.name.as_str());
        out.resource(attributes, tick.sources().boot_unix_nano());
        let usage = kubelet::usage(&of.cpu, &of.memory, &of.swap);
        out.metric(&SYSTEM_CPU_TIME).maybe(usage.cpu_time.map(seconds), &[]);
        out.metric(&SYSTEM_CPU_USAGE).maybe(usage.cpu_usage, &[]);
        out.metric(&SYSTEM_USAGE).maybe(usage.memory_usage, &[]);
        out.metric(&SYSTEM_WORKING_SET).maybe(usage.memory_working_set, &[]);
    }
}

fn tell(pod: &Told<'_>, out: &mut Points) {
    let about = pod.about();
    out.resource(Arc::clone(&about.attributes), about.start_unix_nano);
    network(&pod.stats.network, &POD_NETWORK, &POD_NETWORK_ERRORS, out);
    let storage = &pod.stats.ephemeral_storage;
    sizes(storage, [&POD_FS_AVAILABLE, &POD_FS_CAPACITY, &POD_FS_USAGE], out);
    out.metric(&POD_INODES_USED).maybe(storage.inodes_used, &[]);
    for container in &pod.stats.containers {
        let About { attributes, start_unix_nano, .. } = pod.container(container);
        out.resource(attributes, start_unix_nano);
        let names = [&CONTAINER_FS_AVAILABLE, &CONTAINER_FS_CAPACITY, &CONTAINER_FS_USAGE];
        sizes(&container.rootfs, names, out);
        out.metric(&CONTAINER_INODES_USED).maybe(container.rootfs.inodes_used, &[]);
        let mut ephemeral = out.metric(&EPHEMERAL);
        ephemeral.maybe(container.rootfs.used_bytes, &["rootfs"]);
        ephemeral.maybe(container.logs.used_bytes, &["logs"]);
    }
    for volume in &pod.stats.volumes {
        tell_volume(volume, &about, out);
    }
}

fn tell_volume(volume: &VolumeStats, pod: &About, out: &mut Points) {
    let mut attributes = (*pod.attributes).clone();
    attributes.set("k8s.volume.name", volume.name.as_str());
    if !volume.pvc_ref.name.is_empty() {
        attributes.set("k8s.volume.type", "persistentVolumeClaim");
        attributes.set("k8s.persistentvolumeclaim.name", volume.pvc_ref.name.as_str());
    }
    out.resource(attributes, pod.start_unix_nano);
    out.metric(&VOLUME_AVAILABLE).maybe(volume.fs.available_bytes, &[]);
    out.metric(&VOLUME_CAPACITY).maybe(volume.fs.capacity_bytes, &[]);
    inodes(&volume.fs, [&VOLUME_INODES, &VOLUME_INODES_FREE, &VOLUME_INODES_USED], out);
    out.metric(&VOLUME_USAGE).maybe(volume.fs.used_bytes, &[]);
}

/// Available, capacity, usage.
fn sizes(fs: &FsStats, [available, capacity, usage]: [&'static Metric; 3], out: &mut Points) {
    out.metric(available).maybe(fs.available_bytes, &[]);
    out.metric(capacity).maybe(fs.capacity_bytes, &[]);
    out.metric(usage).maybe(fs.used_bytes, &[]);
}

fn inodes(fs: &FsStats, [all, free, used]: [&'static Metric; 3], out: &mut Points) {
    out.metric(all).maybe(fs.inodes, &[]);
    out.metric(free).maybe(fs.inodes_free, &[]);
    out.metric(used).maybe(fs.inodes_used, &[]);
}

fn network(of: &NetworkStats, io: &'static Metric, errors: &'static Metric, out: &mut Points) {
    let mut series = out.metric(io);
    series.maybe(of.rx_bytes, &[&of.name, "receive"]);
    series.maybe(of.tx_bytes, &[&of.name, "transmit"]);
    let mut series = out.metric(errors);
    series.maybe(of.rx_errors, &[&of.name, "receive"]);
    series.maybe(of.tx_errors, &[&of.name, "transmit"]);
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
