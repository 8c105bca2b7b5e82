//! The workloads of the cluster that run for ever, and what scales them.

use std::collections::BTreeMap;

use hawsepipe_cluster::objects::{
    DaemonSet, Deployment, HorizontalPodAutoscaler, ObjectKind, ObjectStore, ReplicaSet,
    ReplicationController, StatefulSet, Text,
};
use hawsepipe_model::Attributes;

use crate::collector::{Collector, Need};
use crate::objects::{NAMESPACES, Tell, Teller, about, conditions};
use crate::points::Points;

const NEEDS: &[Need] = &[
    Need::Objects(ObjectKind::Deployments),
    Need::Objects(ObjectKind::StatefulSets),
    Need::Objects(ObjectKind::DaemonSets),
    Need::Objects(ObjectKind::ReplicaSets),
    Need::Objects(ObjectKind::ReplicationControllers),
    Need::Objects(ObjectKind::HorizontalPodAutoscalers),
];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_workloads",
    about: "Deployments, stateful sets, daemon sets, replication controllers and horizontal pod autoscalers, each of \
            which is a resource, and how many replica sets each namespace has. Of replica sets only the metadata is \
            followed, because there are many: `k8s.replicaset.desired` and `k8s.replicaset.available` of the \
            Collector's k8s_cluster receiver are not told. Other names that do not begin with `hawsepipe.` are that \
            receiver's",
    reads: &[
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/daemonsets",
        "/apis/apps/v1/replicasets",
        "/api/v1/replicationcontrollers",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
    ],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| {
        let teller = Teller::new(NEEDS, options).of(deployment).of(stateful_set).of(daemon_set);
        Box::new(teller.of(ReplicaSets::default()).of(replication_controller).of(autoscaler))
    },
};

