//! What the index promises to those who read it.

use super::*;
use crate::pod::tests::{CRONJOB, DEPLOYMENT, STATIC, known};

const HASH: &str = "9d2a1c0e5b6f7a8d9c0b1a2f3e4d5c6b";
const MIRROR_UID: &str = "e2f9b1a7-5c3d-4e8f-a1b2-c3d4e5f60718";
const CRONJOB_UID: &str = "a1f7e9d2-3b6c-4d1e-8f9a-2c4b6d8e0f13";
const MINUTE: u64 = 60_000;

fn index() -> PodIndex {
    PodIndex::new("node-1")
}

fn named(uid: &str) -> Known {
    known(&format!(r#"{{"metadata": {{"namespace": "ns", "name": "web", "uid": "{uid}"}}}}"#))
}

#[test]
fn a_pod_is_found_by_its_uid_and_by_nothing_else() {
    let index = index();
    index.apply(named("uid-1"));
    assert_eq!(index.pod("uid-1").unwrap().name, "web");
    assert!(index.pod("web").is_none());
    assert!(index.pod("").is_none());
}

#[test]
fn a_namesake_that_comes_later_is_another_pod() {
    let index = index();
    index.apply(named("uid-1"));
    index.delete(named("uid-1"));
    index.apply(named("uid-2"));
    assert_eq!(index.pod("uid-1").unwrap().uid, "uid-1");
    assert_eq!(index.pod("uid-2").unwrap().uid, "uid-2");
}

#[test]
fn a_static_pod_is_found_by_the_hash_in_its_log_folder_and_by_its_mirror_pods_uid() {
    let index = index();
    index.apply(known(STATIC));
    assert_eq!(index.pod(HASH).unwrap().uid, MIRROR_UID);
    assert_eq!(index.pod(MIRROR_UID).unwrap().name, "etcd-node-1");
}

#[test]
fn a_mirror_pod_that_was_made_anew_keeps_its_hash_when_the_old_one_is_forgotten() {
    let index = index();
    index.apply(known(STATIC));
    index.apply(known(&STATIC.replace(MIRROR_UID, "second-uid")));
    index.delete(known(STATIC));
    assert_eq!(index.pod(HASH).unwrap().uid, "second-uid", "the deletion of the old one came late");
    index.pods.write().forget(MIRROR_UID);
    assert_eq!(index.pod(HASH).unwrap().uid, "second-uid");
}

#[test]
fn no_annotation_takes_another_pods_place() {
    let index = index();
    index.apply(named("uid-1"));
    index.apply(known(&STATIC.replace(HASH, "uid-1")));
    assert_eq!(index.pod("uid-1").unwrap().uid, "uid-1");
}

#[test]
fn the_same_arc_is_given_until_the_metadata_changes() {
    let index = index();
    index.apply(known(DEPLOYMENT));
    let uid = known(DEPLOYMENT).meta.uid.clone();
    let first = index.pod(&uid).unwrap();
    index.apply(known(&DEPLOYMENT.replace("48211", "48300")));
    assert!(Arc::ptr_eq(&first, &index.pod(&uid).unwrap()), "only the resource version is new");
    index.apply(known(&DEPLOYMENT.replace("payments", "growth")));
    let changed = index.pod(&uid).unwrap();
    assert!(!Arc::ptr_eq(&first, &changed));
    assert_eq!(changed.labels["team"], "growth");
}

#[test]
fn a_pod_deleted_while_its_lines_are_unread_keeps_its_metadata() {
    let index = index();
    index.apply(named("uid-1"));
    index.delete(named("uid-1"));
    assert_eq!(index.count(), Count { live: 0, deleted: 1 });
    index.pods.write().sweep(10 * MINUTE - 1_000);
    assert!(index.pod("uid-1").is_some(), "for ten minutes at least");
}

#[test]
fn a_deleted_pod_is_forgotten_ten_minutes_after_somebody_last_asked() {
    let index = index();
    index.apply(named("uid-1"));
    index.delete(named("uid-1"));
    index.pods.read().find("uid-1").unwrap().asked.store(30 * MINUTE, Ordering::Relaxed);
    index.pods.write().sweep(40 * MINUTE - 1_000);
    assert_eq!(index.count().deleted, 1, "it was asked for less than ten minutes ago");
    index.pods.write().sweep(40 * MINUTE);
    assert_eq!(index.count(), Count { live: 0, deleted: 0 });
    assert!(index.pod("uid-1").is_none());
}

#[test]
fn a_live_pod_is_never_forgotten() {
    let index = index();
    index.apply(named("uid-1"));
    index.pods.write().sweep(u64::MAX);
    assert!(index.pod("uid-1").is_some());
}

#[test]
fn deleted_pods_are_bounded_and_the_one_least_asked_for_goes_first() {
    let index = index();
    for number in 0..=DELETED_KEPT_MAX {
        let uid = format!("uid-{number:05}");
        index.apply(named(&uid));
        index.pods.write().delete(&uid, 1);
    }
    let wanted = "uid-00000";
    index.pods.read().find(wanted).unwrap().asked.store(2, Ordering::Relaxed);
    index.pods.read().find("uid-00001").unwrap().asked.store(0, Ordering::Relaxed);
    index.pods.write().sweep(3);
    assert_eq!(index.count().deleted, DELETED_KEPT_MAX);
    assert!(index.pod(wanted).is_some());
}

#[test]
fn pods_that_a_new_list_does_not_name_are_deleted_and_remembered() {
    let index = index();
    index.apply(named("uid-1"));
    index.replace(vec![named("uid-2")]);
    assert_eq!(index.count(), Count { live: 1, deleted: 1 });
    assert!(index.pod("uid-1").is_some());
    index.replace(vec![named("uid-1"), named("uid-2")]);
    assert_eq!(index.count(), Count { live: 2, deleted: 0 }, "an old list had left it out");
}

#[test]
fn a_jobs_cronjob_is_asked_for_once_and_added_to_all_its_pods() {
    let index = index();
    let retry = CRONJOB.replace(CRONJOB_UID, "second-uid");
    let job = index.apply(known(CRONJOB)).unwrap();
    assert_eq!(index.apply(known(&retry)), None, "it is being asked for");
    let before = index.pod(CRONJOB_UID).unwrap();

    let cronjob = CronJob { name: "report".into(), uid: "c-uid".into() };
    index.set_cronjob(&job, Some(cronjob));
    for uid in [CRONJOB_UID, "second-uid"] {
        let pod = index.pod(uid).unwrap();
        assert_eq!(pod.attributes.str("k8s.cronjob.name"), Some("report"), "{uid}");
    }
    assert!(!Arc::ptr_eq(&before, &index.pod(CRONJOB_UID).unwrap()));

    assert_eq!(index.apply(known(&retry.replace("50110", "50111"))), None);
    let changed = index.pod("second-uid").unwrap();
    assert_eq!(changed.attributes.str("k8s.cronjob.name"), Some("report"), "it stays");
}

#[test]
fn what_is_known_of_a_job_goes_with_its_last_pod() {
    let index = index();
    let job = index.apply(known(CRONJOB)).unwrap();
    index.set_cronjob(&job, None);
    index.delete(known(CRONJOB));
    index.pods.write().sweep(u64::MAX);
    assert!(index.pods.read().cronjobs.is_empty());
}

#[test]
fn the_node_keeps_its_arc_until_it_changes() {
    let index = index();
    assert_eq!(index.node().attributes.str("k8s.node.name"), Some("node-1"));
    let mut node = Attributes::new();
    node.set("k8s.node.name", "node-1");
    let before = index.node();
    index.set_node(node.clone());
    assert!(Arc::ptr_eq(&before, &index.node()));
    index.set_cluster_uid("218fc5a9".into());
    node.set("host.id", "i-1");
    index.set_node(node);
    let node = index.node();
    assert_eq!(node.attributes.str("k8s.cluster.uid"), Some("218fc5a9"));
    assert_eq!(node.attributes.str("host.id"), Some("i-1"));
}
