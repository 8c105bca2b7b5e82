//! The pods of the cluster and their containers, as the API server has them.

use hawsepipe_cluster::ImageRef;
use hawsepipe_cluster::objects::{
    Container, ContainerState, ContainerStatus, ObjectKind, ObjectStore, Pod, PodPhase,
    RestartPolicy, Text, Uid,
};
use hawsepipe_model::Attributes;

use crate::collector::{Collector, Need};
use crate::objects::{Held, NAMESPACES, Tell, Teller, about, conditions, moment, states};
use crate::points::Points;

const NEEDS: &[Need] = &[Need::Objects(ObjectKind::Pods)];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_pods",
    about: "The pods of the cluster and their containers, as the API server has them. Each pod and each container is a \
            resource. Init containers have `hawsepipe.k8s.container.type` there: `init`, whose requests and limits are \
            not told (they add up with no others), or `sidecar`. Names that do not begin with `hawsepipe.` are those \
            of the Collector's k8s_cluster receiver; states and reasons, which are off there, are on",
    reads: &["/api/v1/pods"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(Pods::default())),
};

metrics! {
    /// Where the pod is in its life: 1 pending, 2 running, 3 succeeded, 4 failed, 5 unknown
    PHASE: Gauge Int "k8s.pod.phase" "" [] on;
    /// Why the pod is as it is, where it says so: 1 `Evicted`, 2 `NodeAffinity`, 3 `NodeLost`, 4 `Shutdown`, 5 `UnexpectedAdmissionError`, 6 anything else
    STATUS_REASON: Gauge Int "k8s.pod.status_reason" "" [] on;
    /// Whether a condition of the pod holds (1), does not (0), or nobody knows (-1): `Ready`, `PodScheduled`, `Initialized`, and the like
    CONDITION: Gauge Int "hawsepipe.k8s.pod.condition" "{condition}" ["condition"] on;
    /// When the pod was created, in seconds since the epoch
    CREATED: Gauge Int "hawsepipe.k8s.pod.created" "s" [] on;
    /// When the kubelet took the pod, in seconds since the epoch
    STARTED: Gauge Int "hawsepipe.k8s.pod.started" "s" [] on;
    /// Of a pod that is being deleted: when its grace period ends, in seconds since the epoch
    DELETED: Gauge Int "hawsepipe.k8s.pod.deleted" "s" [] on;
    /// CPUs that the container is sure of; none where it asks for none
    CPU_REQUEST: Gauge Double "k8s.container.cpu_request" "{cpu}" [] on;
    /// CPUs that the container may use; none where it has no limit
    CPU_LIMIT: Gauge Double "k8s.container.cpu_limit" "{cpu}" [] on;
    /// Memory that the container is sure of
    MEMORY_REQUEST: Gauge Int "k8s.container.memory_request" "By" [] on;
    /// Memory that the container may use
    MEMORY_LIMIT: Gauge Int "k8s.container.memory_limit" "By" [] on;
    /// Storage that the container is sure of
    STORAGE_REQUEST: Gauge Int "k8s.container.storage_request" "By" [] on;
    /// Storage that the container may use
    STORAGE_LIMIT: Gauge Int "k8s.container.storage_limit" "By" [] on;
    /// Space on the node's own file systems that the container is sure of
    EPHEMERAL_REQUEST: Gauge Int "k8s.container.ephemeralstorage_request" "By" [] on;
    /// Space on the node's own file systems that the container may use
    EPHEMERAL_LIMIT: Gauge Int "k8s.container.ephemeralstorage_limit" "By" [] on;
    /// Whether the container passes its readiness probe (1)
    READY: Gauge Int "k8s.container.ready" "" [] on;
    /// How often the container was started again; off, because the collector `container` tells it on each node
    RESTARTS: Gauge Int "k8s.container.restarts" "{restart}" [] off;
    /// What the container does: 1 for the state that it is in, 0 for the others
    STATE: UpDownCounter Int "k8s.container.status.state" "{container}" ["k8s.container.status.state"] on;
    /// Why the container waits or has ended: 1 for the reason, 0 once for the one that it had before
    REASON: UpDownCounter Int "k8s.container.status.reason" "{container}" ["k8s.container.status.reason"] on;
    /// When the container began to run, in seconds since the epoch; none while it does not
    CONTAINER_STARTED: Gauge Int "hawsepipe.k8s.container.started" "s" [] on;
    /// Why the run before has ended (`OOMKilled`, `Error`, ..): 1 for the reason, 0 once for the one that it had before
    LAST_REASON: Gauge Int "hawsepipe.k8s.container.last_terminated.reason" "{container}" ["k8s.container.status.reason"] on;
    /// Exit code of the run before
    LAST_EXIT_CODE: Gauge Int "hawsepipe.k8s.container.last_terminated.exit_code" "" [] on;
    /// When the run before has ended, in seconds since the epoch
    LAST_FINISHED: Gauge Int "hawsepipe.k8s.container.last_terminated.finished" "s" [] on;
}

/// A container of a pod, by its name.
type Of = (Uid, Text);

/// The pods, with the reasons that their containers had.
#[derive(Default)]
struct Pods {
    reasons: Held<Of, Text>,
    last_reasons: Held<Of, Text>,
}

impl Tell<Pod> for Pods {
    fn begin(&mut self, _store: &ObjectStore) {
        self.reasons.begin();
        self.last_reasons.begin();
    }