metrics! {
    /// Pods that the deployment is to have
    DEPLOYMENT_DESIRED: Gauge Int "k8s.deployment.desired" "{pod}" [] on;
    /// Pods of the deployment that have been ready for `minReadySeconds`
    DEPLOYMENT_AVAILABLE: Gauge Int "k8s.deployment.available" "{pod}" [] on;
    /// Pods that the deployment has
    DEPLOYMENT_CURRENT: Gauge Int "hawsepipe.k8s.deployment.current" "{pod}" [] on;
    /// Pods of the deployment that are ready
    DEPLOYMENT_READY: Gauge Int "hawsepipe.k8s.deployment.ready" "{pod}" [] on;
    /// Pods of the deployment's newest template
    DEPLOYMENT_UPDATED: Gauge Int "hawsepipe.k8s.deployment.updated" "{pod}" [] on;
    /// Pods that are missing until all of the deployment are available
    DEPLOYMENT_UNAVAILABLE: Gauge Int "hawsepipe.k8s.deployment.unavailable" "{pod}" [] on;
    /// Whether the deployment is paused (1): no roll-out begins or goes on
    DEPLOYMENT_PAUSED: Gauge Int "hawsepipe.k8s.deployment.paused" "" [] on;
    /// Version of the deployment's spec
    DEPLOYMENT_GENERATION: Gauge Int "hawsepipe.k8s.deployment.generation" "" [] on;
    /// Version of the spec that the deployment's status is about; lower than the other while a change is not seen
    DEPLOYMENT_OBSERVED: Gauge Int "hawsepipe.k8s.deployment.observed_generation" "" [] on;
    /// Whether a condition of the deployment holds (1), does not (0), or nobody knows (-1): `Available`, `Progressing`, `ReplicaFailure`
    DEPLOYMENT_CONDITION: Gauge Int "hawsepipe.k8s.deployment.condition" "{condition}" ["condition"] on;
    /// Pods that the stateful set is to have
    STATEFUL_SET_DESIRED: Gauge Int "k8s.statefulset.desired_pods" "{pod}" [] on;
    /// Pods of the stateful set that are ready
    STATEFUL_SET_READY: Gauge Int "k8s.statefulset.ready_pods" "{pod}" [] on;
    /// Pods of the stateful set's revision before the newest
    STATEFUL_SET_CURRENT: Gauge Int "k8s.statefulset.current_pods" "{pod}" [] on;
    /// Pods of the stateful set's newest revision
    STATEFUL_SET_UPDATED: Gauge Int "k8s.statefulset.updated_pods" "{pod}" [] on;
    /// Pods of the stateful set that have been ready for `minReadySeconds`
    STATEFUL_SET_AVAILABLE: Gauge Int "hawsepipe.k8s.statefulset.available_pods" "{pod}" [] on;
    /// Pods that the stateful set has
    STATEFUL_SET_PODS: Gauge Int "hawsepipe.k8s.statefulset.pods" "{pod}" [] on;
    /// Version of the stateful set's spec
    STATEFUL_SET_GENERATION: Gauge Int "hawsepipe.k8s.statefulset.generation" "" [] on;
    /// Version of the spec that the stateful set's status is about; lower than the other while a change is not seen
    STATEFUL_SET_OBSERVED: Gauge Int "hawsepipe.k8s.statefulset.observed_generation" "" [] on;
    /// Nodes that are to have the daemon set's pod
    DAEMON_SET_DESIRED: Gauge Int "k8s.daemonset.desired_scheduled_nodes" "{node}" [] on;
    /// Nodes that are to have the daemon set's pod and have it
    DAEMON_SET_CURRENT: Gauge Int "k8s.daemonset.current_scheduled_nodes" "{node}" [] on;
    /// Nodes that have the daemon set's pod and are not to
    DAEMON_SET_MISSCHEDULED: Gauge Int "k8s.daemonset.misscheduled_nodes" "{node}" [] on;
    /// Nodes where the daemon set's pod is ready
    DAEMON_SET_READY: Gauge Int "k8s.daemonset.ready_nodes" "{node}" [] on;
    /// Nodes where the daemon set's pod is of the newest template
    DAEMON_SET_UPDATED: Gauge Int "hawsepipe.k8s.daemonset.updated_nodes" "{node}" [] on;
    /// Nodes where the daemon set's pod has been ready for `minReadySeconds`
    DAEMON_SET_AVAILABLE: Gauge Int "hawsepipe.k8s.daemonset.available_nodes" "{node}" [] on;
    /// Nodes where the daemon set's pod is to be and is not available
    DAEMON_SET_UNAVAILABLE: Gauge Int "hawsepipe.k8s.daemonset.unavailable_nodes" "{node}" [] on;
    /// Version of the daemon set's spec
    DAEMON_SET_GENERATION: Gauge Int "hawsepipe.k8s.daemonset.generation" "" [] on;
    /// Version of the spec that the daemon set's status is about; lower than the other while a change is not seen
    DAEMON_SET_OBSERVED: Gauge Int "hawsepipe.k8s.daemonset.observed_generation" "" [] on;
    /// Replica sets of the namespace, those of former roll-outs among them
    REPLICA_SETS: Gauge Int "hawsepipe.k8s.replicaset.count" "{replicaset}" [] on;
    /// Pods that the replication controller is to have
    CONTROLLER_DESIRED: Gauge Int "k8s.replication_controller.desired" "{pod}" [] on;
    /// Pods of the replication controller that have been ready for `minReadySeconds`
    CONTROLLER_AVAILABLE: Gauge Int "k8s.replication_controller.available" "{pod}" [] on;
    /// The fewest pods that the autoscaler makes
    AUTOSCALER_MIN: Gauge Int "k8s.hpa.min_replicas" "{pod}" [] on;
    /// The most pods that the autoscaler makes
    AUTOSCALER_MAX: Gauge Int "k8s.hpa.max_replicas" "{pod}" [] on;
    /// Pods that there are of what the autoscaler scales
    AUTOSCALER_CURRENT: Gauge Int "k8s.hpa.current_replicas" "{pod}" [] on;
    /// Pods that the autoscaler wants
    AUTOSCALER_DESIRED: Gauge Int "k8s.hpa.desired_replicas" "{pod}" [] on;
    /// Whether a condition of the autoscaler holds (1), does not (0), or nobody knows (-1): `AbleToScale`, `ScalingActive`, `ScalingLimited`
    AUTOSCALER_CONDITION: Gauge Int "hawsepipe.k8s.hpa.condition" "{condition}" ["condition"] on;
}

fn deployment(deployment: &Deployment, out: &mut Points) {
    let (metadata, spec, status) = (&deployment.metadata, &deployment.spec, &deployment.status);
    out.resource(about("k8s.deployment", metadata), 0);
    out.metric(&DEPLOYMENT_DESIRED).push(spec.replicas, &[]);
    out.metric(&DEPLOYMENT_AVAILABLE).push(status.available_replicas, &[]);
    out.metric(&DEPLOYMENT_CURRENT).push(status.replicas, &[]);
    out.metric(&DEPLOYMENT_READY).push(status.ready_replicas, &[]);
    out.metric(&DEPLOYMENT_UPDATED).push(status.updated_replicas, &[]);
    out.metric(&DEPLOYMENT_UNAVAILABLE).push(status.unavailable_replicas, &[]);
    out.metric(&DEPLOYMENT_PAUSED).push(spec.paused, &[]);
    out.metric(&DEPLOYMENT_GENERATION).push(metadata.generation, &[]);
    out.metric(&DEPLOYMENT_OBSERVED).push(status.observed_generation, &[]);
    conditions(out.metric(&DEPLOYMENT_CONDITION), &status.conditions);
}

