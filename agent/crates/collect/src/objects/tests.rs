//! State that changes from tick to tick, and what goes out of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::collector::find;
use crate::reading::as_f64;
use crate::round::Body;
use crate::settings::Choice;
use crate::tick::Sources;

/// A collector over a cluster that changes.
struct Rig {
    store: Arc<ObjectStore>,
    sources: Arc<Sources>,
    choice: Choice,
    body: Body,
}

impl Rig {
    fn new(collector: &str) -> Self {
        let choice = Choice::of(find(collector).unwrap(), Duration::from_secs(15));
        let store = Arc::new(ObjectStore::new());
        let uid = Arc::new(OnceLock::from("cluster-1".to_owned()));
        let sources = Arc::new(Sources::of_cluster(Arc::clone(&store), uid));
        let body = Body::new(&choice);
        Self { store, sources, choice, body }
    }

    /// The values of a metric in a tick in which these are all objects of the kind, by the values of the attributes.
    fn tick(&mut self, kind: ObjectKind, all: &[Value], metric: &str) -> BTreeMap<String, f64> {
        self.store.replace_json(kind, all).unwrap();
        let tick = Tick::new(Arc::clone(&self.sources));
        let mut told = BTreeMap::new();
        loop {
            // A kind that nobody listed is missed, and that is not what this is about.
            drop(self.body.read(&self.choice, &tick));
            for point in self.body.points.iter().filter(|point| point.metric.name == metric) {
                let values: Vec<_> = point.attributes().map(|(_, value)| value).collect();
                told.insert(values.join(","), as_f64(point.value));
            }
            if !self.body.more() {
                return told;
            }
        }
    }
}

fn map(series: &[(&str, f64)]) -> BTreeMap<String, f64> {
    series.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

fn pod(state: &Value) -> Value {
    json!({
        "metadata": {"name": "a", "namespace": "b", "uid": "c"},
        "spec": {"containers": [{"name": "d"}]},
        "status": {"containerStatuses": [{"name": "d", "state": state}]},
    })
}

#[test]
fn the_reason_that_a_container_had_ends_with_a_zero() {
    let mut rig = Rig::new("cluster_pods");
    let mut reasons =
        |state: Value| rig.tick(ObjectKind::Pods, &[pod(&state)], "k8s.container.status.reason");
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    assert_eq!(reasons(waiting("CrashLoopBackOff")), map(&[("CrashLoopBackOff", 1.0)]));
    assert_eq!(
        reasons(waiting("ErrImagePull")),
        map(&[("CrashLoopBackOff", 0.0), ("ErrImagePull", 1.0)])
    );
    assert_eq!(reasons(json!({"running": {}})), map(&[("ErrImagePull", 0.0)]));
    assert_eq!(reasons(json!({"running": {}})), map(&[]));
}

#[test]
fn a_taint_that_is_taken_away_ends_with_a_zero() {
    let mut rig = Rig::new("cluster_nodes");
    let node =
        |taints: Value| json!({"metadata": {"name": "a", "uid": "b"}, "spec": {"taints": taints}});
    let mut taints =
        |taints: Value| rig.tick(ObjectKind::Nodes, &[node(taints)], "hawsepipe.k8s.node.taint");
    let one = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
    assert_eq!(taints(one), map(&[("k,v,NoSchedule", 1.0)]));
    assert_eq!(taints(json!([])), map(&[("k,v,NoSchedule", 0.0)]));
    assert_eq!(taints(json!([])), map(&[]));
}

#[test]
fn a_namespace_without_replica_sets_any_more_is_told_of_once() {
    let mut rig = Rig::new("cluster_workloads");
    let set = json!({"metadata": {"name": "a", "namespace": "b", "uid": "c"}});
    let mut count =
        |all: &[Value]| rig.tick(ObjectKind::ReplicaSets, all, "hawsepipe.k8s.replicaset.count");
    assert_eq!(count(&[set]), map(&[("", 1.0)]));
    assert_eq!(count(&[]), map(&[("", 0.0)]));
    assert_eq!(count(&[]), map(&[]));
}

#[test]
fn what_is_deleted_is_told_of_no_more() {
    let mut rig = Rig::new("cluster_pods");
    let running = pod(&json!({"running": {}}));
    assert_eq!(rig.tick(ObjectKind::Pods, &[running], "k8s.pod.phase").len(), 1);
    assert_eq!(rig.tick(ObjectKind::Pods, &[], "k8s.pod.phase"), map(&[]));
}