    fn tell(&mut self, pod: &Pod, out: &mut Points) {
        let mut attributes = about("k8s.pod", &pod.metadata);
        attributes.set("k8s.node.name", pod.spec.node_name.as_str());
        out.resource(attributes.clone(), 0);
        out.metric(&PHASE).push(phase(pod.status.phase), &[]);
        out.metric(&STATUS_REASON).maybe(reason(&pod.status.reason), &[]);
        conditions(out.metric(&CONDITION), &pod.status.conditions);
        moment(out.metric(&CREATED), pod.metadata.created);
        moment(out.metric(&STARTED), pod.status.start_time);
        moment(out.metric(&DELETED), pod.metadata.deleted);
        for container in pod.spec.containers.iter() {
            let status = named(&pod.status.container_statuses, &container.name);
            out.resource(of_container(&attributes, container, status), 0);
            amounts(container, out);
            self.status(pod, status, out);
        }
        for container in pod.spec.init_containers.iter() {
            let status = named(&pod.status.init_container_statuses, &container.name);
            let mut attributes = of_container(&attributes, container, status);
            let sidecar = container.restart_policy == RestartPolicy::Always;
            attributes
                .set("hawsepipe.k8s.container.type", if sidecar { "sidecar" } else { "init" });
            out.resource(attributes, 0);
            if sidecar {
                amounts(container, out);
            }
            self.status(pod, status, out);
        }
    }
}

impl Pods {
    fn status(&mut self, pod: &Pod, status: Option<&ContainerStatus>, out: &mut Points) {
        let Some(status) = status else { return };
        out.metric(&READY).push(status.ready, &[]);
        out.metric(&RESTARTS).push(status.restart_count, &[]);
        let all = ["terminated", "running", "waiting"];
        states(out.metric(&STATE), all, status.state.as_str());
        if let ContainerState::Running { started_at } = status.state {
            moment(out.metric(&CONTAINER_STARTED), started_at);
        }
        let of = || (pod.metadata.uid.clone(), status.name.clone());
        let said = |reason: &Text| Some(reason.clone()).filter(|reason| !reason.is_empty());
        let reason = match &status.state {
            ContainerState::Waiting { reason } => said(reason),
            ContainerState::Running { .. } => None,
            ContainerState::Terminated(run) => said(&run.reason),
        };
        let mut series = out.metric(&REASON);
        self.reasons.tell(of(), reason, |reason, holds| series.push(holds, &[reason]));
        let last = status.last_terminated.as_deref();
        let reason = last.and_then(|run| said(&run.reason));
        let mut series = out.metric(&LAST_REASON);
        self.last_reasons.tell(of(), reason, |reason, holds| series.push(holds, &[reason]));
        out.metric(&LAST_EXIT_CODE).maybe(last.map(|run| run.exit_code), &[]);
        moment(out.metric(&LAST_FINISHED), last.and_then(|run| run.finished_at));
    }
}

fn named<'a>(all: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    all.iter().find(|status| status.name == *name)
}

fn of_container(
    pod: &Attributes,
    container: &Container,
    status: Option<&ContainerStatus>,
) -> Attributes {
    let mut attributes = pod.clone();
    attributes.set("k8s.container.name", container.name.as_str());
    let image = ImageRef::parse(&container.image);
    attributes.set("container.image.name", image.name);
    attributes.set("container.image.tag", image.effective_tag().unwrap_or_default());
    if let Some(status) = status.filter(|status| !status.container_id.is_empty()) {
        attributes.set("container.id", status.container_id.to_string());
    }
    attributes
}

fn amounts(container: &Container, out: &mut Points) {
    let (requests, limits) = (&container.resources.requests, &container.resources.limits);
    for (metric, amounts, resource) in [
        (&CPU_REQUEST, requests, "cpu"),
        (&CPU_LIMIT, limits, "cpu"),
        (&MEMORY_REQUEST, requests, "memory"),
        (&MEMORY_LIMIT, limits, "memory"),
        (&STORAGE_REQUEST, requests, "storage"),
        (&STORAGE_LIMIT, limits, "storage"),
        (&EPHEMERAL_REQUEST, requests, "ephemeral-storage"),
        (&EPHEMERAL_LIMIT, limits, "ephemeral-storage"),
    ] {
        let amount = amounts.get(resource);
        if resource == "cpu" {
            out.metric(metric).maybe(amount.map(|it| it.units()), &[]);
        } else {
            out.metric(metric).maybe(amount.map(|it| it.whole()), &[]);
        }
    }
}

/// `phaseToInt` of the k8s_cluster receiver.
fn phase(phase: PodPhase) -> u32 {
    match phase {
        PodPhase::Pending => 1,
        PodPhase::Running => 2,
        PodPhase::Succeeded => 3,
        PodPhase::Failed => 4,
        PodPhase::Unknown => 5,
    }
}

/// `reasonToInt` of the k8s_cluster receiver, which tells 6 also of pods that give no reason.
fn reason(reason: &str) -> Option<u32> {
    match reason {
        "" => None,
        "Evicted" => Some(1),
        "NodeAffinity" => Some(2),
        "NodeLost" => Some(3),
        "Shutdown" => Some(4),
        "UnexpectedAdmissionError" => Some(5),
        _ => Some(6),
    }
}
