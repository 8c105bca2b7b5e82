//! The collectors of the cluster over recorded objects.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hawsepipe_cluster::objects::{ObjectKind, ObjectStore};
use hawsepipe_collect::reading::{Reading, as_f64, read};
use hawsepipe_collect::{Choice, CollectError, Scope, Sources, find};
use serde_json::{Value, json};

/// A cluster with these objects, of which no kind but these is known.
fn store(objects: &[(ObjectKind, Vec<Value>)]) -> Arc<ObjectStore> {
    let store = Arc::new(ObjectStore::new());
    for (kind, all) in objects {
        store.replace_json(*kind, all).unwrap();
    }
    store
}

/// What a collector tells, with every metric that it has.
fn told(store: &Arc<ObjectStore>, collector: &str) -> Reading {
    let uid = Arc::new(OnceLock::from("cluster-1".to_owned()));
    let collector = find(collector).unwrap();
    let wanted = vec![true; collector.metrics.len()];
    let choice = Choice { wanted, ..Choice::of(collector, Duration::from_secs(15)) };
    let sources = Sources::of_cluster(Arc::clone(store), uid);
    read(sources, &[choice], Duration::ZERO).remove(0)
}

/// Values by `metric{value,value} name-of-the-object`.
fn series(reading: &Reading) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for point in &reading.points {
        let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
        let resource = point.resource.as_ref().unwrap();
        let is_name = |key: &str| key.ends_with(".name") && key != "k8s.namespace.name";
        let names = resource.iter().filter(|(key, _)| is_name(key)).map(|(key, _)| key);
        let name = names.last().unwrap_or("k8s.namespace.name");
        let name = resource.str(name).unwrap_or_default();
        let key = format!("{}{{{}}} {name}", point.metric.name, values.join(","));
        assert!(all.insert(key.clone(), as_f64(point.value)).is_none(), "{key} twice");
    }
    all
}

fn meta(namespace: &str, name: &str) -> Value {
    json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}")})
}

fn namespace(name: &str, phase: &str) -> Value {
    json!({"metadata": meta("", name), "status": {"phase": phase}})
}

#[test]
fn a_kind_that_is_not_known_whole_is_not_told_of_and_the_others_are() {
    let store = store(&[(ObjectKind::Namespaces, vec![namespace("web", "Active")])]);
    let quota = json!({"metadata": meta("web", "all"), "status": {"hard": {"pods": "3"}}});
    store.apply_json(ObjectKind::ResourceQuotas, &quota).unwrap();
    let reading = told(&store, "cluster_namespaces");
    let series = series(&reading);
    assert_eq!(series.get("k8s.namespace.phase{} web"), Some(&1.0));
    assert!(!series.keys().any(|key| key.contains("quota")), "half a list is no state: {series:?}");
    match reading.problem {
        Some(CollectError::Unavailable(why)) => assert!(why.contains("resourcequotas"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn exactly_the_kinds_of_what_is_chosen_are_needed() {
    let mut one = Choice::of(find("cluster_namespaces").unwrap(), Duration::from_secs(15));
    let kinds = [ObjectKind::Namespaces, ObjectKind::ResourceQuotas];
    assert_eq!(Choice::kinds(std::slice::from_ref(&one)), kinds);
    one.wanted.fill(false);
    assert!(Choice::kinds(&[one]).is_empty());
    assert!(Choice::kinds(&Choice::defaults(Scope::Node, Duration::from_secs(15))).is_empty());
}
