//! The nodes of the cluster, as the API server has them.

use hawsepipe_cluster::objects::{Node, ObjectKind, ObjectStore, Taint, Uid};

use crate::collector::{Collector, Need};
use crate::objects::{Held, Tell, Teller, about, conditions, holds, moment};
use crate::points::Points;

const NEEDS: &[Need] = &[Need::Objects(ObjectKind::Nodes)];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_nodes",
    about: "The nodes of the cluster, as the API server has them. Each is a resource. Names that do not begin with \
            `hawsepipe.` are those of the Collector's k8s_cluster receiver; `k8s.node.condition` and \
            `k8s.node.allocatable_*`, which are off there, are on",
    reads: &["/api/v1/nodes"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(Nodes::default())),
};

metrics! {
    /// Whether the node is ready (1), is not (0), or nobody knows (-1)
    READY: Gauge Int "k8s.node.condition_ready" "" [] on;
    /// Whether the node is short of memory (1), is not (0), or nobody knows (-1); `k8s.node.condition` says it, too
    MEMORY_PRESSURE: Gauge Int "k8s.node.condition_memory_pressure" "" [] off;
    /// Whether the node is short of space (1), is not (0), or nobody knows (-1); `k8s.node.condition` says it, too
    DISK_PRESSURE: Gauge Int "k8s.node.condition_disk_pressure" "" [] off;
    /// Whether the node is short of process IDs (1), is not (0), or nobody knows (-1); `k8s.node.condition` says it, too
    PID_PRESSURE: Gauge Int "k8s.node.condition_pid_pressure" "" [] off;
    /// Whether the node's network is not set up (1), is (0), or nobody knows (-1); `k8s.node.condition` says it, too
    NETWORK_UNAVAILABLE: Gauge Int "k8s.node.condition_network_unavailable" "" [] off;
    /// Whether a condition of the node holds (1), does not (0), or nobody knows (-1)
    CONDITION: Gauge Int "k8s.node.condition" "{condition}" ["condition"] on;
    /// CPUs that pods can have
    CPU: Gauge Double "k8s.node.allocatable_cpu" "{cpu}" [] on;
    /// Memory that pods can have
    MEMORY: Gauge Int "k8s.node.allocatable_memory" "By" [] on;
    /// Space on the node's own file systems that pods can have
    EPHEMERAL_STORAGE: Gauge Int "k8s.node.allocatable_ephemeral_storage" "By" [] on;
    /// Storage that pods can have, where the node tells of it
    STORAGE: Gauge Int "k8s.node.allocatable_storage" "By" [] on;
    /// Pods that the node can have
    PODS: Gauge Int "k8s.node.allocatable_pods" "{pod}" [] on;
    /// What pods can have of any other resource (`nvidia.com/gpu`, `hugepages-2Mi`, ..), in whole pieces or bytes
    ALLOCATABLE: Gauge Double "hawsepipe.k8s.node.allocatable" "{resource}" ["resource"] on;
    /// All that there is of a resource: CPUs, bytes, or whole pieces
    CAPACITY: Gauge Double "hawsepipe.k8s.node.capacity" "{resource}" ["resource"] on;
    /// Whether the node is cordoned (1): no new pods are scheduled to it
    UNSCHEDULABLE: Gauge Int "hawsepipe.k8s.node.unschedulable" "" [] on;
    /// A taint of the node: 1, and 0 once when it is taken away
    TAINT: Gauge Int "hawsepipe.k8s.node.taint" "{taint}" ["key", "value", "effect"] on;
    /// 1, with what runs on the node
    INFO: Gauge Int "hawsepipe.k8s.node.info" "" ["k8s.kubelet.version", "container.runtime.name", "container.runtime.version", "host.arch", "os.type", "os.description"] on;
    /// When the node was created, in seconds since the epoch
    CREATED: Gauge Int "hawsepipe.k8s.node.created" "s" [] on;
}

/// The nodes, with the taints that they had.
#[derive(Default)]
struct Nodes {
    taints: Held<Uid, Taint>,
}

impl Tell<Node> for Nodes {
    fn begin(&mut self, _store: &ObjectStore) {
        self.taints.begin();
    }

    fn tell(&mut self, node: &Node, out: &mut Points) {
        out.resource(about("k8s.node", &node.metadata), 0);
        let status = &node.status;
        for (metric, kind) in [
            (&READY, "Ready"),
            (&MEMORY_PRESSURE, "MemoryPressure"),
            (&DISK_PRESSURE, "DiskPressure"),
            (&PID_PRESSURE, "PIDPressure"),
            (&NETWORK_UNAVAILABLE, "NetworkUnavailable"),
        ] {
            out.metric(metric).push(holds(status.conditions.status(kind)), &[]);
        }
        conditions(out.metric(&CONDITION), &status.conditions);
        for (resource, amount) in status.allocatable.iter() {
            let own = match resource {
                "cpu" => Some(&CPU),
                "memory" => Some(&MEMORY),
                "ephemeral-storage" => Some(&EPHEMERAL_STORAGE),
                "storage" => Some(&STORAGE),
                "pods" => Some(&PODS),
                _ => None,
            };
            match own {
                Some(metric) => out.metric(metric).push(amount.units(), &[]),
                None => out.metric(&ALLOCATABLE).push(amount.units(), &[resource]),
            }
        }
        let mut capacity = out.metric(&CAPACITY);
        for (resource, amount) in status.capacity.iter() {
            capacity.push(amount.units(), &[resource]);
        }
        out.metric(&UNSCHEDULABLE).push(node.spec.unschedulable, &[]);
        let taints = node.spec.taints.iter().cloned();
        let mut series = out.metric(&TAINT);
        self.taints.tell(node.metadata.uid.clone(), taints, |taint, there| {
            series.push(there, &[&taint.key, &taint.value, &taint.effect]);
        });
        let info = &status.node_info;
        let runtime = info.container_runtime_version.as_str();
        let (runtime, version) = runtime.split_once("://").unwrap_or((runtime, ""));
        let (arch, os) = (&info.architecture, &info.operating_system);
        let values = [&info.kubelet_version, runtime, version, arch, os, &info.os_image];
        out.metric(&INFO).push(true, &values);
        moment(out.metric(&CREATED), node.metadata.created);
    }
}
