//! The collectors of the cluster over recorded objects.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hawsepipe_cluster::objects::{ObjectKind, ObjectStore};
use hawsepipe_collect::reading::{Point, Reading, as_f64, read};
use hawsepipe_collect::{Choice, CollectError, Collector, Globs, Scope, Sources, find, list_of};
use hawsepipe_model::otlp::Instrument;
use serde_json::{Value, json};

const EVERY: Duration = Duration::from_secs(15);

/// Objects by their resource's name, as the API server writes them.
fn recorded() -> BTreeMap<String, Vec<Value>> {
    serde_json::from_str(include_str!("fixtures/cluster.json")).unwrap()
}

/// A cluster with the recorded objects of all kinds but some, of which nothing is known.
fn store_without(unknown: &[ObjectKind]) -> Arc<ObjectStore> {
    let store = Arc::new(ObjectStore::new());
    let mut recorded = recorded();
    for kind in ObjectKind::ALL.iter().filter(|kind| !unknown.contains(kind)) {
        let all = recorded.remove(kind.resource()).unwrap();
        store.replace_json(*kind, &all).unwrap();
    }
    store
}

fn everything_of(collector: &str) -> Choice {
    let collector = find(collector).unwrap();
    let wanted = vec![true; collector.metrics.len()];
    Choice { wanted, ..Choice::of(collector, EVERY) }
}

fn tell(store: &Arc<ObjectStore>, choices: &[Choice]) -> Vec<Reading> {
    let uid = Arc::new(OnceLock::from("cluster-1".to_owned()));
    let sources = Sources::of_cluster(Arc::clone(store), uid).with_api_server(|| true);
    read(sources, choices, Duration::ZERO)
}

/// The collectors that tell of objects as they are. Heartbeats are of what happens: `cronjobs/tests/sending.rs`.
fn of_objects() -> impl Iterator<Item = &'static Collector> {
    list_of(Scope::Cluster).filter(|collector| collector.name != "cluster_heartbeats")
}

/// What a collector tells, with every metric that it has.
fn told(store: &Arc<ObjectStore>, collector: &str) -> Reading {
    tell(store, &[everything_of(collector)]).remove(0)
}

/// The name of what the point is about.
fn name(point: &Point) -> &str {
    let Some(resource) = &point.resource else { return "cluster" };
    let mut parts = point.metric.name.trim_start_matches("hawsepipe.").split('.');
    let kind = match parts.nth(1).unwrap() {
        "replication_controller" => "replicationcontroller",
        "resource_quota" => "resourcequota",
        "replicaset" => "namespace",
        kind => kind,
    };
    let own = resource.str(&format!("k8s.{kind}.name"));
    // A check is of any of them.
    let checked = ["node", "deployment", "statefulset", "daemonset"];
    let mut checked =
        checked.into_iter().filter_map(|kind| resource.str(&format!("k8s.{kind}.name")));
    own.or_else(|| checked.next()).unwrap()
}

/// Values by `metric{value,value} name-of-the-object`.
fn series(reading: &Reading) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for point in &reading.points {
        let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
        let key = format!("{}{{{}}} {}", point.metric.name, values.join(","), name(point));
        assert!(all.insert(key.clone(), as_f64(point.value)).is_none(), "{key} twice");
    }
    all
}

#[test]
fn every_collector_tells_what_it_declares_of_a_cluster_that_has_it_all() {
    let store = store_without(&[]);
    for collector in of_objects() {
        let reading = told(&store, collector.name);
        assert!(reading.problem.is_none(), "{}: {:?}", collector.name, reading.problem);
        let told: BTreeSet<_> = reading.points.iter().map(|point| point.metric.name).collect();
        let declared: BTreeSet<_> = collector.metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(told, declared, "{}", collector.name);
        assert_eq!(collector.reads.len(), collector.kinds().count(), "{}", collector.name);
        for (path, kind) in collector.reads.iter().zip(collector.kinds()) {
            assert_eq!(*path, kind.path());
        }
        for point in &reading.points {
            assert_ne!(point.metric.instrument, Instrument::Counter, "state is no count");
            let is_uid = |(key, _): (&str, &_)| key.ends_with(".uid");
            let counted = point.metric.name == "hawsepipe.k8s.replicaset.count";
            let is_one = point.resource.as_ref().is_none_or(|it| it.iter().any(is_uid));
            assert!(counted || is_one, "{:?}", point.resource);
        }
        series(&reading);
    }
}

#[test]
fn the_numbers_are_those_of_the_objects() {
    let store = store_without(&[]);
    let mut expected = include_str!("fixtures/cluster-expected.txt").lines();
    let mut all = BTreeMap::new();
    for collector in list_of(Scope::Cluster) {
        all.extend(series(&told(&store, collector.name)));
    }
    if std::env::var_os("HAWSEPIPE_PRINT").is_some() {
        all.iter().for_each(|(key, value)| println!("{key} {value}"));
    }
    for (key, value) in &all {
        assert_eq!(Some(format!("{key} {value}").as_str()), expected.next());
    }
    assert_eq!(expected.next(), None);
}