fn stateful_set(set: &StatefulSet, out: &mut Points) {
    let (metadata, status) = (&set.metadata, &set.status);
    out.resource(about("k8s.statefulset", metadata), 0);
    out.metric(&STATEFUL_SET_DESIRED).push(set.spec.replicas, &[]);
    out.metric(&STATEFUL_SET_READY).push(status.ready_replicas, &[]);
    out.metric(&STATEFUL_SET_CURRENT).push(status.current_replicas, &[]);
    out.metric(&STATEFUL_SET_UPDATED).push(status.updated_replicas, &[]);
    out.metric(&STATEFUL_SET_AVAILABLE).push(status.available_replicas, &[]);
    out.metric(&STATEFUL_SET_PODS).push(status.replicas, &[]);
    out.metric(&STATEFUL_SET_GENERATION).push(metadata.generation, &[]);
    out.metric(&STATEFUL_SET_OBSERVED).push(status.observed_generation, &[]);
}

fn daemon_set(set: &DaemonSet, out: &mut Points) {
    let (metadata, status) = (&set.metadata, &set.status);
    out.resource(about("k8s.daemonset", metadata), 0);
    out.metric(&DAEMON_SET_DESIRED).push(status.desired_number_scheduled, &[]);
    out.metric(&DAEMON_SET_CURRENT).push(status.current_number_scheduled, &[]);
    out.metric(&DAEMON_SET_MISSCHEDULED).push(status.number_misscheduled, &[]);
    out.metric(&DAEMON_SET_READY).push(status.number_ready, &[]);
    out.metric(&DAEMON_SET_UPDATED).push(status.updated_number_scheduled, &[]);
    out.metric(&DAEMON_SET_AVAILABLE).push(status.number_available, &[]);
    out.metric(&DAEMON_SET_UNAVAILABLE).push(status.number_unavailable, &[]);
    out.metric(&DAEMON_SET_GENERATION).push(metadata.generation, &[]);
    out.metric(&DAEMON_SET_OBSERVED).push(status.observed_generation, &[]);
}

/// How many replica sets each namespace has, and had in the tick before.
#[derive(Default)]
struct ReplicaSets {
    counts: BTreeMap<Text, u64>,
}

impl Tell<ReplicaSet> for ReplicaSets {
    fn begin(&mut self, _store: &ObjectStore) {
        // A namespace that had some and has none is told of once.
        self.counts.retain(|_, count| *count > 0);
        self.counts.values_mut().for_each(|count| *count = 0);
    }

    fn tell(&mut self, set: &ReplicaSet, _out: &mut Points) {
        *self.counts.entry(set.metadata.namespace.clone()).or_default() += 1;
    }

    fn end(&mut self, out: &mut Points) {
        for (namespace, count) in &self.counts {
            let mut attributes = Attributes::new();
            attributes.set("k8s.namespace.name", namespace.as_str());
            out.resource(attributes, 0);
            out.metric(&REPLICA_SETS).push(*count, &[]);
        }
    }
}

fn replication_controller(controller: &ReplicationController, out: &mut Points) {
    out.resource(about("k8s.replicationcontroller", &controller.metadata), 0);
    out.metric(&CONTROLLER_DESIRED).push(controller.spec.replicas, &[]);
    out.metric(&CONTROLLER_AVAILABLE).push(controller.status.available_replicas, &[]);
}

fn autoscaler(autoscaler: &HorizontalPodAutoscaler, out: &mut Points) {
    let (spec, status) = (&autoscaler.spec, &autoscaler.status);
    out.resource(about("k8s.hpa", &autoscaler.metadata), 0);
    out.metric(&AUTOSCALER_MIN).push(spec.min_replicas.unwrap_or(1), &[]);
    out.metric(&AUTOSCALER_MAX).push(spec.max_replicas, &[]);
    out.metric(&AUTOSCALER_CURRENT).push(status.current_replicas, &[]);
    out.metric(&AUTOSCALER_DESIRED).push(status.desired_replicas, &[]);
    conditions(out.metric(&AUTOSCALER_CONDITION), &status.conditions);
}
