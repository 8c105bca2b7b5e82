//! Pods as real clusters give them (`tests/fixtures`), and what is told of them.

use hawsepipe_model::Value;

use super::*;

/// Reads a fixture.
pub(crate) fn pod(json: &str) -> Pod {
    serde_json::from_str(json).unwrap()
}

/// Reads a fixture with the default settings.
pub(crate) fn known(json: &str) -> Known {
    Known::read(&pod(json), &Selection::new(&["*".to_owned()], &[]).unwrap())
}

pub(crate) const DEPLOYMENT: &str = include_str!("../../tests/fixtures/deployment.json");
pub(crate) const CRONJOB: &str = include_str!("../../tests/fixtures/cronjob.json");
pub(crate) const STATIC: &str = include_str!("../../tests/fixtures/static.json");
pub(crate) const CRASH_RUNNING: &str = include_str!("../../tests/fixtures/crash_running.json");
pub(crate) const CRASH_WAITING: &str = include_str!("../../tests/fixtures/crash_waiting.json");
const STATEFULSET: &str = include_str!("../../tests/fixtures/statefulset.json");
const DAEMONSET: &str = include_str!("../../tests/fixtures/daemonset.json");

fn strings(attributes: &Attributes) -> Vec<(&str, &str)> {
    attributes.iter().filter_map(|(key, _)| Some((key, attributes.str(key)?))).collect()
}

#[test]
fn a_pod_of_a_deployment_carries_the_whole_chain_of_its_owners() {
    let known = known(DEPLOYMENT);
    assert_eq!(
        strings(&known.meta.attributes),
        [
            ("k8s.deployment.name", "checkout"),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "node-1"),
            ("k8s.pod.ip", "10.244.1.17"),
            ("k8s.pod.label.app.kubernetes.io/name", "checkout"),
            ("k8s.pod.label.app.kubernetes.io/version", "2.8.1"),
            ("k8s.pod.label.pod-template-hash", "6d4cf56db6"),
            ("k8s.pod.label.team", "payments"),
            ("k8s.pod.name", "checkout-6d4cf56db6-x7k2p"),
            ("k8s.pod.start_time", "2026-11-20T10:15:03Z"),
            ("k8s.pod.uid", "8d3a1f52-1f0b-4a6e-9f5c-0d5b7a1c2e3f"),
            ("k8s.replicaset.name", "checkout-6d4cf56db6"),
            ("k8s.replicaset.uid", "5f2c9c61-7b1d-4a0e-8c55-6a2f5d0c9b11"),
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("service.version", "2.8.1"),
        ]
    );
    assert!(known.hashes.is_empty());
    assert_eq!(known.job, None);
}

#[test]
fn containers_of_every_kind_are_known_with_image_and_id() {
    let known = known(DEPLOYMENT);
    let names: Vec<_> = known.meta.containers.keys().map(String::as_str).collect();
    assert_eq!(names, ["checkout", "debugger-4xk", "migrate", "proxy"]);

    let checkout = known.meta.container_attributes("checkout", 0);
    assert_eq!(checkout.str("k8s.container.name"), Some("checkout"));
    assert_eq!(checkout.str("container.id"), Some("22bb"));
    let name = checkout.str("container.image.name");
    assert_eq!(name, Some("registry.example.com:5000/shop/checkout"));
    let tags = Value::Strings(vec!["2.8.1".into()]);
    assert_eq!(checkout.get("container.image.tags"), Some(&tags));
    let digest = format!("registry.example.com:5000/shop/checkout@sha256:{}", "2".repeat(64));
    let digests = Value::Strings(vec![digest]);
    assert_eq!(checkout.get("container.image.repo_digests"), Some(&digests));
    let instance = checkout.str("service.instance.id");
    assert_eq!(instance, Some("shop.checkout-6d4cf56db6-x7k2p.checkout"));

    let proxy = known.meta.container_attributes("proxy", 0);
    assert_eq!(proxy.str("container.id"), Some("33cc"));
    assert_eq!(proxy.str("container.image.name"), Some("envoyproxy/envoy"));
    assert_eq!(proxy.get("container.image.tags"), None, "pinned by digest alone");
    assert_eq!(proxy.get("container.image.repo_digests"), None, "a bare image id is none");

    let debugger = known.meta.container_attributes("debugger-4xk", 0);
    assert_eq!(debugger.str("container.id"), Some("44dd"));
    let latest = Value::Strings(vec!["latest".into()]);
    assert_eq!(debugger.get("container.image.tags"), Some(&latest));
    assert_eq!(known.meta.container_attributes("migrate", 0).str("container.id"), Some("11aa"));
    let next_run = known.meta.container_attributes("migrate", 1);
    assert_eq!(next_run.str("container.id"), None, "no other run's id");
}

