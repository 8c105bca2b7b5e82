//! The namespaces of the cluster, and what they may have.

use hawsepipe_cluster::objects::{Namespace, NamespacePhase, ObjectKind, ResourceQuota};

use crate::collector::{Collector, Need};
use crate::objects::{NAMESPACES, Teller, about, conditions, moment};
use crate::points::Points;

const NEEDS: &[Need] =
    &[Need::Objects(ObjectKind::Namespaces), Need::Objects(ObjectKind::ResourceQuotas)];

pub(crate) static COLLECTOR: Collector = Collector {
    name: "cluster_namespaces",
    about: "The namespaces of the cluster and their quotas. Each is a resource. Names that do not begin with \
            `hawsepipe.` are those of the Collector's k8s_cluster receiver",
    reads: &["/api/v1/namespaces", "/api/v1/resourcequotas"],
    needs: NEEDS,
    default: true,
    metrics: METRICS,
    selects: Some(NAMESPACES),
    top: None,
    new: |options| Box::new(Teller::new(NEEDS, options).of(namespace).of(quota)),
};

metrics! {
    /// Whether the namespace is in use (1) or being deleted (0)
    PHASE: Gauge Int "k8s.namespace.phase" "" [] on;
    /// Whether a condition of the namespace holds (1), does not (0), or nobody knows (-1); it has some only while it is being deleted
    CONDITION: Gauge Int "hawsepipe.k8s.namespace.condition" "{condition}" ["condition"] on;
    /// When the namespace was created, in seconds since the epoch
    CREATED: Gauge Int "hawsepipe.k8s.namespace.created" "s" [] on;
    /// The most that the namespace may have of a resource; of `requests.cpu` and `limits.cpu` in thousandths of a CPU, as the Collector has it
    HARD: Gauge Int "k8s.resource_quota.hard_limit" "{resource}" ["resource"] on;
    /// What the namespace has of a resource; of `requests.cpu` and `limits.cpu` in thousandths of a CPU, as the Collector has it
    USED: Gauge Int "k8s.resource_quota.used" "{resource}" ["resource"] on;
}

fn namespace(namespace: &Namespace, out: &mut Points) {
    out.resource(about("k8s.namespace", &namespace.metadata), 0);
    let phase = match namespace.status.phase {
        NamespacePhase::Active => Some(true),
        NamespacePhase::Terminating => Some(false),
        NamespacePhase::Unspecified => None,
    };
    out.metric(&PHASE).maybe(phase, &[]);
    conditions(out.metric(&CONDITION), &namespace.status.conditions);
    moment(out.metric(&CREATED), namespace.metadata.created);
}

fn quota(quota: &ResourceQuota, out: &mut Points) {
    out.resource(about("k8s.resourcequota", &quota.metadata), 0);
    for (metric, amounts) in [(&HARD, &quota.status.hard), (&USED, &quota.status.used)] {
        let mut series = out.metric(metric);
        for (resource, amount) in amounts.iter() {
            if resource.ends_with(".cpu") {
                series.push(amount.units() * 1000.0, &[resource]);
            } else {
                series.push(amount.whole(), &[resource]);
            }
        }
    }
}
