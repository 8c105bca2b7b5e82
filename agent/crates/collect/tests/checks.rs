//! The rules of the service checks, as `agent/docs/SERVICE-CHECKS.md` has them.

#![allow(clippy::unwrap_used, reason = "a test may, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::objects::{ObjectKind, ObjectStore};
use hawsepipe_collect::reading::{as_f64, read};
use hawsepipe_collect::{Choice, Sources, find};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/SERVICE-CHECKS.md");

const KINDS: [ObjectKind; 4] =
    [ObjectKind::Nodes, ObjectKind::Deployments, ObjectKind::StatefulSets, ObjectKind::DaemonSets];

/// The checks of a cluster with this object alone.
fn checks(kind: ObjectKind, object: &Value, reachable: Option<bool>) -> BTreeMap<String, u32> {
    let store = Arc::new(ObjectStore::new());
    for kind in KINDS {
        store.replace_json(kind, &[]).unwrap();
    }
    let mut object = object.clone();
    object["metadata"]["name"] = "a".into();
    object["metadata"]["uid"] = "b".into();
    store.replace_json(kind, &[object]).unwrap();
    let sources = Sources::of_cluster(store, Arc::default());
    let sources = match reachable {
        Some(reachable) => sources.with_api_server(move || reachable),
        None => sources,
    };
    let choice = Choice::of(find("cluster_checks").unwrap(), Duration::from_secs(15));
    let reading = read(sources, &[choice], Duration::ZERO).remove(0);
    assert!(reading.problem.is_none(), "{:?}", reading.problem);
    let points = reading.points.into_iter();
    points.map(|point| (point.attributes[0].1.clone(), as_f64(point.value) as u32)).collect()
}

fn conditions(all: &[(&str, &str)]) -> Value {
    all.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect()
}

#[test]
fn a_node_is_as_its_conditions_say() {
    for (ready, pressure, expected) in [
        ("True", "False", [0, 0]),
        ("False", "True", [2, 1]),
        ("Unknown", "Unknown", [3, 3]),
        ("", "", [3, 3]),
    ] {
        let mut all = vec![("Ready", ready)];
        let pressures = [
            ("k8s.node.pressure.memory", "MemoryPressure"),
            ("k8s.node.pressure.disk", "DiskPressure"),
            ("k8s.node.pressure.pid", "PIDPressure"),
        ];
        all.extend(pressures.map(|(_, kind)| (kind, pressure)));
        all.retain(|(_, status)| !status.is_empty());
        let node =
            json!({"spec": {"unschedulable": true}, "status": {"conditions": conditions(&all)}});
        let checks = checks(ObjectKind::Nodes, &node, None);
        assert_eq!(checks["k8s.node.ready"], expected[0], "{ready}");
        for (name, _) in pressures {
            assert_eq!(checks[name], expected[1], "{name} {pressure}");
        }
        assert_eq!(checks.len(), 4);
    }
}

#[test]
fn a_pressure_is_that_of_its_own_condition() {
    let all = conditions(&[
        ("MemoryPressure", "False"),
        ("DiskPressure", "True"),
        ("PIDPressure", "False"),
    ]);
    let checks = checks(ObjectKind::Nodes, &json!({"status": {"conditions": all}}), None);
    let of = |name: &str| checks[&format!("k8s.node.pressure.{name}")];
    assert_eq!((of("memory"), of("disk"), of("pid")), (0, 1, 0));
}

#[test]
fn a_workload_is_as_available_as_its_pods() {
    // Seen, to be, available, status.
    for (seen, desired, available, expected) in
        [(1, 3, 3, 0), (1, 3, 4, 0), (1, 0, 0, 0), (1, 3, 2, 1), (1, 3, 0, 2), (0, 3, 0, 3)]
    {
        let said = format!("{seen} {desired} {available}");
        let replicated = json!({
            "spec": {"replicas": desired},
            "status": {"observedGeneration": seen, "availableReplicas": available},
        });
        let daemons = json!({"status": {
            "observedGeneration": seen, "desiredNumberScheduled": desired, "numberAvailable": available,
        }});
        for (kind, object) in [
            (ObjectKind::Deployments, &replicated),
            (ObjectKind::StatefulSets, &replicated),
            (ObjectKind::DaemonSets, &daemons),
        ] {
            let checks = checks(kind, object, None);
            let expected = BTreeMap::from([("k8s.workload.available".to_owned(), expected)]);
            assert_eq!(checks, expected, "{kind:?}: {said}");
        }
    }
}

#[test]
fn a_deployments_own_conditions_count() {
    // To be, available, conditions, status.
    for (desired, available, all, expected) in [
        (4, 3, &[("Available", "True")][..], 1),
        (4, 3, &[("Available", "False")], 2),
        (4, 4, &[("Available", "True"), ("Progressing", "False")], 1),
        (4, 4, &[("Available", "True"), ("Progressing", "True")], 0),
        (4, 4, &[("Available", "True"), ("Progressing", "Unknown")], 0),
        (4, 4, &[("ReplicaFailure", "True")], 1),
        (4, 0, &[("ReplicaFailure", "True")], 2),
        (0, 0, &[("Available", "False")], 0),
    ] {
        let deployment = json!({
            "spec": {"replicas": desired},
            "status": {
                "observedGeneration": 1, "availableReplicas": available, "conditions": conditions(all),
            },
        });
        let checks = checks(ObjectKind::Deployments, &deployment, None);
        assert_eq!(checks["k8s.workload.available"], expected, "{desired} {available} {all:?}");
    }
}

#[test]
fn the_api_server_is_told_of_where_somebody_knows() {
    let node = json!({});
    let of =
        |reachable| checks(ObjectKind::Nodes, &node, reachable).remove("k8s.api_server.reachable");
    assert_eq!(of(Some(true)), Some(0));
    assert_eq!(of(Some(false)), Some(2));
    assert_eq!(of(None), None);
}

#[test]
fn the_page_has_every_check_and_no_other() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let written: BTreeSet<_> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    let mut told = BTreeSet::new();
    for kind in KINDS {
        told.extend(checks(kind, &json!({}), Some(true)).into_keys());
    }
    assert_eq!(written, told);
}
