//! Service checks: of what people are alerted about, whether it is well, in one number.
//!
//! The rules stand in `agent/docs/SERVICE-CHECKS.md`; `tests/checks.rs` holds them to it.

use hawsepipe_cluster::objects::{
    ConditionStatus, DaemonSet, Deployment, Node, ObjectKind, StatefulSet,
};

use crate::collector::{Collect, CollectError, Collector, Need};
use crate::objects::{NAMESPACES, Teller, about};
use crate::points::Points;
use crate::settings::Options;
use crate::tick::Tick;

const NEEDS: &[Need] = &[
    Need::Objects(ObjectKind::Nodes),
    Need::Objects(ObjectKind::Deployments),
    Need::Objects(ObjectKind::StatefulSets),
    Need::Objects(ObjectKind::DaemonSets),
];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_checks",
    about: "Whether what people are alerted about is well, in one number: the API server, nodes, workloads. Each check stands \
            on the resource of its object. [SERVICE-CHECKS.md](SERVICE-CHECKS.md) has the rules. The name is ours",
    reads: &[
        "/api/v1/nodes",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/daemonsets",
    ],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Checks::new(options)),
};

metrics! {
    /// How the check came out: 0 ok, 1 warning, 2 critical, 3 unknown
    STATUS: Gauge Int "hawsepipe.service_check.status" "" ["hawsepipe.service_check.name"] on;
}

/// How a check came out, by the numbers that monitoring plugins exit with.
#[derive(Debug, Clone, Copy)]
enum Status {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

/// The checks of the cluster and of its objects.
struct Checks(Teller);

impl Checks {
    fn new(options: &Options) -> Self {
        let teller = Teller::new(NEEDS, options);
        Self(teller.of(node).of(deployment).of(stateful_set).of(daemon_set))
    }
}

impl Collect for Checks {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        if !self.more()
            && let Some(reachable) = tick.sources().api_server_reachable()
        {
            let status = if reachable { Status::Ok } else { Status::Critical };
            put(out, "k8s.api_server.reachable", status);
        }
        self.0.collect(tick, out)
    }

    fn more(&self) -> bool {
        self.0.more()
    }
}

fn put(out: &mut Points, name: &str, status: Status) {
    out.metric(&STATUS).push(status as u32, &[name]);
}

fn node(node: &Node, out: &mut Points) {
    out.resource(about("k8s.node", &node.metadata), 0);
    let conditions = &node.status.conditions;
    let ready = match conditions.status("Ready") {
        ConditionStatus::True => Status::Ok,
        ConditionStatus::False => Status::Critical,
        ConditionStatus::Unknown => Status::Unknown,
    };
    put(out, "k8s.node.ready", ready);
    for (name, kind) in [
        ("k8s.node.pressure.memory", "MemoryPressure"),
        ("k8s.node.pressure.disk", "DiskPressure"),
        ("k8s.node.pressure.pid", "PIDPressure"),
    ] {
        let status = match conditions.status(kind) {
            ConditionStatus::True => Status::Warning,
            ConditionStatus::False => Status::Ok,
            ConditionStatus::Unknown => Status::Unknown,
        };
        put(out, name, status);
    }
}

fn deployment(deployment: &Deployment, out: &mut Points) {
    let (spec, status) = (&deployment.spec, &deployment.status);
    let holds = |kind, status: ConditionStatus| {
        deployment.status.conditions.get(kind).is_some_and(|it| it.status == status)
    };
    let by_count = available(status.observed_generation, spec.replicas, status.available_replicas);
    // Fewer than the deployment's own strategy puts up with.
    let too_few = spec.replicas > 0 && holds("Available", ConditionStatus::False);
    let stuck = holds("Progressing", ConditionStatus::False)
        || holds("ReplicaFailure", ConditionStatus::True);
    let outcome = match by_count {
        Status::Ok | Status::Warning if too_few => Status::Critical,
        Status::Ok if stuck => Status::Warning,
        outcome => outcome,
    };
    out.resource(about("k8s.deployment", &deployment.metadata), 0);
    put(out, WORKLOAD, outcome);
}

fn stateful_set(set: &StatefulSet, out: &mut Points) {
    let status = &set.status;
    out.resource(about("k8s.statefulset", &set.metadata), 0);
    let available =
        available(status.observed_generation, set.spec.replicas, status.available_replicas);
    put(out, WORKLOAD, available);
}

fn daemon_set(set: &DaemonSet, out: &mut Points) {
    let status = &set.status;
    out.resource(about("k8s.daemonset", &set.metadata), 0);
    let (desired, is) = (status.desired_number_scheduled, status.number_available);
    put(out, WORKLOAD, available(status.observed_generation, desired, is));
}

const WORKLOAD: &str = "k8s.workload.available";

/// Of a workload: how many of its pods there are to be, and are available. What its controller has not seen yet has no state.
fn available(observed_generation: i64, desired: i32, available: i32) -> Status {
    match (observed_generation, desired, available) {
        (0, _, _) => Status::Unknown,
        (_, desired, available) if available >= desired => Status::Ok,
        (_, _, 0) => Status::Critical,
        _ => Status::Warning,
    }
}