#[test]
fn annotations_name_the_service_but_cannot_pass_for_another_pod() {
    let known = known(STATEFULSET);
    let postgres = known.meta.container_attributes("postgres", 0);
    for (key, value) in [
        ("service.name", "orders-db"),
        ("service.namespace", "orders"),
        ("service.version", "16.4-custom"),
        ("service.instance.id", "orders-db-primary"),
        ("deployment.environment.name", "production"),
        ("k8s.namespace.name", "data"),
        ("k8s.statefulset.name", "postgres"),
        ("k8s.statefulset.uid", "f3d1c1a4-52cc-4a6c-8a50-1b7b0f9b7d21"),
    ] {
        assert_eq!(postgres.str(key), Some(value), "{key}");
    }
}

#[test]
fn a_daemonset_names_the_service_when_no_label_does() {
    let known = known(DAEMONSET);
    let proxy = known.meta.container_attributes("kube-proxy", 0);
    assert_eq!(proxy.str("k8s.daemonset.name"), Some("kube-proxy"));
    assert_eq!(proxy.str("service.name"), Some("kube-proxy"));
    assert_eq!(proxy.str("service.version"), Some("v1.35.0"));
    assert_eq!(proxy.get("k8s.pod.start_time"), None, "the kubelet has not seen it yet");
}

#[test]
fn a_cronjob_that_is_found_later_takes_the_place_of_its_job_as_the_service() {
    let mut known = known(CRONJOB);
    assert_eq!(known.meta.attributes.str("service.name"), Some("report-29389470"));
    assert_eq!(known.job.as_ref().unwrap().name, "report-29389470");
    known.add_cronjob(&CronJob { name: "report".into(), uid: "c-uid".into() });
    for (key, value) in [
        ("k8s.cronjob.name", "report"),
        ("k8s.cronjob.uid", "c-uid"),
        ("k8s.job.name", "report-29389470"),
        ("k8s.job.uid", "77d0a5c0-9a0e-4b44-9d0b-1f6f0f6f7b52"),
        ("service.name", "report"),
    ] {
        assert_eq!(known.meta.attributes.str(key), Some(value), "{key}");
    }
}

#[test]
fn a_cronjob_does_not_rename_a_service_that_names_itself() {
    let mut labelled = pod(CRONJOB);
    labelled.metadata.labels.insert("app.kubernetes.io/instance".into(), "reports-eu".into());
    let mut known = Known::read(&labelled, &Selection::new(&[], &[]).unwrap());
    known.add_cronjob(&CronJob { name: "report".into(), uid: "c-uid".into() });
    assert_eq!(known.meta.attributes.str("service.name"), Some("reports-eu"));
}

#[test]
fn a_static_pod_is_known_by_its_hash_and_has_no_workload() {
    let known = known(STATIC);
    assert_eq!(known.hashes, ["9d2a1c0e5b6f7a8d9c0b1a2f3e4d5c6b"]);
    let workload = |(key, _): &(&str, &str)| {
        ["replicaset", "statefulset", "daemonset", "job"].iter().any(|kind| key.contains(kind))
    };
    assert!(!strings(&known.meta.attributes).iter().any(workload));
    assert_eq!(known.meta.attributes.str("service.name"), Some("etcd-node-1"));
}