/// Of replica sets only the metadata is followed; restarts are told on the nodes.
#[test]
fn what_the_collector_sends_is_declared_as_there_and_on_where_it_is_on_there() {
    let declared: Vec<_> = list_of(Scope::Cluster).flat_map(|it| it.metrics).collect();
    let recorded = include_str!("fixtures/k8scluster-0.159.0.txt").lines();
    let mut compared = 0;
    for line in recorded.filter(|line| !line.starts_with('#')) {
        let [name, instrument, value, unit, keys, on] = *line.split(' ').collect::<Vec<_>>() else {
            panic!("six words: {line}")
        };
        let metric = declared.iter().find(|metric| metric.name == name);
        if name.starts_with("k8s.replicaset.") {
            assert!(metric.is_none(), "{name}");
            continue;
        }
        let metric = metric.unwrap_or_else(|| panic!("{name} is not declared"));
        let mut own = metric.attributes.to_vec();
        own.sort_unstable();
        let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        assert_eq!(
            (
                metric.instrument.name(),
                metric.value.name(),
                shown(metric.unit),
                shown(&own.join(","))
            ),
            (instrument, value, unit.to_owned(), keys.to_owned()),
            "{name}"
        );
        assert!(
            metric.default || on == "off" || name == "k8s.container.restarts",
            "{name} is on there"
        );
        compared += 1;
    }
    assert_eq!(compared, 47);
}

#[test]
fn a_kind_that_is_not_known_whole_is_not_told_of_and_the_others_are() {
    for kind in ObjectKind::ALL {
        let store = store_without(&[*kind]);
        let object = recorded().remove(kind.resource()).unwrap().remove(0);
        store.apply_json(*kind, &object).unwrap();
        assert_eq!(store.count(*kind), 1);
        let uid = object["metadata"]["uid"].as_str().unwrap();
        for collector in of_objects().filter(|it| it.kinds().any(|it| it == *kind)) {
            let reading = told(&store, collector.name);
            let is_it = |point: &Point| {
                let Some(resource) = &point.resource else { return false };
                resource.iter().any(|(key, _)| {
                    key.ends_with(".uid")
                        && key != "k8s.cronjob.uid"
                        && resource.str(key) == Some(uid)
                })
            };
            assert!(!reading.points.iter().any(is_it), "half a list is no state: {kind:?}");
            match reading.problem {
                Some(CollectError::Unavailable(why)) => {
                    assert!(why.contains(kind.resource()), "{why}");
                }
                other => panic!("{kind:?}: {other:?}"),
            }
            // Endpoints are told of under their Service.
            let others = collector.kinds().filter(|it| *it != ObjectKind::EndpointSlices);
            let others = others.filter(|it| it != kind).count();
            assert_eq!(
                reading.points.is_empty(),
                others == 0,
                "{} without {kind:?}",
                collector.name
            );
        }
    }
}

#[test]
fn exactly_the_kinds_of_what_is_chosen_are_needed() {
    let all = Choice::defaults(Scope::Cluster, EVERY);
    assert_eq!(Choice::kinds(&all), ObjectKind::ALL);
    let mut one = Choice::of(find("cluster_namespaces").unwrap(), EVERY);
    let kinds = [ObjectKind::Namespaces, ObjectKind::ResourceQuotas];
    assert_eq!(Choice::kinds(std::slice::from_ref(&one)), kinds);
    one.wanted.fill(false);
    assert!(Choice::kinds(&[one]).is_empty());
    assert!(Choice::kinds(&Choice::defaults(Scope::Node, EVERY)).is_empty());
}

#[test]
fn only_the_selected_namespaces_are_told_of() {
    let store = store_without(&[]);
    let select = |include: &str, collector: &str| {
        let mut choice = everything_of(collector);
        choice.options.select = Globs::new(&[include.to_owned()], &[]).unwrap();
        let reading = tell(&store, &[choice]).remove(0);
        reading.points.iter().map(|point| name(point).to_owned()).collect::<BTreeSet<_>>()
    };
    assert!(select("other", "cluster_pods").is_empty());
    assert!(select("sh*", "cluster_pods").contains("web"));
    assert_eq!(select("kube-*", "cluster_namespaces"), BTreeSet::from(["kube-system".to_owned()]));
    assert!(select("other", "cluster_volumes").contains("pv-1"), "it is in no namespace");
}

#[test]
fn all_of_many_objects_are_told_each_once() {
    let store = store_without(&[]);
    let pod = |number: u32| {
        let uid = format!("00000000-0000-0000-0001-{number:012}");
        json!({"metadata": {"name": format!("pod-{number}"), "namespace": "many", "uid": uid}})
    };
    store.replace_json(ObjectKind::Pods, &(0..1234).map(pod).collect::<Vec<_>>()).unwrap();
    let series = series(&told(&store, "cluster_pods"));
    let phases = series.keys().filter(|key| key.starts_with("k8s.pod.phase"));
    assert_eq!(phases.count(), 1234);
}