#[test]
fn the_run_before_a_crash_has_the_id_of_the_last_state() {
    let ids = &known(CRASH_RUNNING).meta.containers["main"].ids;
    assert_eq!(*ids, BTreeMap::from([(2, "run2".to_owned()), (3, "run3".to_owned())]));
}

#[test]
fn while_a_container_waits_for_its_restart_its_last_run_is_not_counted_twice() {
    let ids = &known(CRASH_WAITING).meta.containers["main"].ids;
    assert_eq!(*ids, BTreeMap::from([(3, "run3".to_owned())]));
}

#[test]
fn ids_of_earlier_runs_are_remembered() {
    let before = known(CRASH_RUNNING);
    let mut now = known(CRASH_WAITING);
    now.remember_runs(&before.meta);
    let ids = &now.meta.containers["main"].ids;
    assert_eq!(*ids, BTreeMap::from([(2, "run2".to_owned()), (3, "run3".to_owned())]));
}

#[test]
fn only_chosen_labels_and_annotations_become_attributes() {
    let selection =
        Selection::new(&["app.kubernetes.io/*".into()], &["prometheus.io/*".into()]).unwrap();
    let known = Known::read(&pod(DEPLOYMENT), &selection);
    let chosen: Vec<_> = strings(&known.meta.attributes)
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| key.starts_with("k8s.pod.label.") || key.starts_with("k8s.pod.annotation."))
        .collect();
    assert_eq!(
        chosen,
        [
            "k8s.pod.annotation.prometheus.io/scrape",
            "k8s.pod.label.app.kubernetes.io/name",
            "k8s.pod.label.app.kubernetes.io/version",
        ]
    );
    assert_eq!(known.meta.labels.len(), 4, "all labels can be selected by");
}

#[test]
fn a_pod_without_anything_is_still_a_pod() {
    let known = known(r#"{"metadata": {"uid": "u"}, "spec": null, "status": {"podIP": null}}"#);
    assert_eq!(strings(&known.meta.attributes), [("k8s.pod.uid", "u")]);
    assert!(known.meta.containers.is_empty());
}

#[test]
fn a_run_is_known_by_its_id_with_its_start_and_how_often_it_was_restarted() {
    let deployment = known(DEPLOYMENT);
    let (name, meta, restart) = deployment.meta.run("22bb").unwrap();
    assert_eq!((name, restart, meta.restarts), ("checkout", 0, Some(0)));
    // 2026-11-20T10:15:09Z
    assert_eq!(meta.started_unix_nano, Some(1_795_169_709_000_000_000));
    assert_eq!(deployment.meta.started_unix_nano, Some(1_795_169_703_000_000_000));
    assert_eq!(deployment.meta.run("33cc").unwrap().1.started_unix_nano, None, "it does not say");
    assert!(deployment.meta.run("").is_none());

    let waiting = known(CRASH_WAITING);
    let (name, meta, restart) = waiting.meta.run("run3").unwrap();
    assert_eq!((name, restart, meta.restarts, meta.started_unix_nano), ("main", 3, Some(3), None));
}

#[test]
fn an_init_container_that_did_its_work_is_not_told_to_be_restarted_and_one_that_did_not_is() {
    let of = |reason: &str| {
        let json = format!(
            r#"{{"spec": {{"initContainers": [{{"name": "a"}}]}}, "status": {{"initContainerStatuses": [
                {{"name": "a", "restartCount": 2, "state": {{"terminated": {{"reason": "{reason}"}}}}}}]}}}}"#
        );
        known(&json).meta.containers["a"].restarts
    };
    assert_eq!((of("Completed"), of("Error")), (None, Some(2)));
}
